"""The tag log, and which samples have a tag now."""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
from sqlalchemy import BigInteger, ColumnElement, Connection, Select, cast, delete, func, insert, literal, select
from sqlalchemy.dialects.postgresql import ARRAY

from storage.reviews.database import next_id, now
from storage.reviews.entries import TagChange
from storage.reviews.tables import sample_tags, tag_change_samples, tag_changes

Ids = npt.NDArray[np.int64]


def change(connection: Connection, run: str, ids: Ids, tag: str, reviewer: str, added: bool) -> int:
    """Tag samples (`added`) or take the tag from them; how many that changes. Those it does not are not logged."""
    asked = _each(connection, ids)
    has_it = select(1).where(_of(run, tag), sample_tags.c.sample_id == asked.selected_columns.sample_id).exists()
    changed = asked.where(~has_it if added else has_it)
    samples = connection.execute(select(func.count()).select_from(changed.subquery())).scalar_one()
    if samples == 0:
        return 0
    line = next_id(connection)
    connection.execute(
        tag_changes.insert().values(
            id=line, at=now(), run=run, tag=tag, reviewer=reviewer, added=added, samples=samples
        )
    )
    lines = select(literal(line, BigInteger), changed.subquery().c.sample_id)
    connection.execute(insert(tag_change_samples).from_select(["change_id", "sample_id"], lines))
    logged = select(tag_change_samples.c.sample_id).where(tag_change_samples.c.change_id == line)
    if added:
        rows = select(literal(run), literal(tag), logged.subquery().c.sample_id)
        connection.execute(insert(sample_tags).from_select(["run", "tag", "sample_id"], rows))
    else:
        connection.execute(delete(sample_tags).where(_of(run, tag), sample_tags.c.sample_id.in_(logged)))
    return int(samples)


def counts(connection: Connection, run: str) -> dict[str, int]:
    """Samples per tag, by name."""
    asked = select(sample_tags.c.tag, func.count()).where(sample_tags.c.run == run).group_by(sample_tags.c.tag)
    return {tag: int(n) for tag, n in sorted(tuple(row) for row in connection.execute(asked))}


def tagged(connection: Connection, run: str, tag: str) -> Ids:
    """Ids of the samples with a tag, sorted."""
    rows = connection.execute(select(sample_tags.c.sample_id).where(_of(run, tag))).scalars().all()
    return np.sort(np.array(rows, dtype=np.int64))


def tags_of(connection: Connection, run: str, ids: Ids) -> dict[int, tuple[str, ...]]:
    """Tags of each sample asked for, by name; an empty tuple for one without."""
    found: dict[int, list[str]] = {k: [] for k in ids.tolist()}
    asked = select(sample_tags.c.sample_id, sample_tags.c.tag).where(
        sample_tags.c.run == run, sample_tags.c.sample_id.in_(_each(connection, ids))
    )
    for sample, tag in connection.execute(asked):
        found[sample].append(tag)
    return {sample: tuple(sorted(tags)) for sample, tags in found.items()}


def log(connection: Connection, run: str) -> list[TagChange]:
    """All changes, oldest first."""
    asked = select(tag_changes).where(tag_changes.c.run == run).order_by(tag_changes.c.id)
    return [TagChange(*row) for row in connection.execute(asked)]


def _of(run: str, tag: str) -> ColumnElement[bool]:
    return (sample_tags.c.run == run) & (sample_tags.c.tag == tag)


def _each(connection: Connection, ids: Ids) -> Select[tuple[int]]:
    """The ids as rows: one parameter however many there are, where a parameter each would be slow and has a limit."""
    if connection.dialect.name == "sqlite":
        rows = func.json_each(json.dumps(ids.tolist())).table_valued("value")
    else:
        rows = func.unnest(cast(ids.tolist(), ARRAY(BigInteger))).table_valued("value").render_derived()
    return select(cast(rows.c.value, BigInteger).label("sample_id"))
