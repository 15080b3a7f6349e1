"""In a real Chromium: a click on a bar or a cell opens exactly its samples, and downloads hold what the store holds."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlparse

import pyarrow.parquet as pq
import pytest

from dashboard.samples import export
from storage import Filter, RunReader, SampleQuery, Store, queries
from tests.dashboard import browser as chrome
from tests.dashboard import samples_store
from tests.dashboard.conftest import require_chromium
from tests.dashboard.samples_store import RUN, N

pytestmark = pytest.mark.browser
QUERY = SampleQuery("predicted")
SECONDS = 90  # for a machine that others use, too


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return samples_store.write(tmp_path_factory.mktemp("clicks"))


@pytest.fixture(scope="module")
def reader(own: Path) -> RunReader:
    return Store.open(own).reader(RUN)


@pytest.fixture(scope="module")
def address(own: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    require_chromium()
    with chrome.server(own, tmp_path_factory.mktemp("server") / "log") as url:
        yield url


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    """A page on which nothing may go wrong."""
    context = chromium.new_context(viewport={"width": 1440, "height": 1000})
    context.set_default_timeout(SECONDS * 1000)
    made = context.new_page()
    said = chrome.watch(made)
    yield made
    boxes = chrome.exceptions(made)
    context.close()
    assert not boxes and not said


def visit(page: Any, address: str, name: str, **params: Any) -> None:
    page.goto(f"{address}/{name}?{urlencode({'v': '1', 'run': RUN, **params}, doseq=True)}")
    chrome.settle(page, SECONDS)


def click_on(page: Any, chart: str, what: str) -> None:
    """Click the middle of the nth of what a chart drew."""
    element = page.locator(f".st-key-{chart} {what}")
    element.scroll_into_view_if_needed()
    box = element.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2 - 3, box["y"] + box["height"] / 2)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def matches(page: Any) -> int:
    """What the Samples page says."""
    page.wait_for_url(re.compile("/samples\\?"))
    chrome.settle(page, SECONDS)
    found = re.search(r"(\d+) of \d+", page.locator('[data-testid="stMain"]').inner_text())
    assert found
    return int(found.group(1))


def text_of(page: Any) -> str:
    """What a person reads; the invisible joiners that keep Markdown away are left out."""
    return str(page.locator('[data-testid="stMain"]').inner_text()).replace("\u2060", "")


@pytest.mark.parametrize("last", [False, True])
def test_a_click_on_a_bar_of_the_overview_opens_its_samples(
    page: Any, address: str, reader: RunReader, last: bool
) -> None:
    visit(page, address, "overview")
    bins = queries.histogram(reader, QUERY, "entropy", min(30, max(8, round(2 * N**0.5))))
    filled = [number for number, row in enumerate(bins) if row["n"]]
    number = filled[-1] if last else min(filled, key=lambda i: bins[i]["n"])  # also the lowest bar can be hit
    click_on(page, "bins_entropy_0", f".trace.bars >> nth=1 >> .point >> nth={number}")
    page.wait_for_url("**/samples?*entropy*")
    assert matches(page) == bins[number]["n"]
    page.go_back()
    page.wait_for_url("**/overview?*")
    chrome.settle(page, SECONDS)
    page.wait_for_timeout(500)
    assert urlparse(page.url).path == "/overview", "the click of before is not followed again"


def test_a_click_on_a_cell_opens_its_samples(page: Any, address: str, reader: RunReader) -> None:
    visit(page, address, "overview")
    rows = queries.confusion(reader, QUERY)
    wrong = max((row for row in rows if row["label"] != row["predicted"]), key=lambda row: row["n"])
    labels, predictions = sorted({r["label"] for r in rows}), sorted({r["predicted"] for r in rows})
    number = labels.index(wrong["label"]) * len(predictions) + predictions.index(wrong["predicted"])
    click_on(page, "confusion_0", f".scatterlayer .point >> nth={number}")
    page.wait_for_url("**/samples?*predicted*")
    assert matches(page) == wrong["n"]
    assert f"Predicted: {wrong['predicted']}" in text_of(page)


def test_a_click_on_a_bar_above_the_gallery_narrows_it_and_arrows_turn_pages(
    page: Any, address: str, reader: RunReader
) -> None:
    visit(page, address, "samples", only=["open:histogram", "histogram:year"])
    chrome.press(page, "ArrowRight", SECONDS)
    page.wait_for_url("**page=2*")
    chrome.press(page, "ArrowLeft", SECONDS)
    page.wait_for_url("**page=1*")
    chrome.settle(page, SECONDS)
    click_on(page, "histogram_0", ".trace.bars >> nth=1 >> .point >> nth=2")
    page.wait_for_url("**between*")
    year = SampleQuery("predicted", filters=(Filter("year", "eq", 2022),))
    assert matches(page) == queries.count(reader, year)
    assert "Year is 2022" in text_of(page)


def test_downloads_hold_what_the_store_holds(page: Any, address: str, reader: RunReader, tmp_path: Path) -> None:
    visit(page, address, "samples", f='["label","in",["ring","bar"]]', sort="entropy")
    query = SampleQuery("predicted", filters=(Filter("label", "in", ("ring", "bar")),), sort="entropy")
    rows = queries.page(reader, query, 1, 100)
    page.get_by_role("button", name="Export").click()
    files = {}
    for kind in ("CSV", "Parquet", "Pictures"):
        with page.expect_download() as download:
            page.get_by_role("button", name=kind).click()
        files[kind] = tmp_path / download.value.suggested_filename
        download.value.save_as(files[kind])
    assert [path.name for path in files.values()] == [f"{RUN}.csv", f"{RUN}.parquet", f"{RUN}.zip"]
    table = pq.read_table(files["Parquet"]).drop_columns([export.TAGS])
    assert table.to_pylist() == rows and len(rows) > 3
    lines = list(csv.DictReader(io.StringIO(files["CSV"].read_bytes().decode())))
    assert [int(line["sample_id"]) for line in lines] == [row["sample_id"] for row in rows]
    root = Path(str(reader.record.dataset["root"]))
    with zipfile.ZipFile(files["Pictures"]) as archive:
        told = list(csv.DictReader(io.StringIO(archive.read(export.MANIFEST).decode())))
        kept = [line for line in told if line["status"] == "included"]
        assert all(archive.read(line["file"]) == (root / line["uri"]).read_bytes() for line in kept)
    assert [int(line["sample_id"]) for line in told] == [row["sample_id"] for row in rows]
    assert parse_qs(urlparse(page.url).query)["sort"] == ["entropy"]
