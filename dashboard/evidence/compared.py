"""Which samples are compared where all would be too many: members, and as many others of the class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dashboard.evidence.subject import Subject
from storage.queries import members as queries
from storage.queries.members import Peers

MOST = 1000  # members, and as many others; their vectors are read, which is what costs time


@dataclass(frozen=True)
class Compared:
    """Ids of members and of other samples of the class, and how many members there are in all."""

    members: NDArray[np.int64]
    others: NDArray[np.int64]
    of: int

    @property
    def note(self) -> str:
        """Which part of the members this is, in words; empty for all of them."""
        if len(self.members) == self.of:
            return ""
        return f"A sample: {len(self.members):,} of {self.of:,} members and {len(self.others):,} others."


def compared(subject: Subject) -> Compared:
    """The same samples at each call; ask for it with ``subject.ask``."""
    members = queries.blockwise(subject.members, MOST)
    others = queries.peers_of(
        subject.run.reader, class_of(subject), subject.member_set, max(len(members), 100), blockwise=True
    )
    return Compared(members, np.asarray(others, dtype=np.int64), len(subject.members))


def class_of(subject: Subject) -> Peers:
    """The samples called as the class; of pairs those with the cue's word, or all."""
    if not subject.of_pairs:
        return subject.peers("predicted")
    word = subject.cue.get("word") if subject.kind != "pair_word" else None
    return Peers(subject.target, subject.modality, "word" if word else "all", str(word or ""))


def others_name(subject: Subject) -> str:
    """What the samples that are no members are called."""
    if not subject.of_pairs:
        return f"others called {subject.class_name}"
    word = subject.cue.get("word") if subject.kind != "pair_word" else None
    return f"others with the word “{word}”" if word else "other pairs"
