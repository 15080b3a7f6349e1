"""Which words carry predictions: how often they occur, what relevancy they get, and what the model says beside them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from storage.queries.association import log_odds, z_limit
from storage.queries.filters import Filter, SampleQuery, source
from storage.reader import RunReader

MOST = 100_000  # samples that are read at most
WORDS, GROUPS = 10_000, 200  # most frequent words and classes that are kept
LEAST = 5  # samples with a word, below which nothing is said of it unless asked for
TENTHS = ("highest tenth of the scores", "lowest tenth of the scores")

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Group:
    """Samples that a word may go with: a predicted class or answer, or a tenth of the scores; `n` of those read."""

    name: str
    n: int
    filter: Filter


@dataclass(frozen=True)
class WordTable:
    """V words, most frequent first, upper and lower case alike, in the samples of a query.

    Attributes:
        words: [V].
        groups: [G], largest first; empty where there is nothing to go with.
        n: [V] samples with the word.
        share: [V] mean share of a text's relevancy on the word, over the samples that have it.
        times: [V] the same times the number of words of the text: 1 is what an even spread would give.
        together: [V, G] samples of a group with the word.
        read, total: samples that were read, of those in the query; fewer where there are more than `MOST`.
    """

    words: list[str]
    groups: list[Group]
    n: Ints
    share: Floats
    times: Floats
    together: Ints
    read: int
    total: int

    def rows(self, group: str = "", least: int = LEAST, find: str = "", most: int = 500) -> list[dict[str, Any]]:
        """Words with how they go with a group, or each with the group it goes with most; highest z first.

        `{"word", "n", "share", "times", "group", "together", "expected", "z", "beyond"}`: `expected` is how many of the
        group's samples would have the word by chance, z that of `storage.queries.association`, `beyond` whether it
        is more than chance alone would give among all words (and groups) that were compared. Without any group the
        last five are empty, and the most frequent word is first. `find` is a part of the word.
        """
        kept = np.array([k for k in np.flatnonzero(self.n >= least) if find.lower() in self.words[k]], dtype=np.int64)
        columns = [k for k, one in enumerate(self.groups) if group in ("", one.name)]
        if not columns:
            return [self._row(int(k)) for k in kept[:most]]
        sizes = np.array([self.groups[k].n for k in columns])
        a, n = self.together[np.ix_(kept, np.array(columns))], self.n[kept, None]
        _, z = log_odds(a, n - a, sizes, self.read - sizes)
        best = z.argmax(axis=1) if len(kept) else np.zeros(0, np.int64)
        limit = z_limit(int((self.n >= least).sum()) * len(columns))
        order = sorted(range(len(kept)), key=lambda i: (-z[i, best[i]], self.words[kept[i]]))
        return [self._row(int(kept[i]), columns[best[i]], float(z[i, best[i]]), limit) for i in order[:most]]

    def _row(self, k: int, group: int | None = None, z: float | None = None, limit: float = 0.0) -> dict[str, Any]:
        row = {"word": self.words[k], "n": int(self.n[k]), "share": float(self.share[k]), "times": float(self.times[k])}
        if group is None or z is None:
            return row | dict.fromkeys(("group", "together", "expected", "z", "beyond"))
        one = self.groups[group]
        expected = int(self.n[k]) * one.n / max(self.read, 1)
        together = int(self.together[k, group])
        return row | {"group": one.name, "together": together, "expected": expected, "z": z, "beyond": z > limit}


@dataclass
class _Read:
    """What was read of S samples: class and score of each, and one entry per distinct word of each sample."""

    predicted: list[pa.ChunkedArray] = field(default_factory=list)
    scores: list[NDArray[np.float64]] = field(default_factory=list)
    words: list[pa.Array] = field(default_factory=list)  # of each occurrence
    samples: list[Ints] = field(default_factory=list)  # number of its sample, from 0
    shares: list[Floats] = field(default_factory=list)
    lengths: list[Ints] = field(default_factory=list)  # words of each sample

    @property
    def count(self) -> int:
        return sum(map(len, self.scores))


def word_table(reader: RunReader, query: SampleQuery, most: int = MOST) -> WordTable:
    """The words of the texts of a query, with the relevancy that they get and the classes that they go with.

    Of more than `most` samples so many are read, chosen by a hash of their number: the same each time. Samples without
    words (runs of an earlier version) and with a map of zeros are left out of the shares, not of the counts.
    """
    query = replace(query, modality="text", sort="sample_id", descending=False)
    tables, params = source(reader, query)
    total = int(reader.query(f"SELECT count(*) AS n {tables}", params)[0]["n"])
    if total > most:
        ids = reader.table(f"SELECT e.sample_id {tables} ORDER BY hash(e.sample_id) LIMIT ?", [*params, most])
        chosen = reader.sets.keep(ids["sample_id"].to_numpy())
        query = SampleQuery(query.target, query.modality, sets=(chosen,))
    read = _Read()
    for width in reader.map_widths("text") if has_words(reader) else ():
        _read_width(reader, query, width, read)
    return _counted(read, total)


def has_words(reader: RunReader) -> bool:
    """Whether the words of texts are where words are kept: not where the dataset of an earlier run has a column of the
    same name, which goes on meaning its own."""
    return not {"words", "token_words"} & reader.record.taken


def _read_width(reader: RunReader, query: SampleQuery, width: int, read: _Read) -> None:
    """Add the samples whose text maps have one width."""
    tables, params = source(reader, query, "words")
    maps = f"JOIN map_text_{width} m ON m.sample_id = e.sample_id AND m.target = e.target"
    where = "s.words IS NOT NULL AND len(s.token_words) = m.n_valid"
    found = reader.table(
        f"SELECT e.predicted, e.score, s.words, s.token_words, m.vec {tables.replace(' WHERE ', f' {maps} WHERE ', 1)} "
        f"AND {where}",
        params,
    )
    if not len(found):
        return
    words, places = found["words"].combine_chunks(), found["token_words"].combine_chunks()
    lengths, tokens = (pc.list_value_length(one).to_numpy().astype(np.int64) for one in (words, places))
    vectors = found["vec"].combine_chunks().flatten().to_numpy().reshape(len(found), width)
    shares = _shares(vectors, tokens, places.flatten().to_numpy(), lengths)
    read.samples.append(np.repeat(np.arange(len(found)) + read.count, lengths))
    read.words.append(pc.utf8_lower(words.flatten()))
    read.shares.append(shares)
    read.lengths.append(lengths)
    read.predicted.append(found["predicted"])
    read.scores.append(found["score"].to_numpy().astype(np.float64))


def _shares(vectors: NDArray[np.floating], tokens: Ints, places: Ints, lengths: Ints) -> Floats:
    """Share of its text's relevancy on each word [all words]: positive sums over its tokens; NaN where all are zero."""
    values = np.nan_to_num(vectors[np.arange(vectors.shape[1]) < tokens[:, None]].astype(np.float64))
    starts = np.concatenate([[0], np.cumsum(lengths)])
    word = np.repeat(starts[:-1], tokens) + places
    inside = places >= 0
    sums = np.bincount(word[inside], values[inside], minlength=int(starts[-1])).clip(min=0)
    whole = np.add.reduceat(np.append(sums, 0.0), starts[:-1]) if len(lengths) else np.zeros(0)
    whole = np.repeat(np.where(lengths > 0, whole, 0.0), lengths)
    return np.divide(sums, whole, out=np.full(len(sums), np.nan), where=whole > 0)


