"""Verdicts: given by buttons and keys, taken back, with notes, by who may, and by two browsers at once."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlparse

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.suspects.verdicts import own, team_line
from storage import VERDICTS, Entry, Reviews
from tests.dashboard import browser as chrome
from tests.dashboard.conftest import require_chromium
from tests.dashboard.make_store import HOSTILE
from tests.dashboard.test_pages import text_of

RUN, FIRST, SECOND = "shapes-vit", "concept-tag", "location-corner"
SIDE = '[data-testid="stSidebar"]'
EACH = 100  # verdicts of each of two browsers
PATIENCE = 90  # seconds; a busy machine is no fault of the page


@pytest.fixture
def reviewed(store: Path, tmp_path: Path) -> Path:
    """A copy of the store with reviews of its own."""
    return Path(shutil.copytree(store, tmp_path / "store"))


def show(app: Any, store: Path, name: str = "ann", **params: Any) -> AppTest:
    test = app(store).run()
    test.switch_page("app_pages/suspects.py")
    test.session_state["person_name"] = name
    for key, value in {"v": "1", "run": RUN, **params}.items():
        test.query_params[key] = value
    test.run()
    assert not test.exception, test.exception[0].value
    return test


def press(test: AppTest, button: str) -> str:
    """What the page says after a click; a verdict draws only the parts again that show verdicts."""
    test.button(key=button).click().run()
    assert not test.exception, test.exception[0].value
    told = re.sub(r"\\(.)", r"\1", text_of(test).replace("\u2060", ""))
    test.run()
    return told


def said(store: Path) -> list[tuple[str, str, str, str]]:
    """Everything that was said, in its order: (reviewer, suspect, verdict, note)."""
    return [(e.reviewer, e.suspect, e.verdict, e.note) for e in Reviews.open(store).history(RUN)]


# --- without a browser ------------------------------------------------------------------------------------------------


def test_a_verdict_is_stored_at_once_with_its_note(app: Any, reviewed: Path) -> None:
    test = show(app, reviewed)
    test.text_input(key=f"note_{FIRST}").input(HOSTILE[1])
    told = press(test, f"give_{FIRST}_spurious")
    assert said(reviewed) == [("ann", FIRST, "spurious", HOSTILE[1])]
    assert "Stored as spurious, with your note" in told and "Team: spurious (ann)" in told
    assert "**1** reviewed · **1** by you" in told and f"You: spurious – {HOSTILE[1]}" in told
    assert "](javascript" not in text_of(test)
    assert test.text_input(key=f"note_{FIRST}").value == ""
    press(test, f"give_{SECOND}_unsure")  # not in focus: no note
    assert said(reviewed)[1:] == [("ann", SECOND, "unsure", "")]


def test_undo_brings_the_earlier_verdict_back(app: Any, reviewed: Path) -> None:
    test = show(app, reviewed)
    assert test.button(key=f"undo_{FIRST}").disabled
    press(test, f"give_{FIRST}_core feature")
    press(test, f"give_{FIRST}_spurious")
    assert "Your earlier verdict stands again: core feature" in press(test, f"undo_{FIRST}")
    assert [e.verdict for e in Reviews.open(reviewed).standing(RUN)] == ["core feature"]
    assert "**0** reviewed" in press(test, f"undo_{FIRST}")
    assert Reviews.open(reviewed).standing(RUN) == [] and len(said(reviewed)) == 4
    assert test.button(key=f"undo_{FIRST}").disabled


def test_the_team(app: Any, reviewed: Path) -> None:
    """Names of others are shown as text; a list that is filtered by verdicts knows whose they are."""
    reviews = Reviews.open(reviewed)
    reviews.give_verdict(RUN, FIRST, "spurious", HOSTILE[0][:80])
    reviews.give_verdict(RUN, FIRST, "core feature", "bob")
    test = show(app, reviewed, "bob", only=["mine:core feature"])
    (line,) = [item.value for item in test.caption if item.value.startswith("Team:")]
    assert "split" in line and "\\<script" in line and not re.search(r"(?<!\\)<script", line)
    keys = [button.key for button in test.button]
    assert f"give_{FIRST}_spurious" in keys and f"give_{SECOND}_spurious" not in keys


def test_next_unreviewed_goes_round_the_list(app: Any, reviewed: Path) -> None:
    reviews = Reviews.open(reviewed)
    reviews.give_verdict(RUN, SECOND, "unsure", "ann")
    test = show(app, reviewed)
    press(test, "focus_unreviewed")
    assert test.session_state["selection"].suspect == "concept-bars"
    reviews.give_verdict(RUN, "word-word", "unsure", "ann")
    every = show(app, reviewed, only=["kind:word"])
    every.button(key="focus_unreviewed").click().run()
    assert "You have reviewed every suspect of this list" in "".join(str(toast.value) for toast in every.toast)


def test_who_has_no_name_reads(app: Any, reviewed: Path) -> None:
    test = show(app, reviewed, "")
    assert all(b.disabled for b in test.button if b.key and b.key.startswith(("give_", "undo_")))
    assert test.button(key="focus_unreviewed").disabled and "Type your name in the sidebar first" in text_of(test)
    assert f"note_{FIRST}" not in [field.key for field in test.text_input]
    assert not test.button(key="focus_next").disabled  # reading goes on


def test_a_reader_may_not_review_whatever_the_browser_sends(
    app: Any, reviewed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Buttons are disabled, and a click that comes all the same stores nothing."""
    test = show(app, reviewed)
    monkeypatch.setenv("RELEVANCY_AUDIT_AUTH", "header")
    press(test, f"give_{FIRST}_spurious")
    assert said(reviewed) == [] and "Not stored\\:" in "".join(e.value for e in test.error)
    assert test.button(key=f"give_{FIRST}_spurious").disabled


