"""The dashboard in a real Chromium: it renders, filters, restores a view from its link, and is fast enough."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlparse

import pytest

from dashboard.selection import clip
from tests.dashboard import browser as chrome
from tests.dashboard import make_store
from tests.dashboard.make_store import HOSTILE

pytestmark = pytest.mark.browser

TITLES = {"overview": "Overview", "samples": "Samples", "sample": "Sample", "runs": "Runs"}
TILE = '[data-testid="stImageLink"] img'


@pytest.fixture
def visit(chromium: Any, url: str) -> Iterator[Callable[..., Any]]:
    """Opens an address of the dashboard in a context of its own.

    At the end nothing may have gone wrong, and nothing may have been asked of another machine.
    """
    contexts, said, asked = [], [], []

    def go(path: str, *, dark: bool = False, width: int = 1440) -> Any:
        scheme = "dark" if dark else "light"
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        context.on("request", lambda request: asked.append(request.url))
        contexts.append(context)
        page = context.new_page()
        said.append(chrome.watch(page))
        page.goto(path if path.startswith("http") else f"{url}/{path}")
        chrome.settle(page)
        return page

    yield go
    boxes = [text for context in contexts for page in context.pages for text in chrome.exceptions(page)]
    for context in contexts:
        context.close()
    assert not boxes and not [line for lines in said for line in lines]
    assert asked and not [a for a in asked if not a.startswith((url, "data:", "blob:", url.replace("http", "ws")))]


def view(page: Any) -> dict[str, Any]:
    """What a person sees of the gallery: addresses of the pictures, texts, and the values of the controls."""
    return {
        "tiles": page.locator('[data-testid="stMain"] [data-testid="stPageLink"]').all_inner_texts(),
        "pictures": page.locator(TILE).count(),
        "text": page.locator('[data-testid="stMain"]').inner_text(),
        "pressed": page.locator('[aria-checked="true"], [aria-pressed="true"]').all_inner_texts(),
        "opacity": page.get_by_role("slider", name="Opacity").input_value(),
        "page": page.locator('[data-testid="stPagination"] [aria-current="page"]').all_inner_texts()[:1],
    }


@pytest.mark.parametrize(("run", "width", "dark"), [("shapes-vit", 1440, False), ("captions-clip", 800, True)])
@pytest.mark.parametrize("name", TITLES)
def test_every_page_renders(visit: Any, name: str, run: str, width: int, dark: bool) -> None:
    """In its colours, no wider than its window, and with a text for those who do not see a picture."""
    page = visit(f"{name}?v=1&run={run}", dark=dark, width=width)
    assert page.locator("h1").first.inner_text().startswith(TITLES[name])
    assert urlparse(page.url).path == f"/{name}"
    assert parse_qs(urlparse(page.url).query)["run"] == [run]
    ground = page.evaluate("getComputedStyle(document.querySelector('[data-testid=\"stApp\"]')).backgroundColor")
    assert ground == ("rgb(16, 22, 28)" if dark else "rgb(255, 255, 255)")
    main = "document.querySelector('[data-testid=\"stMain\"]')"
    assert page.evaluate(f"{main}.scrollWidth - {main}.clientWidth") <= 0
    assert page.evaluate(f"[...{main}.querySelectorAll('img')].filter(i => !i.alt).length") == 0
    charts = page.locator('[data-testid="stPlotlyChart"]')
    for i in range(charts.count()):
        assert charts.nth(i).evaluate("e => !!(e.closest('[aria-label]') || e.querySelector('[aria-label]'))")


def test_the_bare_address_opens_the_front_page(visit: Any) -> None:
    page = visit("")
    page.wait_for_url("**/suspects*")
    assert page.locator("h1").first.inner_text() == "Suspects"
    page = visit("?v=1&run=captions-clip")
    page.wait_for_url("**/suspects?v=1&run=captions-clip")


def test_a_filter_changes_the_gallery_and_the_link_restores_it(visit: Any) -> None:
    page = visit("samples?v=1&run=shapes-vit&size=48")
    before = view(page)
    page.get_by_role("combobox", name=re.compile("Label")).click()
    page.get_by_role("option", name=re.compile("ring")).click()
    page.keyboard.press("Escape")
    rings = [s for s in make_store.scenes(200)[:194] if make_store.CLASSES[s.label] == "ring"]
    page.get_by_text(f"{len(rings)} of 194").wait_for()  # a click while the page is drawn anew may be lost
    page.get_by_role("radio", name="Wrong").click()
    wanted = sum(not make_store.class_rows(s)[0]["correct"] for s in rings)
    page.get_by_text(f"{wanted} of 194").wait_for()
    page.get_by_role("radio", name="Map").click()
    page.wait_for_url("**mode=map**")
    chrome.settle(page)
    after = view(page)
    assert after["pictures"] == wanted < before["pictures"]
    assert all("ring →" in name for name in after["tiles"])

    page.get_by_role("button", name="Link to this view").click()
    copied = page.locator('[data-testid="stCode"] code').inner_text()
    page.keyboard.press("Escape")
    other = visit(copied)
    assert view(other) == after
    assert parse_qs(urlparse(other.url).query) == parse_qs(urlparse(page.url).query)


def test_a_link_with_every_value_opens_the_same_view_twice(visit: Any) -> None:
    params = {
        "v": "1",
        "run": "shapes-vit",
        "target": "label",
        "modality": "image",
        "sort": "entropy",
        "order": "desc",
        "page": "2",
        "size": "24",
        "mode": "overlay",
        "opacity": "35",
        "cmap": "magma",
        "f": [json.dumps(["score", "between", [0, 3]]), json.dumps(["indoor", "eq", True])],
    }
    one, two = visit(f"samples?{urlencode(params, doseq=True)}"), visit(f"samples?{urlencode(params, doseq=True)}")
    assert view(one) == view(two)
    assert (view(one)["opacity"], view(one)["page"]) == ("35", ["2"])
    assert "Score 0 to 3" in view(one)["text"] and "Indoor is True" in view(one)["text"]


def test_a_tile_opens_its_sample_and_the_way_back_keeps_the_view(visit: Any) -> None:
    condition = json.dumps(["correct", "eq", False])
    page = visit(f"samples?{urlencode({'v': '1', 'run': 'shapes-vit', 'f': condition, 'page': '2'})}")
    before = view(page)
    page.locator('[data-testid="stMain"] [data-testid="stPageLink"] a').nth(3).click()
    page.wait_for_url("**/sample?*")
    chrome.settle(page)
    number = page.locator("h1").first.inner_text()
    chrome.press(page, "ArrowRight")
    page.wait_for_function("old => document.querySelector('h1').innerText != old", arg=number)
    chrome.press(page, "ArrowLeft")
    page.wait_for_function("old => document.querySelector('h1').innerText == old", arg=number)
    page.get_by_role("link", name="Back to samples").click()
    page.wait_for_url("**/samples?*")
    chrome.settle(page)
    assert view(page) == before


def test_the_back_button_of_the_browser_restores_the_view(visit: Any) -> None:
    page = visit("samples?v=1&run=shapes-vit")
    page.get_by_role("radio", name="Wrong").click()
    page.wait_for_url("**correct**")
    chrome.settle(page)
    wrong = view(page)
    page.get_by_role("link", name="Overview").click()
    page.wait_for_url("**/overview?*")
    chrome.settle(page)
    page.go_back()
    page.wait_for_url("**/samples?*")
    page.locator("h1", has_text="Samples").wait_for()  # the address changes first
    page.locator(TILE).first.wait_for()
    chrome.settle(page)
    assert view(page) == wrong


def test_paging_and_jumping(visit: Any) -> None:
    page = visit("samples?v=1&run=shapes-vit")
    page.locator('[data-testid="stPagination"]').first.get_by_role("button", name="3").click()
    page.wait_for_url("**page=3**")
    jump = page.get_by_role("spinbutton", name="Go to page").first
    jump.fill("9")
    jump.press("Enter")
    page.wait_for_url("**page=9**")
    chrome.settle(page)
    assert view(page)["pictures"] == 194 % 24 and view(page)["page"] == ["9"]


def test_the_pointer_shows_the_relevancy_of_a_token(visit: Any) -> None:
    page = visit("sample?v=1&run=shapes-vit&sample=5")
    chart = page.locator('[data-testid="stPlotlyChart"]').first
    box = chart.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 3)
    page.mouse.move(box["x"] + box["width"] / 2 + 3, box["y"] + box["height"] / 3)
    page.wait_for_selector(".hoverlayer .hovertext", timeout=5000)
    said = page.locator(".hoverlayer .hovertext").first.text_content()
    assert "relevancy" in said and "of 144" in said


def test_hostile_captions_show_as_text(visit: Any) -> None:
    first = json.dumps(["sample_id", "between", [0, len(HOSTILE) - 1]])
    page = visit(f"samples?{urlencode({'v': '1', 'run': 'captions-clip', 'sort': 'sample_id', 'f': first})}")
    labels = page.locator('[data-testid="stMain"] [data-testid="stPageLink"] a')
    assert [text.replace("\u2060", "") for text in labels.all_inner_texts()] == [clip(text, 20) for text in HOSTILE]
    assert labels.locator("strong, em, code, img, a, svg").count() == 0
    labels.first.click()
    for number, text in enumerate(HOSTILE):
        page.wait_for_url(f"**/sample?*sample={number}*")
        chrome.settle(page)
        assert clip(text, 3000) in page.locator('[data-testid="stText"]').all_inner_texts()
        assert page.locator('[data-testid="stHtml"] span').all_inner_texts() == text.split()[:60]
        assert page.locator('[data-testid="stHtml"] :is(script, img, b, a)').count() == 0
        chrome.press(page, "ArrowRight")


def test_a_hostile_filter_shows_as_text(visit: Any) -> None:
    for text in HOSTILE[:2]:
        page = visit(
            f"samples?{urlencode({'v': '1', 'run': 'captions-clip', 'f': json.dumps(['text', 'contains', text])})}"
        )
        chip = page.locator(".st-key-chip_text button p").first
        assert chip.inner_text().replace("\u2060", "") == f"Text contains {clip(text, 40)}"
        assert "1 of 40" in view_text(page)


def view_text(page: Any) -> str:
    return str(page.locator('[data-testid="stMain"]').inner_text())