def _counted(read: _Read, total: int) -> WordTable:
    """Count words, alone and with each group."""
    if not read.count:
        nothing = np.zeros(0)
        return WordTable([], [], nothing.astype(np.int64), nothing, nothing, np.zeros((0, 0), np.int64), 0, total)
    encoded = pa.chunked_array(read.words).combine_chunks().dictionary_encode()
    names, codes = encoded.dictionary, encoded.indices.to_numpy().astype(np.int64)
    sample = np.concatenate(read.samples)
    keys, place = np.unique(sample * max(len(names), 1) + codes, return_inverse=True)
    of_sample, of_word = keys // max(len(names), 1), keys % max(len(names), 1)
    # a word that occurs twice in a text counts once, with what both get; NaN, where the whole text has none, stays NaN
    share: Floats = np.bincount(place, np.concatenate(read.shares), minlength=len(keys)).astype(np.float64)
    n = np.bincount(of_word, minlength=len(names))
    kept = np.lexsort((np.arange(len(names)), -n))[:WORDS]
    number = np.full(len(names), -1)
    number[kept] = np.arange(len(kept))
    known, words_of_text = np.isfinite(share), np.concatenate(read.lengths)[of_sample]
    groups, of_group = _groups(read)
    return WordTable(
        words=names.take(pa.array(kept)).to_pylist(),
        groups=groups,
        n=n[kept],
        share=_mean(of_word, share, known, len(names))[kept],
        times=_mean(of_word, share * words_of_text, known, len(names))[kept],
        together=_together(number[of_word], [one[of_sample] for one in of_group], len(kept)),
        read=read.count,
        total=total,
    )


