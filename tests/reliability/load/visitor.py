"""One person with one browser tab who walks through the dashboard, and the checker who reads along."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.dashboard.browser import watch
from tests.reliability.load.checks import check
from tests.reliability.load.committed import Window, committed_parts
from tests.reliability.load.reading import CALM, COUNT_SCRIPTS, lacking, read, wait_drawn
from tests.reliability.load.steps import Step, arrival, next_step
from tests.reliability.load.truth import Question, Truth

PATIENCE = 120  # seconds until a page that is not drawn counts as one that never is


@dataclass
class Notes:
    """What all visitors together did and met."""

    seconds: list[tuple[str, float]] = field(default_factory=list)  # of every step, by its name
    checked: Counter[str] = field(default_factory=Counter)  # pages by name
    rows: int = 0
    values: int = 0
    wrong: list[str] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)
    exceptions: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)


class Visitor:
    """A browser context with one tab, and a seed of its own."""

    def __init__(self, context: Any, url: str, seed: int, truth: Truth, store: Path, notes: Notes) -> None:
        self.context, self.url, self.truth, self.store, self.notes = context, url, truth, store, notes
        self.luck = random.Random(seed)
        self.think = random.Random(seed + 1)

    async def arrive(self, live: str) -> None:
        """Open the tab and its first page, as somebody who has never been here."""
        await self.context.add_init_script(COUNT_SCRIPTS + CALM)
        self.page = await self.context.new_page()
        self.page.set_default_timeout(PATIENCE * 1000)
        self.said = watch(self.page)
        self.here = await self._take(arrival(self.url, live), "")

    async def walk(self, live: Callable[[], str], until: float, pause: float) -> None:
        """Step after step until the time is over; `live()` names the run that is being written."""
        while time.monotonic() < until:
            self.here = await self._take(next_step(self.luck, self.url, self.here, self.truth, live()), self.here)
            await asyncio.sleep(self.think.uniform(0, 2 * pause))

    async def _take(self, step: Step, here: str) -> str:
        """Take a step, read the page it leads to and compare it. Returns the address; empty to begin anew."""
        page, path = self.page, f"/{step.page}"
        before = {run.name: committed_parts(run) for run in sorted(self.store.glob("runs/*"))}
        ended = 0 if step.opens else await page.evaluate("window.scriptsEnded")
        began = time.monotonic()
        try:
            if await step.act(page) is False:  # the page has nothing of the kind
                return here
            await wait_drawn(page, ended, path, PATIENCE)
            self.notes.seconds.append((step.name, time.monotonic() - began))
            seen = await read(page, path, PATIENCE)
        except Exception as problem:  # Playwright's, of many kinds: every one is a page that did not come
            said, lacks = str(problem).splitlines()[0], await lacking(page, ended, path)
            self.notes.stuck.append(f"{step.name} from {here}, now {page.url}: {said} {lacks}")
            return ""
        finally:
            self.notes.console += [f"{page.url}: {line}" for line in self.said]
            self.said.clear()
        self._check(seen, before)
        return "" if seen.exceptions else seen.address

    def _check(self, seen: Any, before: dict[str, int]) -> None:
        asked, where = Question.of(seen.address), urlsplit(seen.address)
        run = self.store / "runs" / asked.run
        window = Window(before.get(asked.run, 0), committed_parts(run))
        self.notes.exceptions += [f"{seen.address}: {text}" for text in seen.exceptions]
        if seen.exceptions:
            return
        self.notes.checked[asked.page] += 1
        try:
            verdict = check(seen, self.truth, window)
        except (LookupError, ValueError) as problem:
            self.notes.wrong.append(f"{where.path}?{where.query}: cannot be read: {problem!r}; {seen}"[:1500])
            return
        self.notes.rows += verdict.rows
        self.notes.values += verdict.values
        for found, kept in ((verdict.wrong, self.notes.wrong), (verdict.mixed, self.notes.mixed)):
            kept += [f"{where.path}?{where.query} [{window.first}-{window.last} parts]: {line}" for line in found]
