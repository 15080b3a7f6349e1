"""Who looks at the dashboard, and what that person may do.

Without log-in (``--auth none``, the default, for one machine or a trusted network) people type their name once; the
browser remembers it in a cookie, and everybody may review. With ``oidc`` or ``header`` names are given, roles come
from the reviews database, and who is anonymous may only read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

import streamlit as st

from dashboard import reviews, state
from dashboard.settings import Settings, settings
from dashboard.words import literal
from storage import StoreError
from storage.errors import line

COOKIE, YEAR = "relevancy_audit_reviewer", 31_536_000
MAX_NAME, MAX_GIVEN = 80, 200
_TYPED = "person_name"


@dataclass(frozen=True)
class Person:
    """A visitor: ``name`` is empty while nobody knows it."""

    name: str
    role: str

    @property
    def may_read(self) -> bool:
        """Whether pages are shown at all."""
        return self.role != "none"

    @property
    def may_review(self) -> bool:
        """Whether verdicts, tags and saved views are accepted."""
        return bool(self.name) and self.role in ("reviewer", "admin")

    @property
    def may_administer(self) -> bool:
        """Whether roles may be given."""
        return bool(self.name) and self.role == "admin"


def current() -> Person:
    """The person at this browser."""
    how = settings()
    name = _name(how)
    if how.auth == "none":
        return Person(name, "admin")
    nobody = "none" if how.default_role == "none" else "reader"
    if not name:
        return Person("", nobody)
    if name in how.admins:
        return Person(name, "admin")
    try:
        return Person(name, reviews.of(how.store).role_of(name, how.default_role))
    except StoreError:  # who cannot be looked up has the least that anybody has
        return Person(name, nobody)


def _name(how: Settings) -> str:
    if how.auth == "oidc":
        return given(provided(st.user)) if st.user.is_logged_in else ""
    if how.auth == "header":
        return given(st.context.headers.get(how.header) or "")
    typed = st.session_state.get(_TYPED)
    return clean(typed if isinstance(typed, str) else unquote(st.context.cookies.get(COOKIE) or ""))


def provided(claims: Mapping[str, Any]) -> str:
    """Who a provider says somebody is: the e-mail address, unless nobody has checked that; else the subject."""
    unchecked = str(claims.get("email_verified", "")).lower() == "false"
    return str((not unchecked and claims.get("email")) or claims.get("sub") or "")


def given(name: str) -> str:
    """A name that a proxy or provider gives, exactly as it is; "" (nobody) for one that cannot be shown or kept so.

    It is never mended: the mended name could be that of somebody else, with more rights.
    """
    name = name.strip(" \t")
    return name if name == line(name, MAX_GIVEN + 1) and len(name) <= MAX_GIVEN else ""


def clean(name: str) -> str:
    """A typed name on one line, not too long, of characters that can be shown."""
    return " ".join(line(name, len(name) + 1).replace("\N{REPLACEMENT CHARACTER}", " ").split())[:MAX_NAME].strip()


def panel() -> None:
    """The bottom of the sidebar: who you are, and the way in and out."""
    how, person = settings(), current()
    with st.sidebar:
        if how.auth == "none":
            _ask_name(person)
        elif how.auth == "oidc":
            _log_in_or_out(person)
        elif person.name:
            st.text(f"{person.name} ({person.role})")
        else:
            st.caption("Not logged in: you may read, not review.")


def closed(person: Person) -> None:
    """What somebody sees who may see nothing: the way in, or whom to ask."""
    st.title("Relevancy Audit")
    if person.name:
        st.info(literal(f"You are logged in as {person.name}; an admin can give you a role."), icon=":material/lock:")
    else:
        st.info("Log in to see anything here.", icon=":material/lock:")
    if settings().auth == "oidc":
        _log_in_or_out(person)


def why_not(person: Person) -> str:
    """Why a person may not review, in words; empty for who may."""
    if person.may_review:
        return ""
    if person.name:
        return f"You are a {person.role}; an admin can make you a reviewer on the Team page."
    return "Type your name in the sidebar first." if settings().auth == "none" else "Log in to review."


def _ask_name(person: Person) -> None:
    st.text_input(
        "Your name",
        max_chars=MAX_NAME,
        placeholder="to give verdicts and tags",
        help="Stands beside your verdicts, tags and saved views. This browser remembers it.",
        icon=":material/person:",
        **state.control("reviewer_name", person.name, _typed),
    )
    name = st.session_state.get(_TYPED)
    if name is not None:  # at every run: one may be overtaken before it reaches the browser, and once more is harmless
        cookie = f"{COOKIE}={quote(name, safe='')}; path=/; max-age={YEAR}; samesite=lax"
        st.html(f"<script>document.cookie = {cookie!r}</script>", unsafe_allow_javascript=True)


def _typed(name: str) -> None:
    """Kept apart from the widget, whose state Streamlit drops when another page is opened."""
    st.session_state[_TYPED] = clean(name)


def _log_in_or_out(person: Person) -> None:
    if person.name:
        st.text(f"{person.name} ({person.role})")
        st.button("Log out", icon=":material/logout:", on_click=st.logout, key="log_out")
    else:
        st.button("Log in", icon=":material/login:", on_click=st.login, key="log_in", width="stretch")
