"""Names of people as browsers, proxies and providers give them: nobody becomes somebody else, no name breaks a page."""

from __future__ import annotations

from urllib.parse import quote, unquote

from hypothesis import strategies as st

from dashboard.identity import MAX_NAME, clean, given
from storage.reviews.checks import checked_name
from tests.reliability.fuzz.dashboards import texts
from tests.reliability.fuzz.target import REFUSED, RIGHT, Target, readable

ADMIN = "ana@example.org"
before = st.sampled_from(("", " ", "\0", "\t", "\u202e", "\u200b", "\r\n"))
after = st.sampled_from(("", " ", "\0", "\n", "\x1b[0m", "\u2028", "x", "." * 300))
near = st.tuples(before, st.sampled_from((ADMIN, "Ana@example.org")), after).map("".join)
cases = st.tuples(st.sampled_from(("typed", "cookie", "given")), st.one_of(texts, near))


def check(case: tuple[str, str]) -> str:
    """As `dashboard.identity` takes a name from the sidebar, a cookie, or a header."""
    how, text = case
    if how == "given":
        name = given(text)
        assert name in ("", text.strip(" \t")), f"{text!r} became {name!r}"
    else:
        name = clean(unquote(quote(text, errors="replace")) if how == "cookie" else text)
        assert len(name) <= MAX_NAME and clean(name) == name
        assert clean(unquote(quote(name, safe=""))) == name  # as the cookie keeps it
    if not name:
        return REFUSED
    checked_name(name, "the name of a reviewer")
    assert all(readable(character) for character in name) and "\u202e" not in name, repr(name)
    return RIGHT


TARGET = Target("identity", "names of people (dashboard/identity.py)", lambda: cases, check, share=8.0, quick=300)
