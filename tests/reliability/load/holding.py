"""Many browser sessions against the dashboard while a job writes: run it, and say what came of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.dashboard.browser import CHROMIUM_FLAGS, chromium, server, server_process
from tests.reliability.load.committed import committed_parts
from tests.reliability.load.ready import Ready
from tests.reliability.load.steps import ARRIVAL
from tests.reliability.load.truth import read_truth
from tests.reliability.load.visitor import Notes, Visitor
from tests.reliability.load.watching import Memory, complaints
from tests.reliability.load.writing import Writer

# Half the pixels each way, and nothing that moves: twenty browsers share the cores with the server and the job.
TAB: dict[str, Any] = {
    "viewport": {"width": 1280, "height": 800},
    "device_scale_factor": 0.5,
    "reduced_motion": "reduce",
}
ARRIVING = 2  # visitors who open their first page at once
FIRST_PART = 120  # seconds until the job must have committed one


@dataclass(frozen=True)
class Load:
    """How much is asked of the dashboard. `pause`: mean seconds that a visitor looks at a page before going on."""

    sessions: int
    minutes: float
    pause: float
    seed: int


def hold(ready: Ready, load: Load, folder: Path, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Serve the store, write into it, let the visitors walk. Returns figures: a row of all, one per kind of step."""
    notes, logs = Notes(), (folder / "server.log", folder / "jobs.log")
    with ExitStack() as stack:
        url = stack.enter_context(server(ready.store, logs[0]))
        writer = stack.enter_context(Writer(ready.manifest, ready.store, ready.truth.part, logs[1]))
        _wait_for_part(writer)
        memory = stack.enter_context(Memory(server_process(url)))
        began, parts = time.monotonic(), _parts(ready.store, writer.names)
        with ThreadPoolExecutor(
            1
        ) as pool:  # the thread of the caller may have a loop of its own, as other browser tests do
            walking = pool.submit(asyncio.run, _all_visitors(ready, load, url, writer, notes, say))
            seconds = walking.result()
        written, writing = _parts(ready.store, writer.names) - parts, time.monotonic() - began
    lost = _compare_runs(ready, writer.finished)
    whole = _whole(notes, load, seconds) | {
        "parts_written": written,
        "samples_written_per_s": round(written * ready.truth.part / writing, 1),
        "runs_finished": len(writer.finished),
        "job_problems": writer.problems,
        "finished_runs_that_differ": lost,
        "server_tracebacks": complaints(logs[0]),
        **{f"server_{name}": value for name, value in memory.figures().items()},
    }
    return [whole, *_by_step(notes.seconds)]


def problems(row: dict[str, Any]) -> list[str]:
    """Everything that may not be, of the first row of figures."""
    names = ("wrong", "mixed", "exceptions", "console_errors", "never_drawn", "server_tracebacks", "job_problems",
             "finished_runs_that_differ")  # fmt: skip
    return [f"{name}: {line}" for name in names for line in row[name]]


async def _all_visitors(
    ready: Ready, load: Load, url: str, writer: Writer, notes: Notes, say: Callable[[str], None]
) -> float:
    """All arrive, then all walk. Returns the seconds of walking."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_FLAGS)
        visitors = [
            Visitor(await browser.new_context(**TAB), url, load.seed + 1000 * number, ready.truth,
                    ready.store, notes)
            for number in range(load.sessions)
        ]  # fmt: skip
        talk, door = asyncio.create_task(_report(notes, say)), asyncio.Semaphore(ARRIVING)

        async def arrive(visitor: Visitor) -> None:
            async with door:
                await visitor.arrive(writer.name)

        await asyncio.gather(*(arrive(visitor) for visitor in visitors))
        began = time.monotonic()
        until = began + load.minutes * 60
        await asyncio.gather(*(visitor.walk(lambda: writer.name, until, load.pause) for visitor in visitors))
        talk.cancel()
        seconds = time.monotonic() - began
        await browser.close()
        return seconds


async def _report(notes: Notes, say: Callable[[str], None]) -> None:
    """A line now and then."""
    while True:
        await asyncio.sleep(15)
        say(
            f"{sum(notes.checked.values())} pages, {notes.rows} rows, {len(notes.wrong)} wrong, "
            f"{len(notes.mixed)} mixed, {len(notes.exceptions)} exceptions, {len(notes.stuck)} never drawn"
        )


def _wait_for_part(writer: Writer) -> None:
    """Until the job has committed something, so that every link leads to a run that has samples."""
    end = time.monotonic() + FIRST_PART
    while not (writer.name and committed_parts(writer.store / "runs" / writer.name)):
        if writer.problems or time.monotonic() > end:
            raise RuntimeError(f"the job wrote nothing within {FIRST_PART} s: {writer.problems}")
        time.sleep(0.2)


def _parts(store: Path, names: Sequence[str]) -> int:
    return sum(committed_parts(store / "runs" / name) for name in names)


def _compare_runs(ready: Ready, names: Sequence[str]) -> list[str]:
    """Finished runs that do not hold exactly what the undisturbed one holds."""
    different = []
    for name in names:
        again = read_truth(ready.store / "runs" / name, ready.known, ready.truth.part)
        told = ("label", "predicted", "confidence", "score", "entropy", "correct")
        rows = sum(
            any(again.rows[number][column] != row[column] for column in told)
            for number, row in ready.truth.rows.items()
        )
        maps = sum(list(again.maps[number]) != list(values) for number, values in ready.truth.maps.items())
        if rows or maps:
            different.append(f"{name}: {rows} rows and {maps} maps are not the same")
    return different


def _whole(notes: Notes, load: Load, seconds: float) -> dict[str, Any]:
    pages, times = sum(notes.checked.values()), [time_ for name, time_ in notes.seconds if name != ARRIVAL]
    return {
        "step": "all",
        "sessions": load.sessions,
        "seconds": round(seconds, 1),
        "pause_s": load.pause,
        "seed": load.seed,
        **_times(times),
        "steps_per_minute": round(len(times) / seconds * 60, 1),
        "pages_checked": pages,
        "pages_by_name": dict(notes.checked.most_common()),
        "rows_checked": notes.rows,
        "values_checked": notes.values,
        "wrong": notes.wrong,
        "mixed": notes.mixed,
        "exceptions": notes.exceptions,
        "console_errors": notes.console,
        "never_drawn": notes.stuck,
    }


def _by_step(seconds: Sequence[tuple[str, float]]) -> list[dict[str, Any]]:
    names = sorted({name for name, _ in seconds})
    return [{"step": name, **_times([time_ for other, time_ in seconds if other == name])} for name in names]


def _times(seconds: Sequence[float]) -> dict[str, Any]:
    """How many, the median, the 95th percentile and the longest, in seconds until everything is drawn."""
    ordered = sorted(seconds)
    place = {"p50_s": 0.5, "p95_s": 0.95, "max_s": 1.0}
    return {"n": len(ordered)} | {
        name: round(ordered[min(int(share * len(ordered)), len(ordered) - 1)], 2) if ordered else None
        for name, share in place.items()
    }
