"""The whole way of a review, in one browser: from the list of suspects to a report on a colleague's disk."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest

from storage import Reviews
from tests.dashboard import browser as chrome
from tests.dashboard import make_store
from tests.dashboard.conftest import require_chromium

pytestmark = [pytest.mark.browser, pytest.mark.slow]
RUN = "shapes-vit"
MAIN = '[data-testid="stMain"]'


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of its own: verdicts are written."""
    base = tmp_path_factory.mktemp("story")
    make_store.write_pairs(base / "store", base / "pairs", n=12)
    make_store.write_classes(base / "store", base / "classes")
    make_store.write_suspects(base / "store")
    return base / "store"


@pytest.fixture
def address(own: Path, tmp_path: Path) -> Iterator[str]:
    require_chromium()
    with chrome.server(own, tmp_path / "log") as url:
        yield url


def test_from_a_suspect_to_a_report(chromium: Any, address: str, own: Path, tmp_path: Path) -> None:
    context = chromium.new_context(viewport={"width": 1440, "height": 1000})
    page = context.new_page()
    said = chrome.watch(page)

    # suspects, evidence
    page.goto(f"{address}/suspects?v=1&run={RUN}")
    chrome.settle(page)
    name = page.get_by_role("textbox", name="Your name")
    name.fill("Ana Lima")
    name.press("Enter")
    page.get_by_text("by you").wait_for()
    page.get_by_role("button", name="Evidence").click()
    page.wait_for_url("**/evidence?*suspect=*")
    chrome.settle(page)
    suspect = parse_qs(urlparse(page.url).query)["suspect"][0]

    # a verdict, and back
    page.get_by_role("button", name="Spurious").first.click()
    page.get_by_text("Stored as spurious").wait_for()
    assert [(e.suspect, e.verdict) for e in Reviews.open(own).standing(RUN)] == [(suspect, "spurious")]
    page.get_by_role("button", name="Undo").click()
    page.get_by_text("Taken back.").wait_for()
    assert not Reviews.open(own).standing(RUN)
    history = Reviews.open(own).history(RUN)
    assert [(e.reviewer, e.verdict) for e in history] == [("Ana Lima", "spurious"), ("Ana Lima", "")]

    # its members, narrowed by a click on a bar
    page.get_by_role("link", name=re.compile(r"All \d+ members")).first.click()
    page.wait_for_url("**/samples?*members=*")
    chrome.settle(page)
    members = matches(page)
    page.get_by_text("Distribution", exact=True).click()
    page.locator(".st-key-histogram_0 .trace.bars").first.wait_for()
    chrome.settle(page)
    click_highest_bar(page)
    page.wait_for_url("**between*")
    chrome.settle(page)
    assert 0 < matches(page) < members

    # a sample, and the link to it in another browser
    page.locator('.st-key-gallery [data-testid="stPageLink"] a').first.click()
    page.wait_for_url("**/sample?*sample=*")
    chrome.settle(page)
    page.get_by_role("button", name="Link to this view").click()
    link = page.locator('[data-testid="stCode"] code').first.inner_text()
    page.keyboard.press("Escape")
    other_context = chromium.new_context(viewport={"width": 1440, "height": 1000})
    other = other_context.new_page()
    said_there = chrome.watch(other)
    other.goto(link)
    chrome.settle(other)
    assert view(other) == view(page)
    assert parse_qs(urlparse(other.url).query) == parse_qs(urlparse(page.url).query)
    assert not said_there and not chrome.exceptions(other)
    other_context.close()

    # the report, and nothing but the report
    page.locator('[data-testid="stSidebar"]').get_by_role("link", name="Report").click()
    page.wait_for_url("**/report?*")
    chrome.settle(page)
    page.get_by_role("button", name="Make the report").click()
    button = page.get_by_role("button", name="Download")
    button.wait_for(timeout=60_000)
    with page.expect_download() as download:
        button.click()
    file = tmp_path / "report.html"
    download.value.save_as(file)
    assert not said and not chrome.exceptions(page)
    context.close()
    opens_offline(chromium, file, link_base=address)


def matches(page: Any) -> int:
    """How many samples the heading says there are."""
    found = re.search(r"([\d,]+) of [\d,]+", page.locator(MAIN).inner_text())
    assert found
    return int(found.group(1).replace(",", ""))


def click_highest_bar(page: Any) -> None:
    """The bar that is easiest to hit."""
    bars = page.locator(".st-key-histogram_0 .trace.bars >> nth=-1 >> .point")
    boxes = [bars.nth(k).bounding_box() for k in range(bars.count())]
    box = max((box for box in boxes if box), key=lambda box: box["height"])
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x - 2, y)
    page.mouse.move(x, y)
    page.mouse.click(x, y)


def view(page: Any) -> dict[str, Any]:
    """What a person sees."""
    return {
        "title": page.locator("h1").first.inner_text(),
        "text": page.locator(MAIN).inner_text(),
        "charts": page.locator(f'{MAIN} [data-testid="stPlotlyChart"]').count(),
        "pressed": page.locator('[aria-checked="true"], [aria-pressed="true"]').all_inner_texts(),
    }


def opens_offline(chromium: Any, file: Path, link_base: str) -> None:
    """The report shows everything without any network, and links back."""
    context = chromium.new_context()
    context.set_offline(True)
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(file.as_uri())
    for _ in range(20):  # what waits for the eye: charts
        page.mouse.wheel(0, 1500)
        page.wait_for_timeout(50)
    shown = page.evaluate("[...document.images].map(image => image.complete && image.naturalWidth > 0)")
    links = page.evaluate("[...document.links].map(link => link.href)")
    context.close()
    assert len(shown) > 10 and all(shown)
    assert not said and not [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]
    assert any(link.startswith(f"{link_base}/sample?") for link in links)
    assert any(link.startswith(f"{link_base}/evidence?") for link in links)
    assert file.stat().st_size < 5_000_000
