"""What a visitor may do next: open a link that somebody made, or click on what the page offers."""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from tests.reliability.load.truth import Question, Truth

SORTS = ("sample_id", "confidence", "entropy", "score", "border_share", "mask_share", "brightness", "label")
MAIN = '[data-testid="stMain"]'
OPEN_A_LINK = 0.15  # share of the steps that open a link; the others click, where there is something to click on


@dataclass(frozen=True)
class Step:
    """Something to do, what it is called in the figures, and the page that it leads to."""

    name: str
    page: str
    act: Callable[[Any], Awaitable[Any]]
    opens: bool = False  # a new document


ARRIVAL = "arrival"  # the name of the first step


def next_step(luck: random.Random, url: str, here: str, truth: Truth, live: str) -> Step:
    """A link at first and now and then; otherwise a click that the page at the address `here` has."""
    possible = CLICKS.get(Question.of(here).page, ())
    if not here or not possible or luck.random() < OPEN_A_LINK:
        return _link(luck, url, truth, live)
    return luck.choice(possible)(luck)


def arrival(url: str, run: str) -> Step:
    """The first page that somebody opens."""
    address = f"{url}/samples?{urlencode({'v': '1', 'run': run})}"
    return Step(ARRIVAL, "samples", lambda page: page.goto(address, wait_until="commit"), opens=True)


def _link(luck: random.Random, url: str, truth: Truth, live: str) -> Step:
    """The address of a view, mostly of the run that is being written."""
    run = live if luck.random() < 0.7 else truth.finished
    name = luck.choices(("samples", "sample", "overview", "runs", "suspects", "evidence"), (8, 4, 3, 3, 1, 1))[0]
    if name in ("suspects", "evidence"):
        run = truth.finished
    asked = {"v": "1", "run": run, **QUERIES.get(name, _nothing)(luck, truth, run)}
    address = f"{url}/{name}?{urlencode(asked, doseq=True)}"
    return Step(f"link to {name}", name, lambda page: page.goto(address, wait_until="commit"), opens=True)


def _nothing(luck: random.Random, truth: Truth, run: str) -> dict[str, Any]:
    return {}


def _narrowed(luck: random.Random, truth: Truth, run: str) -> dict[str, Any]:
    """None to two filters, or the members of a suspect."""
    labels = sorted({str(row["label"]) for row in truth.rows.values()})
    low = luck.choice((0.3, 0.5, 0.9))
    filters = [
        ["label", "in", luck.sample(labels, 2)],
        ["predicted", "in", [luck.choice(labels)]],
        ["correct", "eq", luck.random() < 0.5],
        ["confidence", "between", [low, 1.0]],
        ["text", "contains", luck.choice(("red", "Boat", "sky"))],
        ["place", "in", [luck.choice(sorted({str(row["place"]) for row in truth.rows.values()}))]],
    ]
    if run == truth.finished and truth.suspects and luck.random() < 0.3:
        return {"members": luck.choice(truth.suspects)["id"]}
    chosen = luck.sample(filters, luck.choice((0, 0, 1, 1, 2)))
    return {"f": [json.dumps(one) for one in chosen]} if chosen else {}


def _samples(luck: random.Random, truth: Truth, run: str) -> dict[str, Any]:
    """Filters, order, place and look of a gallery."""
    return {
        **_narrowed(luck, truth, run),
        "sort": luck.choice(SORTS),
        "order": luck.choice(("asc", "desc")),
        "page": luck.choice((1, 1, 2, 5, 1000)),  # the last page, where there are fewer
        "size": luck.choice((24, 24, 48)),
        "mode": luck.choice(("overlay", "overlay", "map", "original")),
    }


def _sample(luck: random.Random, truth: Truth, run: str) -> dict[str, Any]:
    """Any sample, also one that failed or is not explained yet, among those of a query."""
    near = luck.random() < 0.7
    order = {"sort": luck.choice(SORTS), "order": luck.choice(("asc", "desc"))}
    return {**_narrowed(luck, truth, run), **order, "sample": luck.randrange(200 if near else truth.samples)}


