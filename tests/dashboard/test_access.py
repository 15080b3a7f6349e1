"""Who may see nothing sees nothing: neither pages nor pictures, and no address leads out of what the server serves."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from storage import Reviews
from tests.dashboard import browser as chrome
from tests.dashboard import gate, make_store
from tests.dashboard.conftest import require_chromium

PAGES = sorted(path.stem for path in (Path(__file__).parents[2] / "dashboard" / "app_pages").glob("*.py"))
PRIVATE = ("--auth=header", "--default-role=none")
LEAVING = (
    "/media/../../../../etc/passwd", "/media/%2e%2e/%2e%2e/etc/passwd", "/media/..%2f..%2fetc%2fpasswd",
    "/media/0.jpg", "/media/", "/media//etc/passwd", "/media/%00.jpg", "//etc/passwd", "/cache/", "/store.json",
    "/runs/captions-clip/run.json", "/app/static/run.json", "/app/static/../dashboard/app.py",
    "/static/../../../../etc/passwd", "/static/%2e%2e/%2e%2e/%2e%2e/streamlit/__init__.py",
    "/component/x/../../../../etc/passwd", "/_stcore/upload_file/x/y", "//evil.example/", "/\\evil.example/",
)  # fmt: skip


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose pictures are nobody's business."""
    base = tmp_path_factory.mktemp("private")
    make_store.write_pairs(base / "store", base / "data", n=6)
    Reviews.open(base / "store").set_role("ana@example.org", "reader", "an admin")
    return base / "store"


@pytest.mark.parametrize("page", PAGES)
def test_who_has_no_name_sees_no_page(app: Any, private: Path, monkeypatch: pytest.MonkeyPatch, page: str) -> None:
    monkeypatch.setenv("RELEVANCY_AUDIT_AUTH", "header")
    monkeypatch.setenv("RELEVANCY_AUDIT_DEFAULT_ROLE", "none")
    test = app(private, run="captions-clip", sample="1", sql="SELECT 1 AS sample_id")
    if page != "home":
        test.switch_page(f"app_pages/{page}.py")
    test.run()
    assert not test.exception and [item.value for item in test.info] == ["Log in to see anything here."]
    assert len(test.main) <= 3 and not test.sidebar and "captions-clip" not in str(test.main)
    assert not (private / "cache").exists()


@pytest.fixture(scope="module")
def served(private: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real server of it."""
    with chrome.server(private, tmp_path_factory.mktemp("served") / "log", *PRIVATE) as address:
        yield address


@pytest.mark.parametrize("path", LEAVING)
def test_no_address_leads_to_a_file(served: str, path: str) -> None:
    """Sent as it is: a client that tidies the path would hide what is asked."""
    connection = http.client.HTTPConnection(urlsplit(served).netloc, timeout=30)
    connection.putrequest("GET", path, skip_host=False)
    connection.endheaders()
    answer = connection.getresponse()
    content = answer.read()
    assert not any(mark in content for mark in (b"root:", b"import streamlit", b"captions-clip", b"schema_version"))
    refused = answer.status in (400, 401, 403, 404, 405)
    goes_on = (answer.getheader("Location") or "") if answer.status in (301, 302, 307, 308) else ""
    here = goes_on.startswith("/") and not goes_on.startswith("//")  # to the same server
    assert refused or here or b"<title>Streamlit</title>" in content, (answer.status, goes_on)
    connection.close()


@pytest.mark.browser
def test_pictures_are_for_people_with_a_role(served: str, chromium: Any) -> None:
    require_chromium()
    with gate.proxy(served) as front:
        for name, sees in (("", False), ("eve@example.org", False), ("ana@example.org", True)):
            front.name = name
            context = chromium.new_context()
            page, asked = context.new_page(), []
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            page.goto(f"{front.url}/samples?run=captions-clip")
            chrome.settle(page)
            assert (page.get_by_role("heading", name="Samples").count() > 0) == sees, name
            assert (
                page.locator('[data-testid="stImage"] img, [data-testid="stImageContainer"] img').count() > 0
            ) == sees
            shown = page.locator('[data-testid="stImage"] img, [data-testid="stImageContainer"] img')
            sources = shown.evaluate_all("all => all.map(image => [image.src.slice(0, 23), image.naturalWidth])")
            assert (len(sources) >= 6) == sees, (name, sources)
            assert all(source == "data:image/jpeg;base64," and width > 0 for source, width in sources)
            fetched = [url for url in asked if re.search(r"/media/\w+\.jpe?g", url)]
            assert not fetched, "a picture with an address could be fetched by whoever is told it"
            context.close()
