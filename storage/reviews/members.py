"""The log of roles: the latest line of a person counts."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from storage.reviews.database import next_id, now
from storage.reviews.entries import Member
from storage.reviews.tables import role_changes


def append(connection: Connection, person: str, role: str, by: str) -> Member:
    """Add a line; role "" takes the person's role away."""
    member = Member(next_id(connection), now(), person, role, by)
    connection.execute(role_changes.insert().values(**vars(member)))
    return member


def role_of(connection: Connection, person: str) -> str:
    """The role; "" without one."""
    asked = select(role_changes.c.role).where(role_changes.c.person == person).order_by(role_changes.c.id.desc())
    return connection.execute(asked.limit(1)).scalar() or ""


def members(connection: Connection) -> list[Member]:
    """Everybody with a role, by name."""
    latest = select(func.max(role_changes.c.id)).group_by(role_changes.c.person)
    asked = select(role_changes).where(role_changes.c.id.in_(latest), role_changes.c.role != "")
    return sorted((Member(*row) for row in connection.execute(asked)), key=lambda member: member.person)


def log(connection: Connection) -> list[Member]:
    """All lines, oldest first; role "" where one was taken away."""
    return [Member(*row) for row in connection.execute(select(role_changes).order_by(role_changes.c.id))]
