"""The front page: the ranked list, its filters, its focus, and what it says when there is nothing to list."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.selection import Selection
from dashboard.suspects import kinds, listing, pictures
from dashboard.suspects.listing import PER_PAGE
from storage import Entry, Store, Suspects, suspects_lock, wording, write_suspects
from tests.dashboard import browser as chrome
from tests.dashboard.make_store import HOSTILE
from tests.dashboard.test_pages import open_page, text_of

RUN = "shapes-vit"


@pytest.fixture
def own(store: Path, tmp_path: Path) -> Path:
    """A copy of the store, to be changed."""
    return Path(shutil.copytree(store, tmp_path / "store"))


def suspects(store: Path, run: str = RUN) -> Suspects:
    with Store.open(store).reader(run) as reader:
        return reader.suspects()


def rewrite(store: Path, rows: list[dict[str, Any]], **about: Any) -> None:
    """Replace the list of suspects."""
    found = suspects(store)
    write_suspects(Store.open(store).layout_of(RUN), rows, {**found.about, **about})


def ranks(test: AppTest) -> list[int]:
    """The ranks of the cards, as they stand on the page."""
    heads = [item.value for item in test.markdown if item.value.startswith("**") and "." in item.value[:6]]
    return [int(head[2:].split(".")[0]) for head in heads if head[2:].split(".")[0].isdigit()]


def show(app: Any, store: Path, **params: Any) -> AppTest:
    return open_page(app, store, "suspects", v="1", **{"run": RUN, **params})


def chosen(test: AppTest) -> Selection:
    """What stands in the link."""
    found: Selection = test.session_state["selection"]
    return found


@pytest.mark.parametrize("run", [RUN, "captions-clip"])
def test_a_list_of_each_kind_of_run(app: Any, store: Path, run: str) -> None:
    test, rows = show(app, store, run=run), suspects(store, run).rows
    assert ranks(test) == list(range(1, PER_PAGE + 1)) and not test.error
    told = text_of(test)
    assert f"**{len(rows)}** suspects · **2** probably spurious · **0** reviewed" in told
    assert "Chance alone would give 0\\.2 such suspects" in told
    assert wording.sentence(wording.headline(rows[0])).replace(";", "\\;").replace("%", "\\%")[:40] in told


def test_the_next_page_is_where_the_focus_goes(app: Any, store: Path) -> None:
    ids = [row["id"] for row in suspects(store, RUN).rows]
    first, last = list(range(1, PER_PAGE + 1)), list(range(2 * PER_PAGE + 1, len(ids) + 1))
    second = list(range(PER_PAGE + 1, 2 * PER_PAGE + 1))
    test = show(app, store, suspect=ids[PER_PAGE])
    assert ranks(test) == second and last
    test.button(key="focus_previous").click().run()
    assert ranks(test) == first and chosen(test).suspect == ids[PER_PAGE - 1]
    test.button(key="focus_next").click().run()
    test.button(key="focus_next").click().run()
    assert chosen(test).suspect == ids[PER_PAGE + 1] and ranks(test) == second
    assert not test.button(key="focus_next").disabled
    test.button(key=f"focus_on_{ids[PER_PAGE]}").click().run()
    assert chosen(test).suspect == ids[PER_PAGE] and f"note_{chosen(test).suspect}" not in test.session_state
    test = show(app, store, suspect=ids[-1])
    assert ranks(test) == last
    assert test.button(key="focus_next").disabled and not test.exception


@pytest.mark.parametrize(
    ("only", "kept"),
    [
        (["status:refuted"], [11, 12, 13]),
        (["kind:location"], [2, 13]),
        (["kind:location", "status:refuted"], [13]),
        (["kind:location", "kind:word"], [2, 5, 13]),
        (["flagged:flagged"], [1, 2]),
        (["class:bar", "kind:concept"], [3]),
        ([f"class:{HOSTILE[1]}"], [6]),
        (["mine:spurious"], []),
        (["mine:unreviewed", "team:none", "kind:word"], [5]),
        (["kind:nothing", "class:; DROP TABLE", "kind:word"], [5]),
    ],
)
def test_filters(app: Any, store: Path, only: list[str], kept: list[int]) -> None:
    assert ranks(show(app, store, only=only)) == kept


def test_filters_that_keep_nothing_can_be_cleared(app: Any, store: Path) -> None:
    test = show(app, store, only=["kind:word", "status:refuted"])
    assert "No suspect fits all filters." in text_of(test)
    test.button(key="clear_only").click().run()
    assert len(ranks(test)) == PER_PAGE and "only" not in test.query_params


def test_a_filter_is_chosen_and_stands_in_the_link(app: Any, store: Path) -> None:
    test = show(app, store)
    test.multiselect(key="only_status").select("refuted").run()
    assert ranks(test) == [11, 12, 13] and chosen(test).only == ("status:refuted",)
    assert test.multiselect(key="only_class").options and not test.exception


def test_hostile_names_are_text(app: Any, store: Path) -> None:
    test = show(app, store)
    for item in (*test.markdown, *test.caption):
        assert not re.search(r"(?<!\\)<script|(?<!\\)\]\(javascript", item.value), item.value[:200]
    assert HOSTILE[0] in [item.value for item in test.text]  # a note on the search
    assert all(len(item.value) < 5000 for item in (*test.markdown, *test.caption))


def test_a_run_that_was_never_searched_says_what_to_do(app: Any, own: Path) -> None:
    Store.open(own).layout_of(RUN).suspects.unlink()
    test = show(app, own)
    assert f"python -m jobs suspects {RUN} --store {own}" in [item.value for item in test.code]
    assert not test.exception and not ranks(test)


def test_a_search_that_found_nothing_is_no_empty_state(app: Any, own: Path) -> None:
    rewrite(own, [])
    told = text_of(show(app, own))
    assert "Nothing in this run stands out" in told and "Chance alone would give" in told
    assert "jobs suspects" not in told


def test_a_list_that_is_not_done_says_so(app: Any, own: Path) -> None:
    rows = suspects(own).rows
    rewrite(own, rows, done=False)
    assert "interrupted before every suspect was tested" in text_of(show(app, own))
    with suspects_lock(Store.open(own).layout_of(RUN)):
        assert "being searched and tested right now" in text_of(show(app, own))


def test_a_suspect_that_vanished_gives_the_first_one(app: Any, own: Path) -> None:
    rows = suspects(own).rows
    rewrite(own, [{**row, "rank": rank} for rank, row in enumerate(rows[1:], 1)])
    test = show(app, own, suspect=rows[0]["id"])
    assert ranks(test)[0] == 1 and not test.exception


def test_a_new_list_is_shown_at_once(app: Any, own: Path) -> None:
    test = show(app, own)
    assert len(ranks(test)) == PER_PAGE
    rewrite(own, suspects(own).rows[:2])
    assert ranks(test.run()) == [1, 2]


def test_a_row_with_next_to_nothing(app: Any, own: Path) -> None:
    """An earlier list, or one that another program wrote."""
    bare = {**suspects(own).rows[0], "evidence": {}, "cue": {}, "name": None, "class_name": None, "kind": "new"}
    rewrite(own, [{**bare, "sample_ids": [999_999]}])
    test = show(app, own)
    assert ranks(test) == [1] and "None of its samples can be shown" in text_of(test)


def test_words_stand_in_place_of_pictures(app: Any, store: Path, tmp_path: Path) -> None:
    """Of a run of texts the passages are shown, each word on its colour."""
    shutil.copytree(store, tmp_path / "store")
    record = tmp_path / "store/runs/captions-clip/run.json"
    text = record.read_text()
    changed = (
        text.replace('"image",\n', "", 1) if '"image",\n' in text else text.replace('["image", "text"]', '["text"]')
    )
    assert changed != text
    record.write_text(changed)
    test = show(app, tmp_path / "store", run="captions-clip")
    assert "<span style=" in "".join(str(item.proto.body) for item in test.get("html"))
    assert not test.exception and not test.get("imgs")


# --- pure parts -------------------------------------------------------------------------------------------------------


def entry(suspect: str, reviewer: str, verdict: str) -> Entry:
    from datetime import UTC, datetime

    return Entry(1, datetime.now(UTC), RUN, suspect, reviewer, verdict, "", None)


def test_verdicts_filter(store: Path) -> None:
    rows = suspects(store).rows
    first, second, third = (row["id"] for row in rows[:3])
    standing = {
        first: [entry(first, "ann", "spurious"), entry(first, "bob", "unsure")],
        second: [entry(second, "ann", "core feature")],
        third: [entry(third, "bob", "core feature")],
    }

    def kept(name: str, **wanted: list[str]) -> list[int]:
        every = {group: wanted.get(group, []) for group in listing.GROUPS}
        return [row["rank"] for row in listing.filtered(rows, every, standing, name, "").rows]

    assert kept("ann", mine=["spurious", "core feature"]) == [1, 2]
    assert kept("ann", mine=["unreviewed"]) == list(range(3, 14)) and kept("", mine=["unsure"]) == []
    assert kept("ann", team=["split"]) == [1] and kept("", team=["core feature"]) == [2, 3]
    assert kept("ann", team=["none"], status=["refuted"]) == [11, 12, 13]
    names = [row["id"] for row in rows]
    assert listing.next_unreviewed(names, names[0], standing, "ann") == names[2]
    assert listing.next_unreviewed(names, names[-1], standing, "bob") == names[1]
    assert listing.next_unreviewed(names[:2], names[0], standing, "ann") == ""


def test_choices_are_those_that_occur() -> None:
    rows = [{"kind": "concept", "status": "verified", "class_name": "a" * 400, "flagged": True, "id": "x"}]
    offered = listing.options(rows)
    assert offered["class"] == [] and offered["kind"] == ["concept"]
    wanted = listing.choices(Selection(only=("kind:word", "status:verified", "mine:unsure")), offered)
    assert wanted == {"kind": [], "status": ["verified"], "class": [], "flagged": [], "mine": ["unsure"], "team": []}


def test_kinds_of_one_name_are_told_apart() -> None:
    assert kinds.names(["word", "pair_word", "concept"]) == {
        "word": "word (word)",
        "pair_word": "word (pair_word)",
        "concept": "alike patches",
    }
    assert all(kinds.icon(kind) for kind in (*wording.KINDS, "unknown"))


def test_the_strongest_samples_are_those_with_a_box_first() -> None:
    row = {"id": "x", "sample_ids": [5, 4, 3, 2], "cue": {"boxes": {"3": [0, 0, 0.5, 0.5], "9": "no box"}}}
    assert pictures.strongest(row, 4) == [3, 9, 5, 4]
    assert pictures.box_in(row, 3) == [0, 0, 0.5, 0.5] and pictures.box_in(row, 9) is pictures.box_in(row, 5) is None
    assert pictures.strongest({**row, "cue": {}}, 2) == [5, 4]


# --- in a browser -----------------------------------------------------------------------------------------------------


@pytest.fixture
def page(chromium: Any, url: str) -> Iterator[Any]:
    context = chromium.new_context(viewport={"width": 1200, "height": 900})
    tab = context.new_page()
    said = chrome.watch(tab)
    yield tab
    boxes = chrome.exceptions(tab)
    context.close()
    assert not boxes and not said


@pytest.mark.browser
@pytest.mark.parametrize("run", [RUN, "captions-clip"])
def test_pictures_and_hostile_texts_in_a_browser(page: Any, url: str, run: str) -> None:
    page.goto(f"{url}/suspects?v=1&run={run}")
    chrome.settle(page, 90)
    assert page.locator('[data-testid="stMain"] img').count() >= 20
    alts = page.locator('[data-testid="stMain"] img').evaluate_all("all => all.map(one => one.alt)")
    assert all(alts) and any("the cue in a box" in alt for alt in alts)
    assert any("Mean relevancy map" in alt for alt in alts)
    main = page.locator('[data-testid="stMain"]')
    assert main.locator("script:not([type])").count() == 0 or "alert('x')" not in main.inner_html()
    assert main.locator('a[href^="javascript"]').count() == 0
    assert main.locator("img[onerror]").count() == 0
    assert "**bold** _it_ [link](javascript:alert(1))" in main.inner_text().replace("\u2060", "")
