"""Seconds of the dashboard's questions to a store: many different ones of each kind, asked anew and asked again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from dashboard.tiles import NEEDED
from storage import RunReader, Store, queries
from storage.queries import Filter, SampleQuery

Ask = Callable[[RunReader], object]
TARGET = "predicted"
NUMBERS = (
    "confidence", "entropy", "top10_mass", "mass", "border_share", "corner_tl", "center_x", "mask_share", "score",
    "brightness", "contrast", "sharpness", "file_bytes", "iso", "exposure", "label_index",
)  # fmt: skip
CATEGORIES = ("label", "predicted", "split", "camera", "site", "correct", "indoor", "file_format", "uri")
FREE_TEXTS = ("text", "note", "uploader")
WORDS = ("red", "snow", "boat", "meadow 12", "77", "owl road", "blue sea", "images/0031")


@dataclass(frozen=True)
class Kind:
    """One kind of question: its limit, and an endless supply of different ones."""

    name: str
    limit_ms: float | None
    asks: Callable[[np.random.Generator, RunReader], Iterator[Ask]]


def measured(store: Store, run: str, each: int, said: Callable[[dict[str, Any]], None]) -> list[dict[str, Any]]:
    """One row per kind. Every question is asked twice in turn on one reader that has just been opened."""
    rows = []
    for kind in KINDS:
        with store.reader(run) as reader:
            rows.append(_row(kind, reader, each))
        said(rows[-1])
    return rows


def _row(kind: Kind, reader: RunReader, each: int) -> dict[str, Any]:
    rng = np.random.default_rng([11, len(kind.name)])
    first, again, spent = [], [], []
    for _, ask in zip(range(each), kind.asks(rng, reader), strict=False):
        worked = time.process_time()
        first.append(_seconds(ask, reader))
        spent.append(time.process_time() - worked)
        again.append(_seconds(ask, reader))
    late = first[1:] or first  # the very first one also pays for what all of them share
    row: dict[str, Any] = {
        "query": kind.name,
        "n": len(first),
        "opened_ms": _ms(first[0]),
        "first_p50_ms": _ms(float(np.median(late))),
        "first_p95_ms": _ms(float(np.quantile(late, 0.95))),
        "first_cpu_p50_ms": _ms(float(np.median(spent[1:] or spent))),
        "p50_ms": _ms(float(np.median(again))),
        "p95_ms": _ms(float(np.quantile(again, 0.95))),
        "limit_ms": kind.limit_ms,
    }
    if kind.limit_ms is not None:
        row["within_first"], row["within_again"] = (row[key] < kind.limit_ms for key in ("first_p95_ms", "p95_ms"))
    return row


def _seconds(ask: Ask, reader: RunReader) -> float:
    began = time.perf_counter()
    ask(reader)
    return time.perf_counter() - began


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 1)


def _listed(reader: RunReader, query: SampleQuery) -> tuple[int, list[dict[str, Any]]]:
    """A list with its first page."""
    return queries.count(reader, query), queries.page(reader, query, columns=(*NEEDED, query.sort))


# -- questions ---------------------------------------------------------------------------------------------


def _filter(rng: np.random.Generator) -> Filter:
    """A random condition, none twice."""
    kind = rng.integers(4)
    if kind == 0:
        low = float(rng.uniform(0, 0.6))
        name = str(rng.choice(("confidence", "entropy", "border_share", "brightness")))
        return Filter(name, "between", (low, low + 0.3))
    if kind == 1:
        low = int(rng.integers(4_000, 60_000))
        return Filter("file_bytes", "between", (low, low + 20_000))
    if kind == 2:
        return Filter("site", "in", tuple(f"site {k}" for k in rng.choice(40, 3, replace=False)))
    return Filter("note", "contains", f"{rng.integers(10, 99)}")


def _filtered(rng: np.random.Generator, sort: str = "sample_id") -> SampleQuery:
    chosen = tuple(_filter(rng) for _ in range(rng.integers(1, 3)))
    return SampleQuery(TARGET, filters=chosen, sort=sort, descending=bool(rng.integers(2)))


def _sorts(names: tuple[str, ...]) -> list[SampleQuery]:
    return [SampleQuery(TARGET, sort=name, descending=down) for name in names for down in (True, False)]


def filters(rng: np.random.Generator, _: RunReader) -> Iterator[Ask]:
    while True:
        query = _filtered(rng)
        yield partial(_listed, query=query)


def sort_by(names: tuple[str, ...]) -> Callable[[np.random.Generator, RunReader], Iterator[Ask]]:
    def asks(_: np.random.Generator, __: RunReader) -> Iterator[Ask]:
        for query in _sorts(names):
            yield partial(queries.page, query=query, columns=(*NEEDED, query.sort))

    return asks


def filter_and_sort(rng: np.random.Generator, _: RunReader) -> Iterator[Ask]:
    while True:
        query = _filtered(rng, str(rng.choice(NUMBERS)))
        yield partial(queries.page, query=query, columns=(*NEEDED, query.sort))


def turn_pages(rng: np.random.Generator, _: RunReader) -> Iterator[Ask]:
    query, number = SampleQuery(TARGET, sort="confidence"), 0
    while True:
        number += 1
        yield partial(queries.page, query=query, page=number, columns=(*NEEDED, query.sort))


def jump(rng: np.random.Generator, reader: RunReader) -> Iterator[Ask]:
    kept = [SampleQuery(TARGET, sort=name) for name in ("sample_id", "entropy", "mass")]
    pages = queries.count(reader, kept[0]) // 24
    while True:
        query, number = kept[rng.integers(len(kept))], int(rng.integers(1, pages))
        yield partial(queries.page, query=query, page=number, columns=(*NEEDED, query.sort))


def step(rng: np.random.Generator, reader: RunReader) -> Iterator[Ask]:
    """Neighbours in selections that a page has shown before, as in the dashboard."""
    shown = [SampleQuery(TARGET), *(_filtered(rng, name) for name in ("entropy", "iso", "label"))]
    known = [queries.page(reader, query, 1, 100) for query in shown]
    known = [rows or [{"sample_id": 0}] for rows in known]
    while True:
        which = rng.integers(len(shown))
        row = known[which][rng.integers(len(known[which]))]
        yield partial(queries.neighbours, query=shown[which], sample_id=row["sample_id"])


def step_by_link(rng: np.random.Generator, _: RunReader) -> Iterator[Ask]:
    """Neighbours in a selection nobody has asked for: a link to a sample."""
    while True:
        query, sample_id = _filtered(rng, str(rng.choice(NUMBERS))), int(rng.integers(900_000))
        yield partial(queries.neighbours, query=query, sample_id=sample_id)


def confusion(rng: np.random.Generator, _: RunReader) -> Iterator[Ask]:
    yield partial(queries.confusion, query=SampleQuery(TARGET))
    while True:
        query = _filtered(rng)
        yield partial(queries.confusion, query=query)


def classes(rng: np.random.Generator, _: RunReader) -> Iterator[Ask]:
    yield partial(queries.class_summary, query=SampleQuery(TARGET))
    while True:
        query = _filtered(rng)
        yield partial(queries.class_summary, query=query)


def histogram(rng: np.random.Generator, _: RunReader) -> Iterator[Ask]:
    for name in NUMBERS:
        yield partial(queries.histogram, query=SampleQuery(TARGET), column=name)
    while True:
        query, name = _filtered(rng), str(rng.choice(NUMBERS))
        yield partial(queries.histogram, query=query, column=name)


def maps(rng: np.random.Generator, reader: RunReader) -> Iterator[Ask]:
    last = queries.count(reader, SampleQuery(TARGET))
    while True:
        keys = [(int(i), TARGET) for i in rng.choice(last, 48, replace=False)]
        yield partial(RunReader.maps, keys=keys, modality="image")


def neighbouring_maps(rng: np.random.Generator, reader: RunReader) -> Iterator[Ask]:
    last = queries.count(reader, SampleQuery(TARGET))
    while True:
        start = int(rng.integers(last - 48))
        keys = [(i, TARGET) for i in range(start, start + 48)]
        yield partial(RunReader.maps, keys=keys, modality="image")


def search(_: np.random.Generator, __: RunReader) -> Iterator[Ask]:
    for word in WORDS:
        query = SampleQuery(TARGET, search=word)
        yield partial(_listed, query=query)


def members(rng: np.random.Generator, reader: RunReader) -> Iterator[Ask]:
    for row in reader.suspects().rows:
        query = SampleQuery(TARGET, sets=(reader.sets.keep(np.array(row["sample_ids"])),), sort="confidence")
        yield partial(_listed, query=query)


def sample(rng: np.random.Generator, _: RunReader) -> Iterator[Ask]:
    while True:
        number = int(rng.integers(400_000)) * 2  # none that failed: 1234 + 2000 k are even, so step over them
        yield partial(queries.sample, sample_id=number + 1)


def every_page(_: np.random.Generator, __: RunReader) -> Iterator[Ask]:
    """What every page asks: the columns, and the targets."""
    yield lambda reader: (queries.columns(reader), queries.targets(reader))


def category_values(_: np.random.Generator, __: RunReader) -> Iterator[Ask]:
    for name in (*CATEGORIES, *FREE_TEXTS):
        yield partial(queries.category_values, column=name)


def number_range(_: np.random.Generator, __: RunReader) -> Iterator[Ask]:
    for name in NUMBERS:
        yield partial(queries.number_range, column=name, target=TARGET)


KINDS = (
    Kind("columns and targets", None, every_page),
    Kind("filter: count and first page", 200, filters),
    Kind("sort by a number: first page", 200, sort_by(NUMBERS)),
    Kind("sort by a category: first page", 200, sort_by(CATEGORIES)),
    Kind("sort by a free text: first page", 200, sort_by(FREE_TEXTS)),
    Kind("filter and sort: first page", 200, filter_and_sort),
    Kind("search: count and first page", 200, search),
    Kind("members of a suspect: count and first page", 200, members),
    Kind("page after page", 200, turn_pages),
    Kind("jump to any page", 200, jump),
    Kind("previous and next", 50, step),
    Kind("previous and next in a new selection", None, step_by_link),
    Kind("one sample", 200, sample),
    Kind("confusion matrix", 200, confusion),
    Kind("class summary", 200, classes),
    Kind("histogram", 200, histogram),
    Kind("48 maps anywhere", 200, maps),
    Kind("48 neighbouring maps", 200, neighbouring_maps),
    Kind("values of a category", None, category_values),
    Kind("range of a number", None, number_range),
)
