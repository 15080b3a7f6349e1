"""How a run is going: the numbers, and the ways to show them."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import Any, TextIO

from storage.media.secrets import shown


@dataclass
class Tally:
    """Counts and seconds of one call. `samples` = explained + failed + skipped + still to do."""

    samples: int
    skipped: int = 0  # in parts that an earlier call finished
    parts_total: int = 0
    parts_done: int = 0
    explained: int = 0
    failed: int = 0
    read: float = 0.0  # seconds the model waited for pictures
    compute: float = 0.0  # seconds in the model
    write: float = 0.0  # seconds of the writing thread, beside the model
    started: float = field(default_factory=time.monotonic)
    ended: float | None = None

    @property
    def done(self) -> int:
        """Samples this call is through with."""
        return self.explained + self.failed

    @property
    def seconds(self) -> float:
        """Seconds since the call began with the first picture."""
        return (self.ended or time.monotonic()) - self.started

    @property
    def rate(self) -> float:
        """Samples per second of this call."""
        return self.done / self.seconds if self.seconds > 0 else 0.0

    @property
    def eta(self) -> float | None:
        """Seconds still to go, None while that is unknown."""
        left = self.samples - self.skipped - self.done
        return left / self.rate if self.done else None

    def shares(self) -> dict[str, float]:
        """Share of this call's time in each stage. Writing runs beside computing, so the sum may pass 1."""
        seconds = max(self.seconds, 1e-9)
        return {"read": self.read / seconds, "compute": self.compute / seconds, "write": self.write / seconds}

    def heartbeat(self) -> dict[str, Any]:
        """The numbers of a running call as the store keeps them."""
        return {
            "samples": self.samples,
            "explained": self.explained,
            "failed": self.failed,
            "skipped": self.skipped,
            "parts_done": self.parts_done,
            "parts_total": self.parts_total,
            "seconds_read": self.read,
            "seconds_compute": self.compute,
            "seconds_write": self.write,
            "samples_per_second": self.rate,
            "eta_seconds": self.eta,
        }

    def words(self) -> str:
        """`00:12 left, 12.3 samples/s, 2 failed, read 3% compute 95% write 1%`."""
        left = f"{duration(self.eta)} left, " if self.eta else ""
        failed = f"{self.failed} failed, " if self.failed else ""
        shares = " ".join(f"{stage} {share:.0%}" for stage, share in self.shares().items())
        return f"{left}{self.rate:.1f} samples/s, {failed}{shares}"


class Reporter:
    """Shows a run to somebody. This one shows nothing."""

    def start(self, title: str, tally: Tally) -> None:
        """The first picture is about to be read."""

    def update(self, tally: Tally) -> None:
        """A batch is done."""

    def note(self, line: str) -> None:
        """A line that stays."""

    def stop(self) -> None:
        """The last batch is done, or the run has ended in another way."""


class Lines(Reporter):
    """Plain lines for logs: one at the start, one every `every` seconds, one at the end."""

    def __init__(self, stream: TextIO | None = None, every: float = 10.0) -> None:
        self.stream = stream or sys.stderr
        self.every = every
        self.shown = 0.0
        self.said = 0
        self.tally: Tally | None = None

    def start(self, title: str, tally: Tally) -> None:
        """Say what begins."""
        self.tally = tally
        self.shown = time.monotonic()
        skipped = f", {tally.skipped} already done" if tally.skipped else ""
        self.note(f"{title}: {tally.samples} samples{skipped}")

    def update(self, tally: Tally) -> None:
        """Say how far it is."""
        if time.monotonic() - self.shown >= self.every:
            self.shown = time.monotonic()
            self._line(tally)

    def note(self, line: str) -> None:
        """Say it as it is, but for passwords and keys of addresses."""
        self.stream.write(f"{shown(line)}\n")
        self.stream.flush()

    def stop(self) -> None:
        """Say the last word."""
        if self.tally is not None and self.tally.done:
            self._line(self.tally)
        self.tally = None

    def _line(self, tally: Tally) -> None:
        line = f"{tally.skipped + tally.done}/{tally.samples}, {tally.words()}"
        if tally.done != self.said:
            self.note(line)
        self.said = tally.done


class Bar(Reporter):
    """A progress bar for people in front of a terminal."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(stderr=True, highlight=False)
        self.progress: Any = None

    def start(self, title: str, tally: Tally) -> None:
        """Say what begins."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.table import Column

        self.note(title)
        self.progress = Progress(
            BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=6)),  # as wide as the words leave
            MofNCompleteColumn(),
            TextColumn("{task.fields[words]}", table_column=Column(no_wrap=True)),
            console=self.console,
            expand=True,
        )
        self.progress.start()
        self.task = self.progress.add_task("", total=tally.samples, completed=tally.skipped, words="")

    def update(self, tally: Tally) -> None:
        """Say how far it is."""
        self.progress.update(self.task, completed=tally.skipped + tally.done, words=tally.words())

    def note(self, line: str) -> None:
        """Say it as it is, but for passwords and keys of addresses."""
        self.console.print(shown(line), markup=False, soft_wrap=True)

    def stop(self) -> None:
        """Say the last word."""
        if self.progress is not None:
            self.progress.stop()
            self.progress = None


def duration(seconds: float | None) -> str:
    """`1:02:03` or `02:03`."""
    if seconds is None:
        return "?"
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"
