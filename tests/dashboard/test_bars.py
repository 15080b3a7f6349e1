"""The stacked bar: parts that add up, and nothing but text in it."""

from __future__ import annotations

import html5lib

from dashboard import bars
from dashboard.bars import Part
from tests.dashboard.make_store import HOSTILE


def test_coverage_parts_add_up_to_the_dataset() -> None:
    parts = bars.coverage(150, 10, 200)
    assert [(part.name, part.length) for part in parts] == [
        ("explained 150", 150),
        ("failed 10", 10),
        ("not yet 40", 40),
    ]
    assert parts[1].told == "failed: 10 of 200 (5.0%)"
    assert bars.coverage(0, 0, 0) == []


def test_time_shares_are_of_their_sum() -> None:
    parts = bars.time_shares({"read": 1.0, "compute": 2.0, "write": 1.0})
    assert [part.name for part in parts] == ["read 25%", "compute 50%", "write 25%"]
    assert len({part.color for part in parts}) == 3
    assert [part.name for part in bars.time_shares({"read": 0.0})] == ["read 0%"]


def test_a_bar_is_as_long_as_its_parts() -> None:
    drawn = html5lib.parseFragment(bars.stacked(bars.coverage(150, 10, 200), "150 of 200"), namespaceHTMLElements=False)
    widths = [e.get("style").split("%")[0] for e in drawn.iter("div") if e.get("style", "").startswith("width")]
    assert widths == ["width:75.0000", "width:5.0000", "width:20.0000"]
    assert drawn.find("div").get("aria-label") == "150 of 200"
    assert bars.stacked([], "nothing")


def test_names_show_as_text() -> None:
    for text in HOSTILE:
        drawn = html5lib.parseFragment(bars.stacked([Part(text, 1, "red", text)], text), namespaceHTMLElements=False)
        assert {e.tag for e in drawn.iter()} <= {"DOCUMENT_FRAGMENT", "div", "span"}
        assert text in "".join(drawn.itertext())