def test_reviews_that_are_damaged_leave_the_list_readable(app: Any, reviewed: Path) -> None:
    test = show(app, reviewed)
    broken = b"no database at all" * 300
    (reviewed / "reviews.db").write_bytes(broken)
    told = press(test, f"give_{FIRST}_spurious")
    assert "Not stored" in "".join(e.value for e in test.error) and "1. ring" in text_of(test).replace("\\", "")
    assert "Verdicts cannot be read" in "".join(w.value for w in test.warning) and told
    assert (reviewed / "reviews.db").read_bytes() == broken


def entry(reviewer: str, verdict: str) -> Entry:
    return Entry(1, datetime.now(UTC), RUN, FIRST, reviewer, verdict, "", None)


def test_what_the_team_says_in_one_line() -> None:
    ann, bob, eve = entry("ann", "spurious"), entry("bob", "core feature"), entry("eve", "spurious")
    assert team_line([]) == "no verdict yet" and team_line([ann, eve]) == "spurious (ann, eve)"
    assert team_line([ann, bob, eve]) == "split: core feature (bob), spurious (ann, eve)"
    assert own([ann, bob], "bob") is bob and own([ann], "eve") is None and own([entry("", "unsure")], "") is None


# --- in browsers ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def team_store(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(store, tmp_path_factory.mktemp("team") / "store"))


