"""What the dashboard was started with: options after ``--``, then the environment, then defaults."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from storage import ROLES, Store, StoreError
from storage.media.files import is_url

ENVIRONMENT = "RELEVANCY_AUDIT_STORE"
DEFAULT = "audits"
AUTHS = ("none", "oidc", "header")
DEFAULT_ROLES = (*ROLES, "none")


@dataclass(frozen=True)
class Settings:
    """How this server was started.

    Attributes:
        store: folder of the store, absolute; it need not exist. Of a store at a URL its mirror on this machine.
        mirror: the URL of the store, if it has one.
        reviews: SQLAlchemy URL of the reviews database; None: a SQLite file in the store.
        auth: 'none' (people type their name), 'oidc' (``st.login``), 'header' (a reverse proxy names them).
        header: the request header that carries the name, with ``auth='header'``.
        admins: people who are admins whatever the table of roles says.
        default_role: role of people whom the table of roles does not name, once ``auth`` is not 'none'. With 'none'
            they see nothing, and neither does who is not logged in.
    """

    store: Path
    mirror: str | None = None
    reviews: str | None = None
    auth: str = "none"
    header: str = "X-Forwarded-User"
    admins: tuple[str, ...] = ()
    default_role: str = "reader"


def parser() -> ArgumentParser:
    """The options that ``python -m dashboard`` and ``streamlit run dashboard/app.py --`` share."""
    env = os.environ.get
    options = ArgumentParser(add_help=False, allow_abbrev=False)
    options.add_argument("--store", default=env(ENVIRONMENT) or DEFAULT, help="folder or URL of the store")
    options.add_argument(
        "--auth",
        choices=AUTHS,
        default=env("RELEVANCY_AUDIT_AUTH") or "none",
        help="who people are: as they say (none), OpenID Connect (oidc), or a header of a reverse proxy (header)",
    )
    options.add_argument(
        "--auth-header",
        default=env("RELEVANCY_AUDIT_AUTH_HEADER") or Settings.header,
        help="the header that names people, with --auth header",
    )
    options.add_argument(
        "--admin", action="append", default=[], metavar="NAME", help="a person who is an admin; may be repeated"
    )
    options.add_argument(
        "--default-role",
        choices=DEFAULT_ROLES,
        default=env("RELEVANCY_AUDIT_DEFAULT_ROLE") or "reader",
        help="role of people who have none yet, once --auth is set; with none, only people with a role see anything",
    )
    return options


def settings(arguments: Sequence[str] | None = None) -> Settings:
    """The settings; unknown options are ignored, as Streamlit has its own. A database URL comes by environment only.

    (``RELEVANCY_AUDIT_REVIEWS``: it may hold a password, which a command line would show to every user of the machine.)
    """
    told = tuple(sorted(item for item in os.environ.items() if item[0].startswith("RELEVANCY_AUDIT_")))
    return _settings(tuple(sys.argv[1:] if arguments is None else arguments), told, os.getcwd())


@lru_cache(maxsize=8)  # a page asks some ten times, and to make a parser takes 20 ms
def _settings(arguments: tuple[str, ...], environment: tuple[tuple[str, str], ...], folder: str) -> Settings:
    """The settings; the environment and the working folder are read again where they changed."""
    known, _ = parser().parse_known_args(list(arguments))
    for name, value, allowed in (("AUTH", known.auth, AUTHS), ("DEFAULT_ROLE", known.default_role, DEFAULT_ROLES)):
        if value not in allowed:  # argparse checks options, not defaults
            raise StoreError(f"RELEVANCY_AUDIT_{name} is {value!r}; it may be {', '.join(allowed)}")
    admins = [name.strip() for name in (os.environ.get("RELEVANCY_AUDIT_ADMINS") or "").split(",")]
    return Settings(
        store=Store(known.store).root,
        mirror=known.store if is_url(known.store) else None,
        reviews=os.environ.get("RELEVANCY_AUDIT_REVIEWS") or None,
        auth=known.auth,
        header=known.auth_header,
        admins=tuple(name for name in (*known.admin, *admins) if name),
        default_role=known.default_role,
    )


def store_path(arguments: Sequence[str] | None = None) -> Path:
    """The folder of the store, absolute; it need not exist."""
    return settings(arguments).store
