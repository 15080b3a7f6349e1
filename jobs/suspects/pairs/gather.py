"""From the store to arrays: scores, unit vectors, words and patches of the pairs of a run."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from engine.suspects import Observations
from jobs.errors import JobError
from jobs.suspects.gather import GIVEN, MEASURED, image_parts, places, properties_of, vectors_of
from storage import RunReader
from storage.queries.catalog import run_sample_columns
from storage.queries.words import has_words

TARGETS = ("clip-score", "clip-logit")
# How many bytes a file has follows from what it shows; and captions say what metadata say, so these are left out.
PROPERTIES = (*MEASURED, *(name for name in GIVEN if name != "file_bytes"))


@dataclass(frozen=True)
class GatheredPairs:
    """A run of image-text scores as arrays over its N pairs.

    Attributes:
        ids, uris, texts: [N].
        scores: [N] float64, in the target's unit.
        images, texts_at: unit vectors [N, D] of pictures and texts.
        group: number of each text, [N]: equal texts have the same.
        words: the words of each text in lower case, as far as the model read them.
        word_shares: share of the text's relevancy on each of them.
        seen: maps, patches and properties; its predictions mean nothing.
        tokens: cell of each patch, [N, T], -1 for none.
        unit: what scores are divided by where effects are told: how far the median pair lies above the median shuffled
            pair.
        middle: the score half way between the two.
        target: whose scores they are.
        total: pairs of the run, of which N were read.
    """

    ids: np.ndarray
    uris: list[str]
    texts: list[str]
    scores: np.ndarray
    images: np.ndarray
    texts_at: np.ndarray
    group: np.ndarray
    words: list[list[str]]
    word_shares: list[np.ndarray]
    seen: Observations
    tokens: np.ndarray | None
    unit: float
    middle: float
    target: str
    total: int
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        """N."""
        return len(self.ids)

    def having(self, word: str) -> np.ndarray:
        """Whether each text has a word, [N] boolean."""
        return np.array([word in own for own in self.words], bool)


def is_of_pairs(reader: RunReader) -> bool:
    """Whether a run explains image-text scores."""
    whole = "true" if "query" in reader.record.taken else "query IS NULL"
    found = reader.query(f"SELECT DISTINCT target FROM explanations WHERE predicted_index IS NULL AND {whole}")
    return any(row["target"] in TARGETS for row in found)


def gather_pairs(reader: RunReader, *, sample: int, seed: int) -> GatheredPairs:
    """Read a run of pairs; at most `sample` of them, chosen at random and noted. `JobError` for a run without unit
    vectors or without scores of shuffled pairs: one whose texts are all equal, of a model without towers of its own for
    pictures and texts, or of an earlier version."""
    run, target = reader.run.run_id, _target(reader)
    widths, quantiles = reader.embedding_widths, (reader.record.model.get("shuffled") or {}).get("quantiles")
    if not widths or not quantiles:
        raise JobError(
            f"run {run!r} explains image-text scores, but keeps no vectors of pictures and texts, or no scores of "
            "shuffled pairs (all its texts are equal, its model has no towers of their own for the two, or an earlier "
            "version made it): suspects cannot be looked for"
        )
    table, notes = _pairs(reader, target), list[str]()
    total = len(table)
    if total > sample:
        chosen = np.sort(np.random.default_rng(seed).choice(total, sample, replace=False))
        table = table.take(pa.array(chosen))
        notes.append(f"searched in {sample:,} of {total:,} pairs, chosen at random (--sample)")
    ids, texts = table["sample_id"].to_numpy(), [str(text) for text in table["text"].to_pylist()]
    images, at = (_vectors(reader, ids, max(widths), modality) for modality in ("image", "text"))
    parts, tokens = image_parts(reader, ids, target, notes)
    words, shares = _words(reader, ids, target, texts)
    properties = properties_of(table.select(table.column_names[4:]))
    scores = table["score"].to_numpy().astype(np.float64)
    usual, shuffled = float(np.median(scores)), float(quantiles[len(quantiles) // 2])
    return GatheredPairs(
        ids=ids,
        uris=table["uri"].to_pylist(),
        texts=texts,
        scores=scores,
        images=images,
        texts_at=at,
        group=np.unique(texts, return_inverse=True)[1],
        words=words,
        word_shares=shares,
        seen=Observations(np.zeros(len(ids), np.int64), 1, properties=properties, **parts),
        tokens=tokens,
        unit=max(usual - shuffled, 1e-6),
        middle=(usual + shuffled) / 2,
        target=target,
        total=total,
        notes=notes,
    )


def _target(reader: RunReader) -> str:
    present = {row["target"] for row in reader.query("SELECT DISTINCT target FROM explanations")}
    return next(target for target in TARGETS if target in present)


def _pairs(reader: RunReader, target: str) -> pa.Table:
    present = {column.name for column in run_sample_columns(reader)} - {
        entry["column"] for entry in reader.record.metadata
    }
    columns = "".join(f', s."{name}"' for name in PROPERTIES if name in present)
    return reader.table(
        f"SELECT e.sample_id, s.uri, s.text, e.score{columns} FROM explanations e JOIN samples s USING (sample_id) "
        "WHERE e.target = ? AND e.modality = 'image' ORDER BY e.sample_id",
        [target],
    )


def _vectors(reader: RunReader, ids: np.ndarray, width: int, modality: str) -> np.ndarray:
    table = reader.table(f"SELECT sample_id, vec FROM embedding_{width} WHERE modality = ?", [modality])
    found = np.zeros((len(ids), width), np.float32)
    rows, here = places(ids, table["sample_id"].to_numpy())
    found[rows] = vectors_of(table["vec"], width)[here]
    return found


def _words(
    reader: RunReader, ids: np.ndarray, target: str, texts: list[str]
) -> tuple[list[list[str]], list[np.ndarray]]:
    """The words of every text, and the shares of its relevancy that they have."""
    words: list[list[str]] = [[] for _ in ids]
    shares: list[np.ndarray] = [np.zeros(0, np.float32) for _ in ids]
    for width in reader.map_widths("text") if has_words(reader) else ():
        table = reader.table(
            f"SELECT m.sample_id, s.words, s.token_words, m.n_valid, m.vec FROM map_text_{width} m "
            "JOIN samples s USING (sample_id) WHERE m.target = ? AND s.words IS NOT NULL",
            [target],
        )
        rows, here = places(ids, table["sample_id"].to_numpy())
        vectors, valid = vectors_of(table["vec"], width), table["n_valid"].to_numpy()
        own, numbers = table["words"].to_pylist(), table["token_words"].to_pylist()
        for row, k in zip(rows.tolist(), here.tolist(), strict=True):
            words[row] = [word.lower() for word in own[k]]
            shares[row] = _word_shares(vectors[k, : valid[k]], numbers[k], len(own[k]))
    return words, shares


def _word_shares(values: np.ndarray, numbers: list[int], count: int) -> np.ndarray:
    """Share of a text's positive relevancy on each of its words, [count]."""
    sums = np.zeros(count, np.float32)
    place = np.asarray(numbers[: len(values)], np.int64)
    np.add.at(sums, place[place >= 0], np.maximum(np.nan_to_num(values[place >= 0]), 0))
    total = float(sums.sum())
    return sums / total if total > 0 else sums
