"""Writing a run: commit parts, seal segments, leave a store that any crash finds whole."""

from __future__ import annotations

import errno
import shutil
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from types import TracebackType
from typing import Any

import duckdb
import pyarrow as pa

from storage import parts as part_files
from storage.atomic import sync_folder, write_bytes, write_json
from storage.checksums import checksum
from storage.errors import StoreError
from storage.layout import RunLayout, StoreLayout
from storage.lock import FileLock
from storage.manifests import PartManifest, Snapshot, take_snapshot, write_manifest
from storage.migrations import migrate
from storage.record import STATES, RunRecord, new_record, now, read_record, resumed, write_record
from storage.retire import GRACE_SECONDS, remove_retired, remove_retired_elsewhere
from storage.segments import SEGMENT_SAMPLES, build_segment, discard, grouped
from storage.sweep import sweep_run

# Reading slows down with the parts that are not sealed (about 1 ms each per query), and with the number of segments:
# wait for 64 parts, or for a sixteenth of what is sealed already, but for no more than 512.
SEAL_EVERY = 64
SEAL_SHARE = 16
SEAL_MOST = 512
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


def parts_awaited(sealed: int, seal_every: int = SEAL_EVERY) -> int:
    """How many parts wait until they are sealed together, when `sealed` parts are sealed already."""
    return max(seal_every, min(sealed // SEAL_SHARE, SEAL_MOST))


class RunWriter:
    """The one process that writes a run. Use as a context manager; its methods may be called from any thread.

    `record` holds spec, model, dataset, versions and notes. `may_differ` names spec fields (workers, device)
    that a resumed run may have changed. Parts are sealed by `seal`, and by themselves when `seal_every` of them
    wait (0: never; the number grows slowly with the run). Parts that a segment replaced are kept for
    `grace_seconds`, for readers that have not noticed.
    """

    def __init__(
        self,
        store: StoreLayout,
        run_id: str,
        record: Mapping[str, Any],
        *,
        may_differ: Collection[str] = (),
        seal_every: int = SEAL_EVERY,
        segment_samples: int = SEGMENT_SAMPLES,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self.run: RunLayout = store.run(run_id)
        self.seal_every = seal_every
        self.segment_samples = segment_samples
        self.grace_seconds = grace_seconds
        self._store = store
        self._given = record
        self._may_differ = may_differ
        self._lock = FileLock(self.run.lock, f"run {run_id!r} in {store.root}")
        self._guard = threading.RLock()
        self._snapshot: Snapshot | None = None
        self._record: RunRecord | None = None
        self._before: RunRecord | None = None
        self._committed: set[int] = set()
        self._samples = 0
        self._sealed = 0
        self._wrote = False

    # -- life cycle -----------------------------------------------------------------------------------

    def __enter__(self) -> RunWriter:
        """Take the lock, tidy up after a killed writer, publish the record with state 'running'."""
        record = new_record(self.run.run_id, self._given)
        part_files.part_schema(record.metadata)  # refuse bad metadata before anything is made
        with self._disk("nothing was written"):
            for folder in (self.run.folder, self.run.parts, self.run.segments):
                folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        try:
            with self._disk("nothing was written"):
                self._open(record)
        except BaseException:
            self._lock.release()
            raise
        return self

    def _open(self, record: RunRecord) -> None:
        """Everything `__enter__` does once it holds the lock."""
        migrate(self._store)
        if self.run.record.exists():
            self._before = read_record(self.run)
            record = resumed(self._before, record, self._may_differ)
        self._tidy()
        self._record = record
        write_record(self.run, record)
        sync_folder(self._store.runs)
        remove_retired_elsewhere(self._store, self.run, self.grace_seconds)

    def _tidy(self) -> None:
        """Sweep half-written files, unpublished segments and retired parts; then look at what there is."""
        sweep_run(self.run)
        for number in take_snapshot(self.run).lost_segments:
            self.run.segment_manifest(number).unlink(missing_ok=True)
        for database in self.run.segments.glob("*.duckdb"):
            if not database.with_suffix(".json").exists():
                discard(database)
        remove_retired(self.run, self.grace_seconds)
        self._look()

    def _look(self) -> None:
        self._snapshot = take_snapshot(self.run, verified=True)
        self._committed = self._snapshot.committed
        self._samples = self._snapshot.contents.samples
        self._sealed = len(self._snapshot.sealed)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Without `finish` the run stays resumable, as 'interrupted'; then the lock is given back."""
        try:
            if self._record is not None and self._record.state == "running":
                try:
                    self.finish("interrupted")
                except (StoreError, OSError):  # a full disk: the error that is on its way says so already
                    if error is None:
                        raise
        finally:
            self._lock.release()

    # -- what a job calls -----------------------------------------------------------------------------

    @property
    def record(self) -> RunRecord:
        """The record as it is on disk."""
        if self._record is None:
            raise StoreError(f"run {self.run.run_id!r} is not open for writing; use the writer in a with statement")
        return self._record

    @property
    def committed(self) -> set[int]:
        """Indices of parts that need no more work: sealed, or committed with a whole Parquet file."""
        with self._guard:
            return set(self._committed)

    @property
    def tail_parts(self) -> int:
        """Committed parts that are not sealed yet."""
        with self._guard:
            return len(self._committed) - self._sealed

    @property
    def redo(self) -> dict[int, str]:
        """Parts that count as not done because their file was lost, cut or damaged since, with the reason."""
        return dict(self._snapshot.redo) if self._snapshot else {}

    def commit_part(
        self,
        index: int,
        table: pa.Table,
        *,
        failures: Iterable[Mapping[str, Any]] = (),
        seconds: Mapping[str, float] | None = None,
    ) -> bool:
        """Store one part durably. False when it was committed before (then nothing is written).

        `table` has the columns of `part_schema(metadata)`; `failures` are dicts of sample_id, uri, reason;
        `seconds` holds read, compute, write. Raises StoreError for a bad table, a full disk or lost permission;
        the part is then not committed and every earlier part is safe.
        """
        if index < 0:
            raise StoreError(f"part index {index} is negative; nothing was written")
        checked = part_files.checked(table, self.record.metadata)
        failed = part_files.checked_failures(failures)
        contents = part_files.contents(checked, failed, seconds or {}, self.record.metadata)
        content = part_files.encode(checked)
        with self._guard:
            if index in self._committed:
                return False
            manifest = PartManifest(
                part=index,
                contents=contents,
                bytes=len(content),
                checksum=checksum(content),
                committed_at=now(),
                failures=failed,
            )
            with self._disk(f"part {index} was not committed"):
                self._publish(manifest, content)
            self._committed.add(index)
            self._samples += contents.samples
            self._wrote = True
            if self.seal_every and self.tail_parts >= parts_awaited(self._sealed, self.seal_every):
                self.seal()
        return True

    def _publish(self, manifest: PartManifest, content: memoryview) -> None:
        """The order that makes a crash harmless: no manifest, file, manifest."""
        path = self.run.part_manifest(manifest.part)
        if path.exists():
            path.unlink()
            sync_folder(path.parent)
        write_bytes(self.run.part(manifest.part), content)
        write_manifest(path, manifest)

    def update_progress(self, progress: Mapping[str, Any]) -> None:
        """Replace the heartbeat: samples, parts_total, samples_per_second, eta_seconds, and whatever else."""
        with self._disk("the progress was not written"):
            write_json(self.run.progress, {**progress, "updated_at": now()})

    def seal(self) -> int:
        """Build segments from the parts that are not sealed yet; returns how many.

        Readers may be attached meanwhile. Replaced parts are removed at a later `seal` or opening, after
        `GRACE_SECONDS`. A part whose file is damaged is dropped with a StoreError, to be computed again.
        """
        with self._guard, self._disk("the segment was not built; its parts are untouched"):
            remove_retired(self.run, self.grace_seconds)
            snapshot = take_snapshot(self.run)
            whole, damaged = self._verified(snapshot.tail)
            number = self._next_segment()
            groups = list(grouped(whole, self.segment_samples))
            for offset, group in enumerate(groups):
                build_segment(self.run, self.record, number + offset, group)
            self._look()
        if damaged:
            raise StoreError(
                f"{len(damaged)} part(s) of run {self.run.run_id!r}, first part {damaged[0]}, were damaged on "
                f"disk (checksum differs) and dropped; {self._samples:,} samples are safe, run the same command "
                "again to compute the others anew"
            )
        return len(groups)

    def _next_segment(self) -> int:
        numbers = [int(path.stem) for path in self.run.segments.glob("*.json") if path.stem.isdigit()]
        return max(numbers, default=-1) + 1

    def _verified(self, tail: Iterable[PartManifest]) -> tuple[list[PartManifest], list[int]]:
        """Parts whose checksum is right, and the indices of the others, which are un-committed."""
        whole, damaged = [], []
        for part in tail:
            if checksum(self.run.part(part.part).read_bytes()) == part.checksum:
                whole.append(part)
            else:
                self.run.part_manifest(part.part).unlink()
                damaged.append(part.part)
        return whole, damaged

    def finish(self, state: str = "finished") -> None:
        """Write the final state: 'finished', 'interrupted' or 'failed'."""
        if state not in STATES[1:]:
            raise StoreError(f"unknown run state {state!r}; available: {', '.join(STATES[1:])}")
        finished_at = now()
        if self._before and self._before.state == state == "finished" and not self._wrote:
            finished_at = self._before.finished_at or finished_at  # it was finished then; nothing came to it
        with self._disk("the final state was not written"):
            record = replace(self.record, state=state, finished_at=finished_at)
            write_record(self.run, record)
            self._record = record

    def withdraw(self) -> None:
        """Remove a run that made no sense, as if it had never been begun.

        Nothing is removed when it was there before, or when a part is committed: then it stays resumable.
        """
        if self._before is None and not self.committed:
            self._record = None  # nothing to finish any more
            shutil.rmtree(self.run.folder, ignore_errors=True)

    # -- trouble --------------------------------------------------------------------------------------

    @contextmanager
    def _disk(self, state: str) -> Iterator[None]:
        """Turn a full disk and lost permission into one clear line."""
        try:
            yield
        except OSError as error:
            raise StoreError(self._trouble(error.errno, error.strerror or str(error), state)) from error
        except duckdb.Error as error:
            text = str(error).splitlines()[0]
            number = errno.ENOSPC if "No space left" in text or "File too large" in text else None
            raise StoreError(self._trouble(number, text, state)) from error

    def _trouble(self, number: int | None, text: str, state: str) -> str:
        safe = f"{self._samples:,} samples in {len(self._committed):,} parts are safe in {self._store.root}"
        if number in _FULL:
            return (
                f"the disk is full ({self.run.folder}): {state}; {safe}. Free some space and run the same command again"
            )
        if number in _FORBIDDEN:
            return (
                f"no permission to write in {self.run.folder} ({text}): {state}; {safe}. "
                "Make it writable and run the same command again"
            )
        return f"{self.run.folder} cannot be written ({text}): {state}; {safe}. Run the same command again"
