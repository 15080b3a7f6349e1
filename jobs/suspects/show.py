"""Suspects in the terminal: a progress bar, and a list that a person can read."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobs.suspects.command import SuspectsResult

MOST_VIEWS = 4
EVERY = 10.0  # seconds between lines in a log
SENTENCES = {
    "replacement": "the caption that fits the picture best raises the score by {mean:.2f} of the usual gap; a random "
    "one by {control_mean:.2f}",
    "removal": "removing it {removes} the score by {mean:.2f} of the usual gap; removing as much elsewhere by "
    "{control_mean:.2f}",
    "transplant": "pasting it into other pictures {adds} the score by {mean:.2f}; pasting as much of the rest by "
    "{control_mean:.2f}",
}
"""What interventions on pairs did, by the name of the effect."""
OTHER_SENTENCES = {
    "pair_word": {
        "removal": "taking it out {removes} the score by {mean:.2f} of the usual gap; taking out another word by "
        "{control_mean:.2f}",
        "transplant": "adding it to other captions {adds} the score by {mean:.2f}; adding another word by "
        "{control_mean:.2f}",
    },
    "pair_property": {
        "removal": "making its pictures like others {removes} the score by {mean:.2f} of the usual gap; the opposite "
        "change by {control_mean:.2f}",
        "transplant": "making other pictures like its own {adds} the score by {mean:.2f}; the opposite change by "
        "{control_mean:.2f}",
    },
}
"""The same for kinds whose cue is no part of a picture."""


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
    of_pairs = any(one["kind"].startswith("pair_") for one in result.suspects)
    for one in result.suspects[:most]:
        flag = "PROBABLY SPURIOUS, " if one["flagged"] else ""
        number = f"{one['n']} {'pairs' if of_pairs else 'photos'}, {one['share']:.0%} of {_whole(one)}"
        lines += [
            f"{one['rank']:>3}. {one['class_name']}: {one['name']} ({one['kind']}, {number}), {flag}{one['status']}",
            *(f"     {line}" for line in (pair_lines(one) if of_pairs else evidence_lines(one))),
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
    if not one["kind"].startswith("pair_"):
        return "the class"
    return "those with the word" if one["cue"].get("word") and one["kind"] != "pair_word" else "all"


def pair_lines(one: dict[str, Any]) -> list[str]:
    """What the evidence of a suspect of pairs says, in words. Changes are parts of the usual gap: how far the median
    pair scores above a shuffled one."""
    evidence, effects = one["evidence"], one["evidence"].get("effects") or {}
    lines = [f"mean score {evidence['mean_score']:.3f}, of all pairs {evidence['usual_score']:.3f}"]
    if evidence.get("words"):
        said = ", ".join(f"{word} ({share:.0%} against {other:.0%})" for word, share, other in evidence["words"])
        lines.append(f"captions say: {said}")
    verbs = ("raises", "lowers") if one["class_name"] == "low scores" else ("lowers", "raises")
    sentences = {**SENTENCES, **OTHER_SENTENCES.get(one["kind"], {})}
    for name, sentence in sentences.items():
        if name in effects:
            lines.append(sentence.format(removes=verbs[0], adds=verbs[1], **effects[name]))
    if evidence.get("untested_because"):
        lines.append(f"not tested: {evidence['untested_because']}")
    if evidence.get("seen_as"):
        lines.append(f"the same pairs: {', '.join(evidence['seen_as'][:MOST_VIEWS])}")
    return lines


def evidence_lines(one: dict[str, Any]) -> list[str]:
    """What the evidence says, in words."""
    evidence, lines = one["evidence"], []
    if evidence.get("concept_words"):
        lines.append(f"looks like: {', '.join(word for word, _ in evidence['concept_words'])}")
    if evidence.get("words"):
        said = ", ".join(f"{word} ({share:.0%} against {other:.0%})" for word, share, other in evidence["words"])
        lines.append(f"{'texts' if one['kind'] == 'word' else 'captions'} say: {said}")
    effects = evidence.get("effects") or {}
    if "removal" in effects:
        lines.append(_effect(effects["removal"], "removing it lowers p by", "changes", "as much elsewhere"))
    if "transplant" in effects:
        lines.append(_effect(effects["transplant"], "pasting it elsewhere raises p by", "turns", "as much of the rest"))
    if evidence.get("untested_because"):
        lines.append(f"not tested: {evidence['untested_because']}")
    if evidence.get("seen_as"):
        lines.append(f"the same photos: {', '.join(evidence['seen_as'][:MOST_VIEWS])}")
    called = (evidence.get("consequence") or {}).get("called") or {}
    if called.get("n"):
        lines.append(f"seen in {called['n']} photos of other classes, {called['k']} of them called {one['class_name']}")
    return lines


def _effect(effect: dict[str, Any], did: str, turns: str, control: str) -> str:
    return (
        f"{did} {effect['mean']:.2f} and {turns} {effect['flips']:.0%} of the answers; {control}: "
        f"{effect['control_mean']:.2f} and {effect['control_flips']:.0%}"
    )