@pytest.fixture(scope="module")
def team_url(team_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server on a store that reviews are written to."""
    require_chromium()
    with chrome.server(team_store, tmp_path_factory.mktemp("team_server") / "log") as address:
        yield address


def arrive(chromium: Any, url: str, name: str, **params: str) -> Any:
    """A tab of a browser of its own whose person has a name, with the list before them."""
    context = chromium.new_context(viewport={"width": 1200, "height": 900})
    context.add_cookies([{"name": "relevancy_audit_reviewer", "value": name, "url": url}])
    page = context.new_page()
    query = "&".join(f"{key}={value}" for key, value in params.items())
    page.set_default_timeout(PATIENCE * 1000)
    page.goto(f"{url}/suspects?v=1&run={RUN}&{query}")
    chrome.settle(page, PATIENCE)
    return page


def focused(page: Any) -> Any:
    return page.locator(".st-key-suspect_in_focus")


def await_rank(page: Any, rank: int) -> None:
    """Until a suspect is in focus and drawn."""
    focused(page).get_by_text(re.compile(rf"^{rank}\. ")).wait_for()
    chrome.settle(page, PATIENCE)


@pytest.mark.browser
def test_a_list_is_reviewed_by_keyboard(chromium: Any, team_url: str, team_store: Path) -> None:
    page = arrive(chromium, team_url, "kim", only="status:verified")
    said_by_the_browser = chrome.watch(page)
    await_rank(page, 1)
    chrome.press(page, "2", PATIENCE)
    focused(page).get_by_text("Stored as spurious.").wait_for()
    chrome.press(page, "j", PATIENCE)
    await_rank(page, 2)
    assert page.locator(".st-key-suspect_in_focus").count() == 1
    chrome.press(page, "j", PATIENCE)
    await_rank(page, 3)
    chrome.press(page, "1", PATIENCE)
    focused(page).get_by_text("Stored as core feature.").wait_for()
    chrome.press(page, "u", PATIENCE)
    focused(page).get_by_text("Taken back.").wait_for()
    chrome.press(page, "k", PATIENCE)
    await_rank(page, 2)
    chrome.press(page, "3", PATIENCE)
    focused(page).get_by_text("Stored as unsure.").wait_for()
    chrome.press(page, "n", PATIENCE)  # 3 was taken back
    await_rank(page, 3)
    box = focused(page).bounding_box()
    assert box["y"] < 900 and box["y"] + box["height"] > 0  # the focus is brought into sight
    field = focused(page).get_by_role("textbox")
    field.fill("2 j u: only letters here")  # no key of a field is a command
    page.keyboard.type(" 1")
    await_rank(page, 3)
    focused(page).get_by_role("button", name="Spurious").click()
    focused(page).get_by_text("Stored as spurious, with your note.").wait_for()
    page.locator("h1").first.click()
    chrome.press(page, "e", PATIENCE)
    page.wait_for_url("**/evidence?*")
    assert parse_qs(urlparse(page.url).query)["suspect"] == ["concept-bars"]
    mine = [(e.suspect, e.verdict, e.note) for e in Reviews.open(team_store).history(RUN) if e.reviewer == "kim"]
    assert mine == [
        (FIRST, "spurious", ""),
        ("concept-bars", "core feature", ""),
        ("concept-bars", "", ""),
        (SECOND, "unsure", ""),
        ("concept-bars", "spurious", "2 j u: only letters here 1"),
    ]
    assert not chrome.exceptions(page) and not said_by_the_browser
    page.context.close()


def judge(url: str, name: str, suspect: str, order: list[str], start: threading.Barrier, failed: list[str]) -> None:
    """One person's browser: a verdict per key, each when the one before is told to be stored."""
    from playwright.sync_api import sync_playwright

    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chrome.chromium(), args=chrome.CHROMIUM_FLAGS)
            page = arrive(browser, url, quote(name), suspect=suspect, only="class:circle")
            told = {verdict: f"You: {verdict}" for verdict in VERDICTS}
            start.wait(2 * PATIENCE)
            for verdict in order:
                page.keyboard.press(str(VERDICTS.index(verdict) + 1))
                focused(page).get_by_text(told[verdict]).wait_for()
            failed += chrome.exceptions(page)
            browser.close()
    except Exception as problem:
        start.abort()
        failed.append(f"{name}: {problem}")


@pytest.mark.browser
def test_two_browsers_at_once_give_a_hundred_verdicts_each(team_url: str, team_store: Path) -> None:
    """All stored, under the right names, each person's in their order; on one suspect, where they meet."""
    suspect = "property-pale"
    orders = {
        "ann": [VERDICTS[k % 3] for k in range(EACH)],
        "böb": [VERDICTS[(-k) % 3] for k in range(EACH)],
    }
    start, failed = threading.Barrier(2), []  # type: ignore[var-annotated]
    work: Callable[..., None] = judge
    people = [
        threading.Thread(target=work, args=(team_url, name, suspect, order, start, failed))
        for name, order in orders.items()
    ]
    for person in people:
        person.start()
    for person in people:
        person.join()
    assert not failed, failed
    history = Reviews.open(team_store).history(RUN, suspect)
    assert len(history) == 2 * EACH
    assert [e.id for e in history] == sorted({e.id for e in history})
    for name, order in orders.items():
        assert [e.verdict for e in history if e.reviewer == name] == order
    half = [e.reviewer for e in history[:EACH]]
    assert set(half) == set(orders)  # they did it at the same time
