"""Searches and filters over a real run: the rows are those that plain Python finds, or one line says what is wrong."""

from __future__ import annotations

from functools import cache
from typing import Any

from hypothesis import strategies as st

from storage import Filter, SampleQuery, StoreError, queries
from tests.reliability.fuzz.dashboards import filter_parts, reader, scalars, texts
from tests.reliability.fuzz.target import Target, tried

filters = st.one_of(
    filter_parts.map(lambda parts: (str(parts[0]), str(parts[1]), parts[2])),
    st.tuples(st.sampled_from(("label", "camera", "text")), st.sampled_from(("eq", "ne", "contains")), scalars),
)
cases = st.fixed_dictionaries(
    {
        "search": st.one_of(texts, st.sampled_from(("", "ring", "RING png", "a", "alert", "= 1", "bold", "'"))),
        "filters": st.lists(filters, max_size=2),
        "sort": st.one_of(st.sampled_from(("sample_id", "score", "label", "text")), texts),
        "descending": st.booleans(),
        "target": st.one_of(st.just("predicted"), texts),
    }
)


@cache
def rows() -> list[dict[str, Any]]:
    """All rows of the run, read without any of the code that filters."""
    return reader().query("SELECT * FROM explanations JOIN samples USING (sample_id) WHERE target = 'predicted'")


def check(case: dict[str, Any]) -> str:
    """Count and list; compare with plain Python where both say the same of upper and lower case."""
    return tried(lambda: _asked(case), StoreError)


def _asked(case: dict[str, Any]) -> None:
    made = tuple(Filter(c, op, tuple(v) if isinstance(v, list) else v) for c, op, v in case["filters"])
    query = SampleQuery(case["target"], filters=made, sort=case["sort"], descending=case["descending"],
                        search=case["search"])  # fmt: skip
    count = queries.count(reader(), query)
    found = [row["sample_id"] for row in queries.page(reader(), query, 1, 1000)]
    assert len(found) == len(set(found)) == count
    if case["target"] == "predicted" and not made and case["search"].isascii():
        wanted = {row["sample_id"] for row in rows() if all(_holds(row, w) for w in case["search"].split())}
        assert set(found) == wanted, f"found {sorted(found)}, not {sorted(wanted)}"


def _holds(row: dict[str, Any], word: str) -> bool:
    text = " ".join(str(row[name]) for name in ("text", "uri", "label", "predicted") if row[name] is not None)
    return word.lower() in text.lower()


TARGET = Target("search", "free text search, filters and order over a run (storage/queries)", lambda: cases, check,
                share=2.0, quick=100)  # fmt: skip
