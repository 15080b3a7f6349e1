"""The schema of a store as a list of named steps; the names are its history."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Sequence

from storage.atomic import read_json, write_json
from storage.errors import MEND, UPGRADE, StoreError, StoreTooNew
from storage.layout import StoreLayout
from storage.lock import FileLock
from storage.schema import SCHEMA_VERSION, is_version

Step = Callable[[StoreLayout], None]


def m001_initial(store: StoreLayout) -> None:
    """One folder per run under `runs/`."""
    store.runs.mkdir(exist_ok=True)


def m002_later_columns(store: StoreLayout) -> None:
    """Grids, regions, detections. Nothing to rewrite: what older files lack, readers give as NULL (`Column.since`)."""


def m003_patches(store: StoreLayout) -> None:
    """States of the most relevant patches, properties of pictures. Nothing to rewrite: older files have none."""


def m004_pairs(store: StoreLayout) -> None:
    """Words, evidence and embeddings of image-text pairs. Nothing to rewrite: older files have none."""


MIGRATIONS: tuple[Step, ...] = (m001_initial, m002_later_columns, m003_patches, m004_pairs)
assert len(MIGRATIONS) == SCHEMA_VERSION, "every schema version has its step"


def stored_version(store: StoreLayout) -> int:
    """The schema version in `store.json`; 0 when the store is yet to be made."""
    try:
        version = read_json(store.header)["schema_version"]
    except FileNotFoundError:
        return 0
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{store.header} is damaged ({error}); {repair(store)}") from error
    if not is_version(version):
        raise StoreError(f"{store.header} has schema_version {version!r}, which is no version; {repair(store)}")
    return int(version)


def repair(store: StoreLayout) -> str:
    """The command that writes a lost or damaged `store.json` anew; its version stands in every run as well."""
    header = json.dumps({"schema_version": max(_versions(store), default=SCHEMA_VERSION)})
    return f"{MEND}echo {shlex.quote(header)} > {shlex.quote(str(store.header))}"


def _versions(store: StoreLayout) -> Iterator[int]:
    """The schema versions of the runs that can be read."""
    for record in store.runs.glob("*/run.json"):
        try:
            version = read_json(record)["schema_version"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if is_version(version):
            yield version


def check_version(store: StoreLayout, supported: int = SCHEMA_VERSION) -> int:
    """The stored version; StoreTooNew when this software is too old for it."""
    version = stored_version(store)
    if version > supported:
        raise StoreTooNew(
            f"store {store.root} was made by a newer version (schema {version}); this one reads up to "
            f"{supported}: {UPGRADE}"
        )
    return version


def migrate(store: StoreLayout, steps: Sequence[Step] = MIGRATIONS) -> list[str]:
    """Bring a store to the newest schema, one recorded step at a time; returns the names of the steps taken.

    Safe to run by several processes at once and to be killed: a step may run again, so it must be repeatable.
    """
    if check_version(store, len(steps)) == len(steps):
        return []
    lock = FileLock(store.lock, f"store {store.root}")
    lock.acquire(patience=10.0)
    try:
        done = []
        for number, step in enumerate(steps[check_version(store, len(steps)) :], start=stored_version(store) + 1):
            step(store)
            write_json(store.header, {"schema_version": number})
            done.append(step.__name__)
        return done
    finally:
        lock.release()
