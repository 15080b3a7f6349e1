"""The Evidence page: every kind of suspect, its numbers against the store, verdicts, and hostile text."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from dashboard.data import Run
from dashboard.evidence import compared, elsewhere, intervals, meanmap, regions, scatter, strip
from dashboard.evidence.subject import Subject
from storage import Reviews
from tests.dashboard import browser as chrome
from tests.dashboard.make_store import GRID, HOSTILE

CLASSES, PAIRS = "shapes-vit", "captions-clip"
KINDS = {
    CLASSES: ("concept-tag", "location-corner", "property-pale", "word-word", "concept-hostile", "concept-untested"),
    PAIRS: ("pair_mismatch-swapped", "pair_mark-mark", "pair_cue-photo", "pair_word-said", "pair_unsupported-odd"),
}


def open_page(app: Any, store: Path, run: str, suspect: str = "", **params: Any) -> AppTest:
    values = {"v": "1", "run": run, **({"suspect": suspect} if suspect else {}), **params}
    test = app(store, **values)
    test.switch_page("app_pages/evidence.py")
    for name, value in values.items():
        test.query_params[name] = value
    test.run()
    assert not test.exception, test.exception[0].value
    return test


def text_of(test: AppTest) -> str:
    kinds = (test.title, test.subheader, test.markdown, test.caption, test.text, test.warning, test.info)
    return "\n".join(str(item.value) for kind in kinds for item in kind)


def links(test: AppTest, page: str) -> list[dict[str, list[str]]]:
    found = [link.proto for link in test.get("page_link")]
    return [parse_qs(one.query_string) for one in found if urlparse(one.page).path.strip("/") == page]


def subject_of(store: Path, run: str, suspect: str) -> Subject:
    opened = Run.open(store, run)
    row = next(row for row in opened.suspects().rows if row["id"] == suspect)
    return Subject.of(opened, deepcopy(row))  # the rows are shared with all pages


@pytest.mark.parametrize(("run", "suspect"), [(run, suspect) for run, names in KINDS.items() for suspect in names])
def test_every_kind_of_suspect_has_its_evidence(app: Any, store: Path, run: str, suspect: str) -> None:
    test = open_page(app, store, run, suspect)
    told = [item.value for item in test.subheader]
    assert told[0] == "With the cue and without it" and told[-2:] == ["Members among the others", "Members"]
    assert "The test" in told and "Where else the cue occurs" in told
    row = subject_of(store, run, suspect).row
    assert {"members": [suspect]}.items() <= links(test, "samples")[0].items()
    assert any(f"All {row['n']} members" in link.label.replace("\\", "") for link in test.get("page_link"))


def test_without_a_name_the_first_suspect_is_shown_and_named_in_the_link(app: Any, store: Path) -> None:
    test = open_page(app, store, CLASSES)
    assert test.query_params["suspect"] == "concept-tag"
    assert "alike patches at the top left" in test.title[0].value


def test_an_unknown_suspect_is_one_line_and_a_way_back(app: Any, store: Path) -> None:
    test = open_page(app, store, CLASSES, HOSTILE[0][:50])
    assert len(test.warning) == 1 and "has no suspect" in test.warning[0].value
    assert links(test, "suspects")


def test_a_run_without_suspects_says_what_finds_them(app: Any, store: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(store, tmp_path / "store")
    next((copy / "runs" / CLASSES).glob("suspects.parquet")).unlink()
    said = [item.value for item in open_page(app, copy, CLASSES).code]
    assert any("python -m jobs suspects shapes-vit" in line for line in said)


def test_next_and_previous_walk_the_list(app: Any, store: Path) -> None:
    test = open_page(app, store, CLASSES, "concept-tag")
    assert test.button(key="previous_suspect").disabled
    test.button(key="next_suspect").click().run()
    assert test.query_params["suspect"] == "location-corner" and not test.exception
    test.button(key="previous_suspect").click().run()
    assert "alike patches at the top left" in test.title[0].value


def test_hostile_names_show_as_text(app: Any, store: Path) -> None:
    test = open_page(app, store, CLASSES, "concept-hostile")
    unescaped = test.title[0].value.replace("\\", "").replace("\u2060", "")
    assert "<script>alert('x')</script>" in unescaped and "\\<script\\>" in test.title[0].value
    bad = [item.value for kind in (test.markdown, test.caption) for item in kind if "<script>" in str(item.value)]
    assert not bad


# -- numbers ------------------------------------------------------------------------------------------


def told(store: Path) -> list[dict[str, Any]]:
    return Run.open(store, CLASSES).reader.query(
        "SELECT e.sample_id AS id, s.label, e.predicted, e.correct FROM explanations e "
        "JOIN samples s USING (sample_id) WHERE e.target = 'predicted'"
    )


def test_accuracies_are_counted_where_the_search_did_not(store: Path) -> None:
    subject = subject_of(store, CLASSES, "concept-tag")
    subject.row["evidence"]["consequence"] = {}
    cue = {*subject.members.tolist(), *subject.elsewhere.tolist()}
    counted = strip.counts(subject)
    assert counted is not None
    for key, inside in (("with", True), ("without", False)):
        group = [row["correct"] for row in told(store) if row["label"] == "ring" and (row["id"] in cue) is inside]
        assert counted[key] == (sum(group), len(group))


def test_the_strip_shows_the_class_with_and_without_the_cue(store: Path) -> None:
    subject = subject_of(store, CLASSES, "concept-tag")
    strong, weak = strip.groups(subject)
    label = {row["id"]: row["label"] for row in told(store)}
    assert {label[i] for i in (*strong.ids, *weak.ids)} == {"ring"}
    order = subject.members.tolist()
    assert list(strong.ids) == [i for i in order if label[i] == "ring"][: strip.MOST]
    assert not set(weak.ids) & {*order, *subject.elsewhere.tolist()}
    part = subject.evidence["consequence"]["accuracy_without"]
    assert weak.result == intervals.share(part["k"], part["n"]) and "n = 20" in weak.line


def test_scores_of_pairs_with_their_interval(store: Path) -> None:
    subject = subject_of(store, PAIRS, "pair_mark-mark")
    strong, weak = strip.groups(subject)
    rows = subject.run.reader.query("SELECT sample_id AS id, score FROM explanations WHERE modality = 'image'")
    for group, inside in ((strong, True), (weak, False)):
        scores = np.array([row["score"] for row in rows if (row["id"] in subject.members) is inside])
        assert group.result.n == len(scores)
        assert group.result.value == pytest.approx(scores.mean())
        assert group.result.high == pytest.approx(scores.mean() + 1.96 * scores.std(ddof=1) / len(scores) ** 0.5)


def test_mean_maps_against_numpy(store: Path) -> None:
    subject = subject_of(store, CLASSES, "concept-tag")
    found = meanmap.mean_maps(subject)
    assert found is not None
    ids = [row["id"] for row in told(store) if row["predicted"] == "ring"]
    members = set(subject.members.tolist())
    maps = subject.run.maps([(i, "predicted") for i in ids], "image")
    shares = {i: maps[i, "predicted"].astype(float) / maps[i, "predicted"].astype(float).sum() for i in ids}
    inside, outside = (np.mean([shares[i] for i in ids if (i in members) is one], axis=0) for one in (True, False))
    np.testing.assert_allclose(found.members, inside.reshape(GRID, GRID), atol=1e-7)
    np.testing.assert_allclose(found.difference, (inside - outside).reshape(GRID, GRID), atol=1e-7)
    assert (found.n_members, found.n_others) == (len(members), len(ids) - len(members))


def test_the_scatter_against_numpy(store: Path) -> None:
    subject = subject_of(store, CLASSES, "concept-tag")
    found = scatter.points(subject, "maps")
    assert found is not None and set(found.ids[found.member].tolist()) == set(subject.members.tolist())
    maps = subject.run.maps([(int(i), "predicted") for i in found.ids], "image")
    vectors = np.stack([maps[int(i), "predicted"] for i in found.ids]).astype(float)
    vectors /= vectors.sum(axis=1, keepdims=True)
    u, sizes, _ = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.abs(found.places), np.abs(u[:, :2] * sizes[:2]), atol=1e-6)


def test_other_samples_are_of_the_class_and_never_members(store: Path) -> None:
    subject = subject_of(store, CLASSES, "property-pale")
    found = compared.compared(subject)
    predicted = {row["id"]: row["predicted"] for row in told(store)}
    assert {predicted[int(i)] for i in found.others} == {"circle"}
    assert not set(found.others.tolist()) & set(subject.members.tolist()) and not found.note


def test_the_fooled_are_members_with_another_label(store: Path) -> None:
    subject = subject_of(store, CLASSES, "concept-bars")
    some = elsewhere.found(subject)
    wrong = {row["id"] for row in told(store) if row["predicted"] == "bar" and row["label"] != "bar"}
    assert some.fooled and set(some.fooled) <= wrong & set(subject.members.tolist())


def test_a_place_is_exact_and_a_box_is_a_sketch(store: Path) -> None:
    subject = subject_of(store, CLASSES, "location-corner")
    subject.row["cue"]["cells"] = [0, 1, GRID]
    row = next(one for one in subject.rows(subject.members[:6].tolist()) if one["width"] == one["height"])
    exact = regions.cue_cells(subject, row)
    assert exact is not None and exact[1] and exact[0].sum() == 3 and exact[0][1, 0]
    boxed = subject_of(store, CLASSES, "concept-tag")
    found = regions.cue_cells(boxed, row)
    assert found is not None and not found[1] and found[0][0, 0] and not found[0][6:].any()


# -- people -------------------------------------------------------------------------------------------


def test_a_verdict_is_stored_and_its_history_shown(app: Any, store: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(store, tmp_path / "store")
    test = open_page(app, copy, CLASSES, "concept-tag")
    test.text_input(key="reviewer_name").input("ann").run()
    test.button(key="give_concept-tag_spurious").click().run()
    assert not test.exception
    Reviews.open(copy).give_verdict(CLASSES, "concept-tag", "unsure", "bob", HOSTILE[0])
    Reviews.open(copy).undo_verdict(CLASSES, "bob", "concept-tag")
    Reviews.open(copy).give_verdict(CLASSES, "concept-tag", "core feature", "bob")
    test.run()
    (table,) = [frame.value for frame in test.dataframe if "who" in frame.value.columns]
    assert table["who"].tolist() == ["bob", "bob", "bob", "ann"]
    assert table["verdict"].tolist() == ["core feature", "undo of “unsure”", "unsure (undone)", "spurious"]
    assert table["note"].tolist()[2] == HOSTILE[0]
    assert "2 reviewers" in text_of(test) and "kappa" in text_of(test)


# -- browser ------------------------------------------------------------------------------------------


@pytest.fixture
def visit(chromium: Any, url: str) -> Iterator[Callable[..., Any]]:
    """Opens the page in a context of its own; at the end nothing may have gone wrong."""
    contexts, said = [], []

    def go(path: str, width: int = 1440, dark: bool = False) -> Any:
        scheme = "dark" if dark else "light"
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        said.append(chrome.watch(page))
        page.goto(f"{url}/{path}")
        chrome.settle(page, 90)  # many pictures are painted for the first time
        return page

    yield go
    boxes = [text for context in contexts for page in context.pages for text in chrome.exceptions(page)]
    for context in contexts:
        context.close()
    assert not boxes and not [line for lines in said for line in lines]


@pytest.mark.browser
def test_a_lasso_opens_the_samples_and_a_link_leads_to_them(visit: Callable[..., Any]) -> None:
    page = visit(f"evidence?v=1&run={CLASSES}&suspect=concept-tag")
    chart = page.locator('[data-testid="stPlotlyChart"]').last
    chart.scroll_into_view_if_needed()
    area = chart.locator(".nsewdrag").bounding_box()
    left, top, right, bottom = (
        area["x"] + 2,
        area["y"] + 2,
        area["x"] + area["width"] - 2,
        area["y"] + area["height"] - 2,
    )
    page.mouse.move(left, top)
    page.mouse.down()
    for x, y in ((right, top), (right, bottom), (left, bottom), (left, top)):
        page.mouse.move(x, y, steps=6)
    page.mouse.up()
    page.get_by_text("samples are selected").wait_for()
    chrome.settle(page)
    link = page.get_by_role("link", name="in Samples").last
    number = int("".join(sign for sign in link.inner_text() if sign.isdigit()))
    assert number > 10
    link.click()
    page.get_by_role("heading", name="Samples").wait_for()
    chrome.settle(page)
    assert f"{number} of 194" in " ".join(page.locator('[data-testid="stMain"]').inner_text().split())


@pytest.mark.browser
@pytest.mark.parametrize(("run", "suspect"), [(CLASSES, "concept-tag"), (PAIRS, "pair_mark-mark")])
def test_a_narrow_dark_window_cuts_nothing_off(visit: Callable[..., Any], run: str, suspect: str) -> None:
    page = visit(f"evidence?v=1&run={run}&suspect={suspect}", width=800, dark=True)
    wide = page.evaluate(
        """() => { const main = document.querySelector('[data-testid="stMain"]');
                   return main.scrollWidth - main.clientWidth; }"""
    )
    assert wide <= 1
    pictures = page.locator('[data-testid="stMain"] img, [data-testid="stPlotlyChart"]')
    assert pictures.count() > 12
    unnamed = page.locator('[data-testid="stMain"] img:not([alt]), [data-testid="stMain"] img[alt=""]').count()
    assert unnamed == 0
