"""Questions to the scores of image-text pairs: what the scores are, what carries the highest and the lowest of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from storage.queries.association import log_odds, z_limit
from storage.queries.filters import SampleQuery, source
from storage.reader import RunReader

FALLS = {"drop_mean": "image", "drop_blur": "image", "drop_word": "text"}  # column -> the modality whose rows have it
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
LEAST = 20  # pairs without which there are no tenths to speak of
MAPS = 2000  # pairs of a tenth whose maps are averaged
WORDS = 2000  # most frequent words of both tenths that are compared
TENTHS = ("lowest", "highest")


def score_numbers(reader: RunReader, query: SampleQuery) -> dict[str, Any]:
    """Of the pairs of a query: n, lowest, median and highest score, the median's percentile among shuffled pairs (None
    where the run knows none), how many pairs score 0, and how many score below half of the shuffled pairs."""
    chosen, params = _scores(reader, query)
    (row,) = reader.query(
        f"WITH chosen AS ({chosen}) SELECT count(*) AS n, min(score) AS low, median(score) AS median, "
        "max(score) AS high, median(clip_percentile) AS percentile, count(*) FILTER (score = 0) AS zero, "
        "count(*) FILTER (clip_percentile < 50) AS below_half, count(clip_percentile) AS known FROM chosen",
        params,
    )
    return row


def tenth_words(reader: RunReader, query: SampleQuery) -> dict[str, Any]:
    """Words that carry the lowest and the highest tenth of the scores.

    A word carries a pair when it is among the most relevant words of its text (`top_tokens`), upper and lower case
    alike. Returns `size`, the pairs of each tenth (0: fewer than 20 pairs, or all with the same score), `with_words`,
    how many of the lowest and of the highest have such a word at all (a pair with score 0 has none), `limit`, the |z|
    that chance alone does not pass, and `words`: `{"word", "lowest", "highest", "log_odds", "z"}` with the counts of
    pairs of both tenths, the z of `storage.queries.association` for the highest tenth, strongest first.
    """
    size = _tenth(reader, query)
    rows = _words_of_tenths(reader, query, size) if size else []
    of_low, of_high = (int(rows[0].get(f"of_{name}", 0)) if rows else 0 for name in TENTHS)
    low, high = (np.array([row[name] for row in rows], dtype=np.int64) for name in TENTHS)
    ratio, z = log_odds(high, low, of_high, of_low)
    found = [
        {"word": row["word"], "lowest": row["lowest"], "highest": row["highest"], "log_odds": float(r), "z": float(v)}
        for row, r, v in zip(rows, ratio, z, strict=True)
    ]
    found.sort(key=lambda row: (-abs(row["z"]), row["word"]))
    return {"size": size, "with_words": (of_low, of_high), "limit": z_limit(len(found)), "words": found}


def _words_of_tenths(reader: RunReader, query: SampleQuery, size: int) -> list[dict[str, Any]]:
    chosen, params = _scores(reader, query)
    return reader.query(
        f"WITH chosen AS ({chosen}), ranked AS (SELECT sample_id, row_number() OVER (ORDER BY score, sample_id) AS r, "
        "count(*) OVER () AS n FROM chosen WHERE isfinite(score)), "
        "tenths AS (SELECT sample_id, r <= ? AS lowest FROM ranked WHERE r <= ? OR r > n - ?), "
        "words AS (SELECT DISTINCT k.sample_id, k.lowest, lower(unnest(t.top_tokens)) AS word FROM tenths k "
        "JOIN explanations t ON t.sample_id = k.sample_id AND t.target = ? AND t.modality = 'text') "
        "SELECT word, count(*) FILTER (lowest) AS lowest, count(*) FILTER (NOT lowest) AS highest, "
        "(SELECT count(DISTINCT sample_id) FROM words WHERE lowest) AS of_lowest, "
        "(SELECT count(DISTINCT sample_id) FROM words WHERE NOT lowest) AS of_highest FROM words "
        "GROUP BY word ORDER BY count(*) DESC, word LIMIT ?",
        [*params, size, size, size, query.target, WORDS],
    )


def tenth_maps(reader: RunReader, query: SampleQuery) -> dict[str, Any]:
    """Mean image maps of the lowest and highest tenth of the scores: {"lowest", "highest"}, each {"n", "map", "grid"}.

    Every map counts alike: its positive part is divided by its sum first; maps of zeros are left out. `map` lists h*w
    shares row by row, `grid` is (h, w); `n` is 0 where there is none. Of a large tenth the 2000 pairs at its end are
    averaged. Empty where there are no tenths or pictures have grids of their own.
    """
    size, grid = _tenth(reader, query), reader.record.model.get("grid")
    if not size or not grid:
        return {}
    cells = int(grid[0]) * int(grid[1])
    found = {}
    for name, order in zip(TENTHS, ("score, sample_id", "score DESC, sample_id DESC"), strict=True):
        chosen, params = _scores(reader, query)
        rows = reader.query(
            f"WITH chosen AS ({chosen}) SELECT sample_id FROM chosen WHERE isfinite(score) ORDER BY {order} LIMIT ?",
            [*params, min(size, MAPS)],
        )
        maps = reader.maps([(row["sample_id"], query.target) for row in rows], "image")
        found[name] = mean_share([values for values in maps.values() if len(values) == cells])
        found[name]["grid"] = (int(grid[0]), int(grid[1]))
    return found


def mean_share(maps: list[np.ndarray]) -> dict[str, Any]:
    """`{"n", "map"}`: the mean of maps [N] after each was divided by the sum of its positive part."""
    if not maps:
        return {"n": 0, "map": []}
    positive = np.nan_to_num(np.stack(maps).astype(np.float64)).clip(min=0)
    sums = positive.sum(axis=1)
    shares = positive[sums > 0] / sums[sums > 0, None]
    return {"n": len(shares), "map": shares.mean(axis=0).tolist() if len(shares) else []}


def falls(reader: RunReader, query: SampleQuery) -> list[dict[str, Any]]:
    """How far scores fall without what is called relevant, and without as much at random.

    One row per check that the run has (`drop_mean`, `drop_blur`, `drop_word`): `kind`, `n` pairs, `removed` and
    `random`, each the 5, 25, 50, 75 and 95 % quantiles of the fall, and `further`: the share of pairs whose score falls
    further than at random.
    """
    chosen, params = _scores(reader, query)
    found = []
    for kind, modality in FALLS.items():
        if {kind, f"{kind}_random"} & reader.record.taken:  # of an earlier schema: no checks
            continue
        (row,) = reader.query(
            f"WITH chosen AS ({chosen}) SELECT count(*) AS n, quantile_cont(t.{kind}, {list(QUANTILES)}) AS removed, "
            f"quantile_cont(t.{kind}_random, {list(QUANTILES)}) AS random, "
            f"avg((t.{kind} > t.{kind}_random)::INTEGER) AS further FROM explanations t "
            "WHERE t.target = ? AND t.modality = ? AND t.sample_id IN (SELECT sample_id FROM chosen) "
            f"AND isfinite(t.{kind}) AND isfinite(t.{kind}_random)",
            [*params, query.target, modality],
        )
        if row["n"]:
            found.append({"kind": kind, **row})
    return found


def _scores(reader: RunReader, query: SampleQuery) -> tuple[str, list[Any]]:
    """SQL of sample_id, score and clip_percentile of the pairs of a query, and its values."""
    tables, params = source(reader, replace(query, sort="sample_id"), "score")
    return f"SELECT e.sample_id, e.score, e.clip_percentile {tables}", list(params)


def _tenth(reader: RunReader, query: SampleQuery) -> int:
    """Pairs of a tenth; 0 where there are too few, or all score the same."""
    chosen, params = _scores(reader, query)
    (row,) = reader.query(
        f"WITH chosen AS ({chosen}) SELECT count(*) AS n, min(score) AS low, max(score) AS high FROM chosen "
        "WHERE isfinite(score)",
        params,
    )
    return 0 if row["n"] < LEAST or row["low"] == row["high"] else int(row["n"]) // 10