def _overview(luck: random.Random, truth: Truth, run: str) -> dict[str, Any]:
    return _narrowed(luck, truth, run)


def _evidence(luck: random.Random, truth: Truth, run: str) -> dict[str, Any]:
    return {"suspect": luck.choice(truth.suspects)["id"]} if truth.suspects else {}


QUERIES: dict[str, Callable[[random.Random, Truth, str], dict[str, Any]]] = {
    "samples": _samples,
    "sample": _sample,
    "overview": _overview,
    "evidence": _evidence,
}


def _click(name: str, page: str, find: str, nth: str = "first") -> Callable[[random.Random], Step]:
    """A click on the first, or on any, of what a selector finds."""

    def choose(luck: random.Random) -> Step:
        share = luck.random()

        async def act(browser_page: Any) -> bool:
            found = browser_page.locator(find)
            n = await found.count()
            if not n:
                return False
            await found.nth(0 if nth == "first" else int(share * n)).click()
            return True

        return Step(name, page, act)

    return choose


def _sidebar(name: str, page: str) -> Callable[[random.Random], Step]:
    return _click(
        f"sidebar to {page}", page, f'[data-testid="stSidebar"] [data-testid="stPageLink"] a:has-text("{name}")'
    )


def _jump(luck: random.Random) -> Step:
    """A number in the field that goes to the page of a sample."""
    place = luck.randrange(1, 60)

    async def act(page: Any) -> bool:
        field = page.get_by_role("spinbutton", name="Go to sample").first
        if not await field.count():
            return False
        if await field.input_value() == str(place // 24 * 24 + 1):
            return False
        await field.fill(str(place))
        await field.press("Enter")
        return True

    return Step("jump to a sample", "samples", act)


TO_OVERVIEW, TO_SAMPLES = _sidebar("Overview", "overview"), _sidebar("Samples", "samples")
TO_RUNS = _sidebar("Runs", "runs")
NEXT_PAGE = _click("next page", "samples", f"{MAIN} .st-key-turn_right button:not([disabled])")
A_PAGE = _click(
    "page by number", "samples",
    f'{MAIN} [data-testid="stPagination"] >> nth=0 >> button:not([aria-current]):not([disabled])', "any",
)  # fmt: skip
WRONG = _click("only wrong", "samples", '[data-testid="stSidebar"] [role=radio][aria-checked=false]', "any")
A_TILE = _click("tile to sample", "sample", f'{MAIN} .st-key-gallery [data-testid="stPageLink"] a', "any")
CLICKS: dict[str, tuple[Callable[[random.Random], Step], ...]] = {
    "samples": (NEXT_PAGE, NEXT_PAGE, A_PAGE, WRONG, A_TILE, A_TILE, TO_OVERVIEW, _jump, _jump),
    "sample": (
        _click("next sample", "sample", f"{MAIN} .st-key-next button:not([disabled])"),
        _click("previous sample", "sample", f"{MAIN} .st-key-previous button:not([disabled])"),
        _click("back to samples", "samples", f'{MAIN} [data-testid="stPageLink"] a:has-text("Back to samples")'),
    ),
    "overview": (TO_SAMPLES, TO_RUNS),
    "runs": (TO_SAMPLES, TO_OVERVIEW),
    "suspects": (
        _click("suspect to evidence", "evidence", f'{MAIN} [data-testid="stPageLink"] a:has-text("Evidence")', "any"),
        _click("suspect to its samples", "samples", f'{MAIN} [data-testid="stPageLink"] a:has-text("Samples")', "any"),
        _click("next suspect", "suspects", ".st-key-focus_next button:not([disabled])"),
    ),
    "evidence": (
        _click("next suspect's evidence", "evidence", ".st-key-next_suspect button:not([disabled])"),
        _click("evidence to its samples", "samples", f'{MAIN} [data-testid="stPageLink"] a:has-text("members")'),
        _click("back to suspects", "suspects", f'{MAIN} [data-testid="stPageLink"] a:has-text("Back to suspects")'),
    ),
}
