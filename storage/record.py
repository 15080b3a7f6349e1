"""What a run is: settings, model, dataset, versions, state."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from storage.atomic import plain_json, read_json, write_json
from storage.columns import METADATA_TYPES
from storage.errors import UPGRADE, SpecMismatch, StoreError, StoreTooNew
from storage.layout import RunLayout
from storage.schema import LATER, SCHEMA_VERSION, is_version
from storage.wellformed import WIDEST, is_count, is_metadata

STATES = ("running", "finished", "interrupted", "failed")
_GIVEN = ("spec", "model", "dataset", "versions", "notes")
# A run may only go on when these still say the same; the rest of the dataset's description may change.
_DATASET_IDENTITY = ("fingerprint", "samples", "metadata")


def now() -> str:
    """The time, UTC, ISO 8601 with milliseconds; sorts as text."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True)
class RunRecord:
    """The content of `run.json`. Times are ISO 8601, UTC."""

    run_id: str
    schema_version: int
    state: str
    created_at: str
    finished_at: str | None = None
    spec: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    dataset: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def metadata(self) -> list[dict[str, Any]]:
        """The dataset's metadata columns, `[{"name", "column", "type"}]`."""
        return list(self.dataset.get("metadata") or [])

    @property
    def taken(self) -> frozenset[str]:
        """Later columns of the store whose names the dataset of an earlier run has: there they mean the dataset's."""
        return LATER & {str(entry["column"]) for entry in self.metadata}


def new_record(run_id: str, given: Mapping[str, Any]) -> RunRecord:
    """A record for a run that starts now; `given` holds spec, model, dataset, versions, notes."""
    unknown = set(given) - {f.name for f in fields(RunRecord)}
    if unknown:
        raise StoreError(f"run record has unknown fields {', '.join(sorted(unknown))}; known: {', '.join(_GIVEN)}")
    try:
        content = plain_json({name: given[name] for name in _GIVEN if given.get(name) is not None})
    except (TypeError, ValueError) as error:
        raise StoreError(f"the record of run {run_id!r} cannot be written as JSON: {error}") from error
    return RunRecord(run_id=run_id, schema_version=SCHEMA_VERSION, state="running", created_at=now(), **content)


def read_record(run: RunLayout) -> RunRecord:
    """The record on disk; StoreError when it is unreadable, StoreTooNew when a newer version wrote it."""
    try:
        content = read_json(run.record)
        record = RunRecord(**{f.name: content[f.name] for f in fields(RunRecord) if f.name in content})
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise StoreError(f"run {run.run_id!r} has no readable {run.record}: {error}") from error
    if not is_version(record.schema_version):
        raise StoreError(
            f"{run.record} is damaged: its schema_version is {record.schema_version!r}, which is no version"
        )
    if record.schema_version > SCHEMA_VERSION:
        raise StoreTooNew(
            f"run {run.run_id!r} in {run.folder.parent.parent} was made by a newer version (schema "
            f"{record.schema_version}); this one reads up to {SCHEMA_VERSION}: {UPGRADE}"
        )
    wrong = next(_misshapen(record), None)
    if wrong is not None:
        raise StoreError(f"{run.record} is damaged: its {wrong}")
    return record


def _misshapen(record: RunRecord) -> Iterator[str]:
    """What of a record is not what was once written."""
    kinds = {"run_id": str, "state": str, "created_at": str, **dict.fromkeys(("spec", "model", "dataset"), dict)}
    for name, kind in {**kinds, "versions": dict, "notes": list}.items():
        if not isinstance(getattr(record, name), kind):
            yield f"{name} is {_short(getattr(record, name))}"
    if not isinstance(record.finished_at, str | None):
        yield f"finished_at is {_short(record.finished_at)}"
    if not is_metadata(record.dataset.get("metadata") or [], METADATA_TYPES):
        yield f"dataset names metadata columns that cannot be: {_short(record.dataset['metadata'])}"
    grid = record.model.get("grid")
    if grid is not None and not (isinstance(grid, list) and len(grid) == 2 and all(is_count(n, WIDEST) for n in grid)):
        yield f"model has a grid of {_short(grid)}"


def write_record(run: RunLayout, record: RunRecord) -> None:
    """Replace `run.json`."""
    write_json(run.record, asdict(record))


def resumed(old: RunRecord, new: RunRecord, may_differ: Collection[str] = ()) -> RunRecord:
    """The record of a run that goes on: `new` with the history of `old`; SpecMismatch names what differs."""
    differences = [
        *_differences("", _without(old.spec, may_differ), _without(new.spec, may_differ)),
        *_differences("dataset.", _identity(old.dataset), _identity(new.dataset)),
    ]
    if differences:
        raise SpecMismatch(
            f"run {old.run_id!r} was made with other settings: {'; '.join(differences[:6])}"
            f"{'; ...' if len(differences) > 6 else ''}. Give the new run another name; the run is unchanged"
        )
    notes = [*old.notes, *_version_notes(old.versions, new.versions), *new.notes]
    return RunRecord(
        run_id=old.run_id,
        schema_version=SCHEMA_VERSION,
        state="running",
        created_at=old.created_at,
        spec=old.spec,
        model=new.model or old.model,
        dataset=new.dataset or old.dataset,
        versions=new.versions or old.versions,
        notes=list(dict.fromkeys(notes)),
    )


def _identity(dataset: Mapping[str, Any]) -> dict[str, Any]:
    return {name: dataset.get(name) for name in _DATASET_IDENTITY}


def _without(spec: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in spec.items() if name not in names}


def _differences(prefix: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """`field: old is now new` for every field that differs."""
    names = [*old, *(name for name in new if name not in old)]
    return [
        f"{prefix}{name} was {_short(old.get(name))} and is now {_short(new.get(name))}"
        for name in names
        if old.get(name) != new.get(name)
    ]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _version_notes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """A resumed run that mixes versions says so."""
    return [
        f"resumed with {name} {new[name]}, begun with {old[name]}"
        for name in old
        if name in new and old[name] != new[name]
    ]
