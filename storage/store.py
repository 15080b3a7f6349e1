"""A store: a folder with the runs of many audits."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from storage.atomic import check_writable, read_json
from storage.errors import StoreError, UnknownRun, suggest
from storage.layout import RUN_ID, RunLayout, StoreLayout
from storage.media.files import is_url
from storage.media.secrets import has_password, shown
from storage.migrations import check_version, migrate, repair
from storage.reader import RunReader
from storage.record import RunRecord, read_record
from storage.remote import Mirror, Sending, address_of
from storage.retire import GRACE_SECONDS
from storage.segments import SEGMENT_SAMPLES
from storage.writer import SEAL_EVERY, RunWriter


def mirror_of(address: str | Path) -> Mirror | None:
    """The mirror of a store at a URL; None for a folder."""
    if has_password(str(address)):
        raise StoreError(
            f"the address {shown(str(address))} of a store holds a password, which would stand in logs and on pages; "
            "give it as the service's own settings do (~/.aws/credentials, an environment variable)"
        )
    return Mirror(str(address)) if is_url(str(address)) else None


class Store:
    """A store that exists. Get one with `Store.open`."""

    def __init__(self, root: str | Path) -> None:
        self.mirror = mirror_of(root)
        self.layout = StoreLayout(self.mirror.folder if self.mirror else Path(root).expanduser().absolute())

    @classmethod
    def open(cls, root: str | Path, create: bool = False) -> Store:
        """The store at `root`; with `create` it is made when missing and brought to the newest schema.

        Of a store at a URL, what is new there is copied to this machine first (see `storage.remote`). Raises
        StoreError when there is none, or (with `create`) when nothing can be written there, and StoreTooNew when a
        newer version made it.
        """
        store = cls(root)
        if store.mirror is not None:
            store.mirror.pull()
        if create:
            store._create()
        elif not store.layout.header.exists():
            if any(store.layout.runs.glob("*/run.json")):
                raise StoreError(
                    f"{store.address} has runs and no store.json, which says their version; {repair(store.layout)}"
                )
            wrong = f"there is no store at {store.address}"
            if store.mirror is None and store.root.is_dir():
                wrong = f"{store.root} is not a store (it has no store.json)"
            raise StoreError(f"{wrong}; `python -m jobs run --data DIR --model NAME --store {store.address}` makes one")
        check_version(store.layout)
        return store

    def _create(self) -> None:
        """Make the folder, or check that the one there can be written; then migrate."""
        if "?" in str(self.root):  # DuckDB takes the rest of the path for parameters
            raise StoreError(f"the path of a store cannot hold a '?': {self.root}; give another with --store")
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            check_version(self.layout)
            check_writable(self.root)
            migrate(self.layout)
        except OSError as error:
            raise StoreError(
                f"the store {self.root} cannot be written ({error.strerror}); nothing was changed. Give "
                "another folder with --store"
            ) from error
        if self.mirror is not None:
            self.mirror.push()

    @property
    def root(self) -> Path:
        """The store's folder, absolute; of a store at a URL its mirror."""
        return self.layout.root

    @property
    def address(self) -> str:
        """What names the store to people and commands: its folder or its URL."""
        return address_of(self.root)

    def sending(self, run_id: str) -> Sending:
        """A context around a writer that keeps the URL of the store up to date; nothing for a folder."""
        return Sending(self.mirror, run_id)

    def send(self, run_id: str) -> None:
        """Bring what changed of a run to the URL of the store; nothing for a folder. Raises StoreError."""
        if self.mirror is not None:
            self.mirror.push(run_id)

    def run_ids(self) -> list[str]:
        """Names of all runs, newest first."""
        found = [(_created_at(run), run.run_id) for run in self._runs()]
        return [run_id for _, run_id in sorted(found, reverse=True)]

    def _runs(self) -> list[RunLayout]:
        """Runs whose record has been written."""
        try:
            folders = list(self.layout.runs.iterdir())
        except FileNotFoundError:
            return []
        runs = [RunLayout(folder) for folder in folders if RUN_ID.fullmatch(folder.name)]
        return [run for run in runs if run.record.exists()]

    def layout_of(self, run_id: str) -> RunLayout:
        """The files of a run; UnknownRun suggests the nearest name."""
        run = self.layout.run(run_id) if RUN_ID.fullmatch(run_id) else None
        if run is None or not run.record.exists():
            known = self.run_ids()
            raise UnknownRun(
                f"there is no run {run_id!r} in {self.address}"
                f"{suggest(run_id, known) if known else '; the store has no runs yet'}"
            )
        return run

    def record(self, run_id: str) -> RunRecord:
        """Settings and state of a run; UnknownRun suggests the nearest name."""
        return read_record(self.layout_of(run_id))

    def reader(self, run_id: str) -> RunReader:
        """Read a run, also while it is being written."""
        return RunReader(self.layout_of(run_id))

    def writer(
        self,
        run_id: str,
        record: Mapping[str, Any],
        *,
        may_differ: Collection[str] = (),
        seal_every: int = SEAL_EVERY,
        segment_samples: int = SEGMENT_SAMPLES,
        grace_seconds: float = GRACE_SECONDS,
    ) -> RunWriter:
        """Write a new run, or go on with one of the same settings (see `RunWriter`)."""
        if not RUN_ID.fullmatch(run_id):
            raise StoreError(
                f"{run_id!r} cannot be the name of a run: use letters, digits, '.', '_' and '-', up to "
                "128, beginning with a letter or digit"
            )
        return RunWriter(
            self.layout,
            run_id,
            record,
            may_differ=may_differ,
            seal_every=seal_every,
            segment_samples=segment_samples,
            grace_seconds=grace_seconds,
        )


def _created_at(run: RunLayout) -> str:
    """Time of creation; an unreadable record sorts last and is reported where it is asked for."""
    try:
        return str(read_json(run.record)["created_at"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
