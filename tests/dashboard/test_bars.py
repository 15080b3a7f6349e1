"""Bars as HTML: parts that add up, and nothing but text in them."""

from __future__ import annotations

import html5lib
import pytest

from dashboard import bars
from dashboard.bars import Part
from dashboard.selection import clip
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


def test_the_label_is_set_apart_by_a_word_and_bars_are_as_long_as_their_shares() -> None:
    drawn = html5lib.parseFragment(bars.top_classes(["cat", "dog"], [0.7, 1.2], "dog"), namespaceHTMLElements=False)
    assert [text for text in drawn.itertext() if text.strip()] == ["cat", "70.0%", "dog (label)", "120.0%"]
    fills = [e.get("style") for e in drawn.iter("div") if "width:" in e.get("style", "")]
    assert [style.rpartition("width:")[2] for style in fills] == ["70.00%", "100.00%"]
    assert bars.LABEL in fills[1] and bars.LABEL not in fills[0]
    assert drawn.find("div").get("aria-label") == "Best classes: cat 70%, dog 120%"


@pytest.mark.parametrize("text", HOSTILE)
def test_names_show_as_text(text: str) -> None:
    for html in (bars.stacked([Part(text, 1, "red", text)], text), bars.top_classes([text], [0.5], text)):
        drawn = html5lib.parseFragment(html, namespaceHTMLElements=False)
        assert {e.tag for e in drawn.iter()} <= {"DOCUMENT_FRAGMENT", "div", "span"}
        assert clip(text, 24).removesuffix("…") in "".join(drawn.itertext())
