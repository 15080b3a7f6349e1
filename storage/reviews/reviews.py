"""The front door: what people said, and saying it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sqlalchemy import select

from storage.errors import StoreError
from storage.reviews import members, named_views, tags, verdicts
from storage.reviews.agreement import Agreement, agreement_of
from storage.reviews.checks import (
    NOTE_CHARACTERS,
    PARAMS_CHARACTERS,
    checked_choice,
    checked_ids,
    checked_name,
    checked_tag,
    checked_text,
)
from storage.reviews.database import Database
from storage.reviews.entries import ROLES, VERDICTS, Entry, Member, SavedView, TagChange
from storage.reviews.place import find_place
from storage.reviews.tables import state


class Reviews:
    """Verdicts, tags, saved views and roles. Get one per process with `Reviews.open`; threads may share it.

    Everything is a log that only grows; undoing and removing add lines. Reading makes nothing and gives empty results
    as long as nobody has written. Every method raises StoreError in one line when the database cannot be reached, is
    damaged or refuses, and StoreTooNew when a newer version made it; what a method was to store is then not stored.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def __repr__(self) -> str:
        return f"Reviews({self._database.place.name})"

    @classmethod
    def open(cls, store: str | Path, url: str | None = None) -> Reviews:
        """The reviews of a store, in its `reviews.db`, or in the database of an SQLAlchemy `url`.

        Connects to nothing yet. StoreError for an address that cannot be one, which is never repeated in messages.
        """
        return cls(Database(find_place(Path(store), url)))

    @property
    def writable(self) -> bool:
        """Whether verdicts can be given here: False for a read-only folder, a standby, a role that may only read."""
        return self._database.writable()

    def version(self) -> tuple[str, int]:
        """Changes with every write by anybody, and only then; for caches."""
        asked = select(state.c.database_id, state.c.last_id)
        return self._database.read(lambda c: tuple(c.execute(asked).one()), ("", 0))

    def close(self) -> None:
        """Close the connections; using it again opens new ones."""
        self._database.place.engine.dispose()

    # verdicts

    def give_verdict(self, run: str, suspect: str, verdict: str, reviewer: str, note: str = "") -> Entry:
        """Append a verdict (one of VERDICTS); it replaces the reviewer's earlier one of this suspect."""
        checked_choice(verdict, "verdict", VERDICTS)
        _check_run_and_reviewer(run, reviewer)
        checked_name(suspect, "the name of a suspect")
        checked_text(note, "a note", NOTE_CHARACTERS, least=0)
        return self._database.write(
            lambda c: verdicts.append(c, run=run, suspect=suspect, reviewer=reviewer, verdict=verdict, note=note)
        )

    def undo_verdict(self, run: str, reviewer: str, suspect: str | None = None) -> Entry | None:
        """Append an entry that takes back the reviewer's latest standing verdict, of a suspect or of the whole run.

        What the reviewer said before it stands again; undoing once more takes that back, too. None when there is none.
        """
        _check_run_and_reviewer(run, reviewer)
        if suspect is not None:
            checked_name(suspect, "the name of a suspect")
        return self._database.write(lambda c: verdicts.take_back(c, run, reviewer, suspect))

    def standing(self, run: str) -> list[Entry]:
        """Per suspect and reviewer the latest verdict that was not taken back, oldest first."""
        return self._database.read(lambda c: verdicts.standing(c, run), [])

    def history(self, run: str, suspect: str | None = None) -> list[Entry]:
        """Everything that was said, undone or not, oldest first."""
        return self._database.read(lambda c: verdicts.history(c, run, suspect), [])

    def agreement(self, run: str) -> Agreement:
        """How well the reviewers of a run agree beyond chance."""
        return agreement_of(self.standing(run))

    # tags

    def tag(self, run: str, sample_ids: Iterable[int], tag: str, reviewer: str) -> int:
        """Tag samples; the number of those that did not have it."""
        return self._change_tag(run, sample_ids, tag, reviewer, added=True)

    def untag(self, run: str, sample_ids: Iterable[int], tag: str, reviewer: str) -> int:
        """Take a tag from samples; the number of those that had it."""
        return self._change_tag(run, sample_ids, tag, reviewer, added=False)

    def _change_tag(self, run: str, sample_ids: Iterable[int], tag: str, reviewer: str, added: bool) -> int:
        _check_run_and_reviewer(run, reviewer)
        ids, tag = checked_ids(sample_ids), checked_tag(tag)
        if not ids.size:
            return 0
        return self._database.write(lambda c: tags.change(c, run, ids, tag, reviewer, added))

    def tags(self, run: str) -> dict[str, int]:
        """Number of samples per tag, by name."""
        return self._database.read(lambda c: tags.counts(c, run), {})

    def tagged(self, run: str, tag: str) -> npt.NDArray[np.int64]:
        """Ids of the samples with a tag, sorted."""
        return self._database.read(lambda c: tags.tagged(c, run, tag.strip()), np.empty(0, np.int64))

    def tags_of(self, run: str, sample_ids: Iterable[int]) -> dict[int, tuple[str, ...]]:
        """Tags of each of the samples, by name; an empty tuple for one without."""
        ids = checked_ids(sample_ids)
        return self._database.read(lambda c: tags.tags_of(c, run, ids), dict.fromkeys(ids.tolist(), ()))

    def tag_history(self, run: str) -> list[TagChange]:
        """Who tagged and untagged how many samples when, oldest first."""
        return self._database.read(lambda c: tags.log(c, run), [])

    # saved views

    def save_view(self, name: str, page: str, params: str, reviewer: str) -> SavedView:
        """Save a view under a name (white space around it is dropped), in place of an earlier one of that name."""
        name = checked_name(name, "the name of a view").strip()
        checked_name(page, "the page of a view")
        checked_text(params, "the query string of a view", PARAMS_CHARACTERS, least=0)
        checked_name(reviewer, "the name of a reviewer")
        return self._database.write(lambda c: named_views.save(c, name, page, params, reviewer))

    def views(self) -> list[SavedView]:
        """The latest view of each name, newest first, without those that were removed."""
        return self._database.read(named_views.views, [])

    def remove_view(self, name: str, reviewer: str) -> None:
        """Remove a view for everybody; StoreError suggests the nearest name when there is none."""
        name = checked_name(name, "the name of a view").strip()
        checked_name(reviewer, "the name of a reviewer")
        self._database.write(lambda c: named_views.remove(c, name, reviewer))

    # roles

    def role_of(self, person: str, default: str) -> str:
        """The person's role; `default` without one, and for what cannot be a name."""
        try:
            checked_name(person, "the name of a person")
        except StoreError:
            return default
        return self._database.read(lambda c: members.role_of(c, person), "") or default

    def set_role(self, person: str, role: str, by: str) -> None:
        """Give a person a role (one of ROLES). Who may do so is for the caller to decide."""
        checked_choice(role, "role", ROLES)
        self._append_role(person, role, by)

    def clear_role(self, person: str, by: str) -> None:
        """Take a person's role away, so that the default holds again."""
        self._append_role(person, "", by)

    def _append_role(self, person: str, role: str, by: str) -> None:
        checked_name(person, "the name of a person")
        checked_name(by, "the name of an admin")
        self._database.write(lambda c: members.append(c, person, role, by))

    def members(self) -> list[Member]:
        """Everybody with a role, by name."""
        return self._database.read(members.members, [])

    def member_history(self) -> list[Member]:
        """Who gave whom which role when, oldest first; role "" where one was taken away."""
        return self._database.read(members.log, [])


def _check_run_and_reviewer(run: str, reviewer: str) -> None:
    checked_name(run, "the name of a run")
    checked_name(reviewer, "the name of a reviewer")