def _mean(of_word: Ints, values: Floats, known: NDArray[np.bool_], words: int) -> Floats:
    """Mean of the known values of each word, NaN without any."""
    sums = np.bincount(of_word[known], values[known], minlength=words)
    n = np.bincount(of_word[known], minlength=words)
    return np.divide(sums, n, out=np.full(words, np.nan), where=n > 0)


def _together(number: Ints, of_group: list[NDArray[np.bool_]], words: int) -> Ints:
    """Samples of each group with each word [V, G]; `number` [K] is the word of an entry, -1 for none that is kept."""
    columns = [np.bincount(number[inside & (number >= 0)], minlength=words) for inside in of_group]
    return np.stack(columns, axis=1) if columns else np.zeros((words, 0), np.int64)


def _groups(read: _Read) -> tuple[list[Group], list[NDArray[np.bool_]]]:
    """Predicted classes, or the tenths of the scores where nothing is predicted; with their samples, [S] each."""
    encoded = pa.chunked_array(read.predicted).combine_chunks().dictionary_encode()
    scores = np.concatenate(read.scores)
    if not len(encoded.dictionary):
        return _tenths(scores)
    codes = encoded.indices.fill_null(-1).to_numpy()
    sizes = np.bincount(codes[codes >= 0], minlength=len(encoded.dictionary))
    order = np.argsort(-sizes, kind="stable")[:GROUPS]
    names = encoded.dictionary.to_pylist()
    groups = [Group(names[k], int(sizes[k]), Filter("predicted", "in", (names[k],))) for k in order]
    return groups, [codes == k for k in order]


def _tenths(scores: NDArray[np.float64]) -> tuple[list[Group], list[NDArray[np.bool_]]]:
    """The samples up to the first, and from the last, decile of the scores; none where these are the same."""
    finite = scores[np.isfinite(scores)]
    if len(finite) < 20:
        return [], []
    low, high = np.quantile(finite, [0.1, 0.9], method="nearest")
    if low >= high:
        return [], []
    ends = {TENTHS[0]: (high, finite.max()), TENTHS[1]: (finite.min(), low)}
    inside = [(scores >= first) & (scores <= last) for first, last in ends.values()]
    groups = [
        Group(name, int(rows.sum()), Filter("score", "between", (float(first), float(last))))
        for (name, (first, last)), rows in zip(ends.items(), inside, strict=True)
    ]
    return groups, inside


def samples_with_word(
    reader: RunReader, query: SampleQuery, word: str, page: int = 1, size: int = 12
) -> tuple[int, list[int]]:
    """How many samples of a query have a word, upper and lower case alike, and the ids of one page of them.

    Those with the word among their most relevant ones come first. Runs without words (see `has_words`) have none.
    """
    if not has_words(reader):
        return 0, []
    query = replace(query, modality="text", sort="sample_id", descending=False)
    tables, params = source(reader, query, "words")
    lower = word.lower()
    has = "contains(lower(s.text), ?) AND list_contains(list_transform(s.words, lambda w: lower(w)), ?)"
    carries = "coalesce(list_contains(list_transform(e.top_tokens, lambda w: lower(w)), ?), false)"
    rows = reader.query(
        f"SELECT e.sample_id, count(*) OVER () AS n {tables} AND {has} ORDER BY {carries} DESC, e.sample_id "
        "LIMIT ? OFFSET ?",
        [*params, lower, lower, lower, int(size), (int(page) - 1) * int(size)],
    )
    return (rows[0]["n"] if rows else 0), [row["sample_id"] for row in rows]
