"""Suspects in the terminal: a progress bar, and a list that a person can read."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from storage import wording

if TYPE_CHECKING:
    from jobs.suspects.command import SuspectsResult

EVERY = 10.0  # seconds between lines in a log


class Steps:
    """Shows how a search is going: a bar in a terminal, a line now and then in a log.

    Call it with a step's name, how far it is, and of how much.
    """

    def __init__(self) -> None:
        self.bars: Any = None
        self.tasks: dict[str, Any] = {}
        self.said = time.monotonic()
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            self.bars = Progress(*columns, console=Console(stderr=True))

    def __enter__(self) -> Steps:
        """Begin to draw."""
        if self.bars is not None:
            self.bars.start()
        return self

    def __call__(self, step: str, done: int, total: int) -> None:
        """Show that `done` of `total` of a step are done."""
        if self.bars is not None:
            if step not in self.tasks:
                self.tasks[step] = self.bars.add_task(step, total=total)
            self.bars.update(self.tasks[step], completed=done, total=total)
        elif time.monotonic() - self.said >= EVERY:
            self.said = time.monotonic()
            sys.stderr.write(f"{step} {done}/{total}\n")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Draw no more."""
        if self.bars is not None:
            self.bars.stop()


def suspect_lines(result: SuspectsResult, most: int | None = None) -> list[str]:
    """The ranked list (of `most` suspects), a few lines each, and what chance alone would give."""
    lines = [f"{result.run}: {len(result.suspects)} suspects in {result.samples:,} samples ({result.seconds:.1f} s)"]
    of_pairs = any(wording.of_pairs(one) for one in result.suspects)
    for one in result.suspects[:most]:
        flag = "PROBABLY SPURIOUS, " if one["flagged"] else ""
        number = f"{one['n']} {'pairs' if of_pairs else 'photos'}, {one['share']:.0%} of {_whole(one)}"
        lines += [
            f"{one['rank']:>3}. {one['class_name']}: {one['name']} ({one['kind']}, {number}), {flag}{one['status']}",
            *(f"     {line}" for line in wording.brief_lines(one)),
        ]
    if most is not None and len(result.suspects) > most:
        lines.append(f"     and {len(result.suspects) - most} more (`python -m jobs suspects {result.run}` lists all)")
    lines += [f"note: {note}" for note in result.notes]
    if result.suspects:
        chance = result.chance
        searched = "captions dealt out to other pictures" if of_pairs else "permuted predictions"
        lines.append(
            f"by chance alone one would expect {chance['expected_suspects']:.1f} such suspects "
            f"({chance['permutations']} runs on {searched})"
        )
        if of_pairs:
            lines.append("usual gap: how far the median pair scores above a picture with the caption of another one")
            lines.append("a suspect is a cue, not a verdict: what a word means is also seen in the pictures")
        else:
            lines.append("a suspect is a cue, not a verdict: an honest part of an object is used as well")
    return lines


def _whole(one: dict[str, Any]) -> str:
    """What a suspect's share is of."""
    if not wording.of_pairs(one):
        return "the class"
    return "those with the word" if one["cue"].get("word") and one["kind"] != "pair_word" else "all"
