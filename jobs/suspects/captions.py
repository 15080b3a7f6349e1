"""Names from words: what the texts of a suspect's samples say that those of the rest of its class do not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.suspects import Candidate, WordCue, telling_words
from engine.suspects.vocabulary import MOST
from jobs.suspects.gather import Gathered
from storage import RunReader

READ = 5000  # texts of each side that are read, chosen at random if there are more
Telling = list[tuple[str, float, float]]


def caption_words(
    chosen: Sequence[Candidate], gathered: Gathered, reader: RunReader, seed: int
) -> list[Telling] | None:
    """Per suspect (word, share of its samples' texts, share of those of the other samples predicted as its class).

    None where the run's samples have no texts.
    """
    if not reader.query("SELECT 1 FROM samples WHERE text IS NOT NULL LIMIT 1"):
        return None
    return [_words(one, gathered, reader, np.random.default_rng((seed, one.class_index))) for one in chosen]


def _words(one: Candidate, gathered: Gathered, reader: RunReader, rng: np.random.Generator) -> Telling:
    others = np.setdiff1d(gathered.seen.of_class(one.class_index), one.members)
    inside, outside = (_texts(gathered.ids[_some(rows, rng)], reader) for rows in (one.members, others))
    own = one.cue.word if isinstance(one.cue, WordCue) else None  # says nothing new of a suspect that it is
    found = [entry for entry in telling_words(inside, outside, MOST + 1) if entry[0] != own]
    return [(word, round(share, 5), round(other, 5)) for word, share, other in found[:MOST]]


def _some(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rows if len(rows) <= READ else np.sort(rng.choice(rows, READ, replace=False))


def _texts(ids: np.ndarray, reader: RunReader) -> list[str]:
    """Texts of those samples that have one."""
    sql = "SELECT text FROM samples WHERE text IS NOT NULL AND sample_id IN (SELECT unnest(?))"
    return [row["text"] for row in reader.query(sql, [ids.tolist()])]
