"""Who people are and what they may do: names that are typed, that a proxy gives, and that a log-in gives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dashboard.identity import MAX_GIVEN, Person, clean, given, provided
from dashboard.settings import settings
from storage import Reviews, StoreError
from tests.dashboard import browser as chrome
from tests.dashboard import gate, make_store
from tests.dashboard.conftest import require_chromium

NAME = '[data-testid="stSidebar"] input[aria-label="Your name"]'


@pytest.mark.parametrize(
    ("person", "reviews", "administers"),
    [
        (Person("", "admin"), False, False),
        (Person("ana", "reader"), False, False),
        (Person("ana", "reviewer"), True, False),
        (Person("ana", "admin"), True, True),
    ],
)
def test_roles(person: Person, reviews: bool, administers: bool) -> None:
    assert (person.may_review, person.may_administer) == (reviews, administers)


def test_a_name_is_one_short_line() -> None:
    assert clean("  Ana\n\tLima\x00 ") == "Ana Lima" and len(clean("x" * 500)) == 80


def test_a_typed_name_has_only_characters_that_show() -> None:
    assert clean("\u202eana\x1b[0m\u2028\ud800bo") == "ana [0m bo" and clean("Zoë 👩‍👩‍👧") == "Zoë 👩‍👩‍👧"


def test_a_name_that_a_proxy_gives_is_taken_as_it_is_or_not_at_all() -> None:
    assert given(" ana@example.org\t") == "ana@example.org" and given("é" * MAX_GIVEN) == "é" * MAX_GIVEN
    for name in ("", "ana@example.org\0", "ana\n@example.org", "ana  lima", "ana\u202e", "x" * (MAX_GIVEN + 1)):
        assert given(name) == "", repr(name)


def test_an_address_that_nobody_has_checked_is_not_believed() -> None:
    claims = {"email": "ana@example.org", "sub": "17"}
    assert provided(claims) == provided(claims | {"email_verified": True}) == "ana@example.org"
    assert provided(claims | {"email_verified": False}) == provided(claims | {"email_verified": "false"}) == "17"
    assert provided({"sub": "17"}) == "17" and provided({}) == ""


def test_settings_come_from_options_and_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELEVANCY_AUDIT_ADMINS", " bo@example.org, ,")
    monkeypatch.setenv("RELEVANCY_AUDIT_REVIEWS", "sqlite:///x.db")
    given = settings(["--auth", "header", "--auth-header", "X-Me", "--admin", "ana", "--default-role", "reviewer"])
    assert (given.auth, given.header, given.default_role) == ("header", "X-Me", "reviewer")
    assert given.admins == ("ana", "bo@example.org") and given.reviews == "sqlite:///x.db"
    monkeypatch.setenv("RELEVANCY_AUDIT_AUTH", "odic")
    with pytest.raises(StoreError, match="odic"):
        settings([])


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A store of its own, with reviews of its own."""
    make_store.write_pairs(tmp_path / "store", tmp_path / "data", n=6)
    return tmp_path / "store"


@pytest.fixture
def tab(chromium: Any) -> Iterator[Any]:
    """Opens an address in a browser of its own."""
    contexts = []

    def go(address: str, context: Any = None, **options: Any) -> Any:
        if context is None:
            context = chromium.new_context(**options)
            contexts.append(context)
        page = context.new_page()
        page.goto(address)
        chrome.settle(page)
        return page

    yield go
    for context in contexts:
        context.close()


@pytest.mark.browser
def test_a_typed_name_is_remembered_by_the_browser(tab: Any, url: str) -> None:
    page = tab(f"{url}/team")
    field = page.locator(NAME)
    assert field.input_value() == ""
    field.fill("Zoë; path=/x </script>")
    field.press("Enter")
    page.wait_for_function("document.cookie.includes('relevancy_audit_reviewer=Zo%C3%AB')")
    again = tab(f"{url}/team", page.context)
    assert again.locator(NAME).input_value() == "Zoë; path=/x </script>"
    assert tab(f"{url}/team").locator(NAME).input_value() == ""


@pytest.mark.browser
def test_a_proxy_names_people(tab: Any, small: Path, tmp_path: Path) -> None:
    require_chromium()
    options = ("--auth=header", "--admin=ana@example.org")
    with chrome.server(small, tmp_path / "log", *options) as address, gate.proxy(address) as front:
        page = tab(f"{front.url}/team")
        assert "Not logged in" in sidebar(page) and page.get_by_role("button", name="Give role").count() == 0
        front.name = "eve@example.org"
        page = tab(f"{front.url}/team", extra_http_headers={"X-Forwarded-User": "ana@example.org"})  # a forged one
        assert "eve@example.org (reader)" in sidebar(page)
        assert page.get_by_role("button", name="Give role").count() == 0
        front.name = "ana@example.org"
        page = tab(f"{front.url}/team")
        assert "ana@example.org (admin)" in sidebar(page)
        page.get_by_role("textbox", name="Person").fill("eve@example.org")
        page.get_by_role("combobox", name="Role").click()
        page.get_by_role("option", name="reviewer").click()
        page.get_by_role("button", name="Give role").click()
        chrome.settle(page)
        with_role = Reviews.open(small)
        for _ in range(100):
            if with_role.members():
                break
            page.wait_for_timeout(50)
        assert [(m.person, m.role, m.by) for m in with_role.members()] == [
            ("eve@example.org", "reviewer", "ana@example.org")
        ]
        front.name = "eve@example.org"
        assert "eve@example.org (reviewer)" in sidebar(tab(f"{front.url}/team"))


@pytest.mark.browser
def test_open_id_connect_names_people(tab: Any, small: Path, tmp_path: Path) -> None:
    require_chromium()
    port = chrome.free_port()
    with gate.provider() as provider:
        secrets = tmp_path / "secrets.toml"
        secrets.write_text(gate.secrets_toml(provider.url, f"http://127.0.0.1:{port}"))
        environment = {"STREAMLIT_SECRETS_FILES": str(secrets), "RELEVANCY_AUDIT_ADMINS": "ana@example.org"}
        with chrome.server(small, tmp_path / "log", "--auth=oidc", port=port, environment=environment) as address:
            page = tab(f"{address}/team")
            page.get_by_role("button", name="Log in").click()
            page.get_by_text("ana@example.org (admin)").wait_for()
            page.get_by_role("button", name="Log out").click()
            page.get_by_role("button", name="Log in").wait_for()


def sidebar(page: Any) -> str:
    return str(page.locator('[data-testid="stSidebar"]').inner_text())
