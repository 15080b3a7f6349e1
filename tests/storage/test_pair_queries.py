"""Questions to the scores of pairs, against plain Python over the rows that were written."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import NormalDist, median
from typing import Any

import numpy as np
import pytest

from storage import Filter, RunReader, SampleQuery, Store
from storage.queries import pairs
from storage.queries.association import log_odds, z_limit
from tests import word_runs

N = 60
ALL = SampleQuery("clip-score")
SOME = SampleQuery("clip-score", filters=(Filter("score", "between", (0.0, 1.5)),), search="photo")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("pair-queries")
    word_runs.write_pairs(base / "store", base / "pictures", "pairs", N)
    word_runs.write_pairs(base / "store", base / "pictures", "low", N, low=True, percentile=False, evidence=False)
    return base / "store"


@pytest.fixture(scope="module")
def reader(base: Path) -> Iterator[RunReader]:
    with Store.open(base).reader("pairs") as reader:
        yield reader


def written(query: SampleQuery) -> list[dict[str, dict[str, Any]]]:
    """The rows of the pairs of a query by modality, lowest score first."""
    scores = word_runs.scores(N)
    found = []
    for number in range(N):
        rows = word_runs.pair_rows(number, 2, True, True, float(scores[number]))
        if query is SOME and not (scores[number] <= 1.5 and "photo" in rows[0]["text"].lower()):
            continue
        found.append({row["modality"]: row for row in rows[:2]})
    return sorted(found, key=lambda pair: (pair["image"]["score"], pair["image"]["sample_id"]))


@pytest.mark.parametrize("query", [ALL, SOME])
def test_numbers_of_the_scores(reader: RunReader, query: SampleQuery) -> None:
    rows = [pair["image"] for pair in written(query)]
    found = pairs.score_numbers(reader, query)
    assert found["n"] == found["known"] == len(rows) > 20
    assert found["zero"] == sum(row["score"] == 0 for row in rows) > 0
    assert found["below_half"] == sum(row["clip_percentile"] < 50 for row in rows)
    assert found["median"] == pytest.approx(median(row["score"] for row in rows))
    assert found["percentile"] == pytest.approx(median(row["clip_percentile"] for row in rows), rel=1e-5)


@pytest.mark.parametrize("query", [ALL, SOME])
def test_words_of_both_tenths(reader: RunReader, query: SampleQuery) -> None:
    rows = written(query)
    size = len(rows) // 10
    counts, sizes = [], []
    for some in (rows[:size], rows[-size:]):
        words = [{word.lower() for word in pair["text"]["top_tokens"]} for pair in some]
        counts.append(Counter(word for one in words for word in one))
        sizes.append(sum(bool(one) for one in words))
    found = pairs.tenth_words(reader, query)
    assert (found["size"], found["with_words"]) == (size, tuple(sizes))
    assert {row["word"]: (row["lowest"], row["highest"]) for row in found["words"]} == {
        word: (counts[0][word], counts[1][word]) for word in counts[0] | counts[1]
    }
    for row in found["words"]:
        a, c = row["highest"] + 0.5, row["lowest"] + 0.5
        b, d = sizes[1] - row["highest"] + 0.5, sizes[0] - row["lowest"] + 0.5
        assert row["z"] == pytest.approx(math.log(a * d / (b * c)) / math.sqrt(1 / a + 1 / b + 1 / c + 1 / d))
    strengths = [abs(row["z"]) for row in found["words"]]
    assert strengths == sorted(strengths, reverse=True)
    assert found["limit"] == pytest.approx(NormalDist().inv_cdf(1 - 0.025 / len(found["words"])))


def test_mean_maps_of_both_tenths(reader: RunReader) -> None:
    rows = written(ALL)
    found = pairs.tenth_maps(reader, ALL)
    for name, some in (("lowest", rows[:6]), ("highest", rows[-6:])):
        maps = [pair["image"]["map"].astype(np.float64) for pair in some]
        shares = [values / values.sum() for values in maps if values.sum() > 0]
        assert found[name]["n"] == len(shares) and found[name]["grid"] == (word_runs.GRID, word_runs.GRID)
        if shares:
            assert np.allclose(found[name]["map"], np.mean(shares, axis=0), atol=1e-6)


def test_falls_of_all_pairs(reader: RunReader) -> None:
    rows = written(SOME)
    found = {row["kind"]: row for row in pairs.falls(reader, SOME)}
    assert list(found) == ["drop_mean", "drop_blur", "drop_word"]
    for kind, row in found.items():
        own = [pair["text" if kind == "drop_word" else "image"] for pair in rows]
        removed, random = (np.array([one[f"{kind}{end}"] for one in own]) for end in ("", "_random"))
        assert row["n"] == len(rows)
        assert np.allclose(row["removed"], np.quantile(removed, pairs.QUANTILES), atol=1e-6)
        assert np.allclose(row["random"], np.quantile(random, pairs.QUANTILES), atol=1e-6)
        assert row["further"] == pytest.approx((removed > random).mean())


def test_runs_without_evidence_percentiles_or_scores_above_zero(base: Path) -> None:
    with Store.open(base).reader("low") as reader:
        numbers = pairs.score_numbers(reader, ALL)
        assert (numbers["n"], numbers["zero"], numbers["known"], numbers["percentile"]) == (N, N, 0, None)
        assert pairs.falls(reader, ALL) == [] and pairs.tenth_maps(reader, ALL) == {}
        assert pairs.tenth_words(reader, ALL)["size"] == 0


def test_no_pair_at_all(reader: RunReader) -> None:
    nothing = SampleQuery("clip-score", search="nowhere-to-be-found")
    assert pairs.score_numbers(reader, nothing)["n"] == 0
    assert pairs.tenth_words(reader, nothing)["words"] == [] and pairs.falls(reader, nothing) == []


def test_the_limit_and_a_word_that_says_nothing() -> None:
    assert z_limit(1) == pytest.approx(1.96, abs=0.001) and z_limit(1000) > z_limit(10)
    ratio, z = log_odds([5, 0], [5, 0], 10, 10)
    assert np.allclose(ratio, 0) and np.allclose(z, 0)
