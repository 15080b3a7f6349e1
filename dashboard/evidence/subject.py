"""The suspect that the page is about, and questions about it with cached answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar, cast

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard.data import Row, Run
from storage import SampleQuery
from storage.queries.members import Peers
from storage.queries.pages import widened

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Subject:
    """A suspect of a run. `stamp` changes when the list of suspects is made anew."""

    run: Run
    row: Row
    target: str
    modality: str
    searched: int
    total: int
    stamp: int
    _read: dict[int, Row | None] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, run: Run, row: Row) -> Subject:
        """The suspect of a row, with the target that it was found for."""
        about, targets = run.suspects().about, run.targets()
        target = about.get("target")
        target = target if target in targets else next(iter(targets), "")
        modalities = targets.get(target, ["image"])
        modality = "text" if row["kind"] == "word" and "text" in modalities else modalities[0]
        total = int(about.get("total") or 0)
        try:
            stamp = run.reader.run.suspects.stat().st_mtime_ns
        except OSError:
            stamp = 0
        return cls(run, row, target, modality, int(about.get("samples") or total), total, stamp)

    @property
    def id(self) -> str:
        """Its name in links."""
        return str(self.row["id"])

    @property
    def kind(self) -> str:
        """The detector that found it."""
        return str(self.row["kind"])

    @property
    def of_pairs(self) -> bool:
        """Whether it is about scores of image-text pairs."""
        return self.kind.startswith("pair_")

    @property
    def class_name(self) -> str:
        """The class, or the word, or the kind of scores."""
        return str(self.row.get("class_name") or "its class")

    @property
    def evidence(self) -> Row:
        """The numbers behind it."""
        return cast(Row, self.row.get("evidence") or {})

    @property
    def cue(self) -> Row:
        """How to find the cue again."""
        return cast(Row, self.row.get("cue") or {})

    @cached_property
    def members(self) -> NDArray[np.int64]:
        """Ids of the samples that show the cue, strongest first."""
        return np.asarray(self.row["sample_ids"], dtype=np.int64)

    @cached_property
    def elsewhere(self) -> NDArray[np.int64]:
        """Ids of samples that show the cue and are called something else; not always all of them."""
        return np.asarray(self.evidence.get("elsewhere_ids") or [], dtype=np.int64)

    @property
    def partly_searched(self) -> bool:
        """Whether cues were looked for in a part of the samples only: the others may show it as well."""
        return bool(self.total) and self.searched < self.total

    @property
    def member_set(self) -> str:
        """The kept set of its members."""
        return self.run.reader.sets.keep(self.members)

    @property
    def cue_set(self) -> str:
        """The kept set of all samples that are known to show the cue."""
        return self.run.reader.sets.keep(np.concatenate([self.members, self.elsewhere]))

    def peers(self, by: str) -> Peers:
        """The samples of its class: by 'label' or 'predicted', by 'word', or 'all'."""
        index = self.row.get("class_index")
        return Peers(self.target, self.modality, by, self.class_name, -1 if index is None else int(index))

    def rows(self, ids: Sequence[int]) -> list[Row]:
        """What tiles and passages need of some samples, in their order; unknown ids lack.

        Samples that were read before are not read again: ask for those of the whole page at once, first.
        """
        missing = tuple(dict.fromkeys(int(i) for i in ids if int(i) not in self._read))
        if missing:
            self._read.update(dict.fromkeys(missing))
            self._read.update({row["sample_id"]: row for row in self.ask(_rows, *missing)})
        return [row for i in ids if (row := self._read[int(i)]) is not None]

    def ask(self, question: Callable[..., Answer], *arguments: Any) -> Answer:
        """The answer of a module's function of the subject and plain arguments, kept until run or suspects change."""
        name = f"{question.__module__}.{question.__qualname__}"
        run = self.run
        key = (str(run.store), run.id, run.record.created_at, run.reader.version, self.stamp, self.id, name, arguments)
        return cast(Answer, _answer(key, self, question))


def _rows(subject: Subject, *ids: int) -> list[Row]:
    return widened(subject.run.reader, list(ids), SampleQuery(target=subject.target, modality=subject.modality))


@st.cache_data(show_spinner=False, max_entries=256)
def _answer(key: tuple[Any, ...], _subject: Subject, _question: Callable[..., Any]) -> Any:
    return _question(_subject, *key[-1])
