"""Verdicts, notes, tags and roles: kept and given back exactly, or refused with nothing stored."""

from __future__ import annotations

from functools import cache
from typing import Any

from hypothesis import strategies as st

from storage import ROLES, VERDICTS, Reviews, StoreError
from tests.reliability.fuzz.dashboards import texts
from tests.reliability.fuzz.scratch import scratch
from tests.reliability.fuzz.target import REFUSED, RIGHT, Target, tried

ids = st.one_of(
    st.lists(st.integers(0, 40), max_size=8),
    st.lists(st.one_of(st.integers(), st.floats(), st.booleans(), st.none(), st.text(max_size=3)), max_size=4),
    st.sampled_from(([2**63 - 1], [2**63], [-1], [[1]], [[1], [2, 3]])),
)
long = st.one_of(texts, st.sampled_from(("x" * 10_000, "x" * 10_001, "é" * 10_000)))
people = st.one_of(st.sampled_from(("ana", "bo@example.org", "Zoë")), texts)


def _cases(what: str, words: tuple[str, ...], ids: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    word = st.one_of(st.sampled_from(words), st.sampled_from(words), texts)
    return st.fixed_dictionaries({"what": st.just(what), "word": word, "name": people, "note": long, "ids": ids})


cases = st.one_of(
    _cases("verdict", VERDICTS, st.just([])), _cases("role", ROLES, st.just([])),
    _cases("tag", ("outlier", " blurred ", "Ünïcode", "x" * 60, "x" * 61), ids),
)  # fmt: skip


@cache
def reviews() -> Reviews:
    """The reviews of this process."""
    return Reviews.open(scratch("review"))


def check(case: dict[str, Any]) -> str:
    """Do it, and read it back; a refusal leaves everything as it was."""
    before = reviews().version()
    outcome = tried(lambda: {"verdict": _verdict, "tag": _tag, "role": _role}[case["what"]](case), StoreError)
    assert outcome == RIGHT or (outcome == REFUSED and reviews().version() == before), "a refusal wrote something"
    return outcome


def _verdict(case: dict[str, Any]) -> None:
    said = reviews().give_verdict("run", case["name"], case["word"], case["name"], case["note"])
    last = reviews().history("run", case["name"])[-1]
    assert last == said and (last.verdict, last.note, last.reviewer) == (case["word"], case["note"], case["name"])
    assert reviews().undo_verdict("run", case["name"], case["name"]) is not None


def _tag(case: dict[str, Any]) -> None:
    n = reviews().tag("run", case["ids"], case["word"], case["name"])
    wanted = sorted({int(i) for i in case["ids"]})
    assert n == len(wanted) and reviews().tagged("run", case["word"]).tolist() == wanted
    assert all(case["word"].strip() in tags for tags in reviews().tags_of("run", wanted).values())
    assert reviews().untag("run", case["ids"], case["word"], case["name"]) == n
    assert not reviews().tagged("run", case["word"]).size


def _role(case: dict[str, Any]) -> None:
    reviews().set_role(case["name"], case["word"], "an admin")
    assert reviews().role_of(case["name"], "reader") == case["word"]
    reviews().clear_role(case["name"], "an admin")
    assert reviews().role_of(case["name"], "nobody") == "nobody"


TARGET = Target(
    "review", "verdicts, notes, tags and roles (storage/reviews)", lambda: cases, check, share=1.5, quick=60
)
