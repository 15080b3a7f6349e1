"""The first sentences of a report, for who reads nothing else. Pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from dashboard.data import Row
from storage import VERDICTS, Entry, Progress, team_verdict, wording

NAMED = 3  # suspects that a sentence names
LONGEST = 90  # characters of a name within a sentence
Standing = Mapping[str, Sequence[Entry]]


def sentences(
    *,
    model: str,
    dataset: str,
    noun: str,
    progress: Progress,
    accuracy: tuple[int, int],
    rows: Sequence[Row],
    shown: Sequence[Row],
    about: Mapping[str, Any],
    standing: Standing,
) -> list[str]:
    """What was looked at, what was found and proven, who is hit hardest, what the team says, what chance would give.

    Args:
        noun: what the samples are: "pictures".
        accuracy: (right, all) of the samples with a label; (0, 0) without labels.
        rows: all suspects of the run.
        shown: those that the report holds.
        about: how the list of suspects was made.
        standing: the verdicts of each suspect.
    """
    said = [_looked_at(model, dataset, noun, progress, accuracy)]
    if not about:
        return [*said, "Nobody has looked for suspects in this run yet."]
    said.append(_found(rows, shown))
    if not rows:
        return [*said, wording.sentence(wording.chance_line(about))]
    said += [line for line in (_spurious(rows), _hardest(rows)) if line]
    return [*said, _team(rows, standing), wording.sentence(wording.chance_line(about))]


def _looked_at(model: str, dataset: str, noun: str, progress: Progress, accuracy: tuple[int, int]) -> str:
    total = int(progress.samples or progress.explained + progress.failed)
    many = (
        f"{progress.explained:,} {noun}"
        if progress.explained == total
        else f"{progress.explained:,} of {total:,} {noun}"
    )
    right, known = accuracy
    if not known:
        return f"The model {_short(model)} was audited on {many} of the dataset {_short(dataset)}."
    these = "these" if known == progress.explained else f"the {known:,} that have a label"
    return (
        f"The model {_short(model)} was audited on {many} of the dataset {_short(dataset)}; of {these} it gets "
        f"{right / known:.0%} right."
    )


def _found(rows: Sequence[Row], shown: Sequence[Row]) -> str:
    """How many cues there are, and how many were tested with which result."""
    if not rows:
        return "The search found no cue that goes with the answers more than chance would explain."
    n, status = len(rows), Counter(row["status"] for row in rows)
    proven = status["verified"]
    cues = f"{n} cues" if n > 1 else "one cue"
    which = "for none of them" if not proven else f"for {proven} of them" if n > 1 else "for it"
    said = f"The search found {cues} that the answers go with; {which} a test proved that the model uses the cue"
    rest = [
        f"{status[name]} {words}"
        for name, words in (("refuted", "refuted"), ("unverified", "undecided or untested"))
        if status[name]
    ]
    said += f" ({', '.join(rest)})." if rest else "."
    return said if len(shown) == n else f"{said} This report shows {len(shown) or 'none'} of them."


def _spurious(rows: Sequence[Row]) -> str:
    flagged = [row for row in rows if row["flagged"]]
    if not flagged:
        return "None of them looks spurious to the program, whose call is cautious: people decide."
    names = "; ".join(_short(wording.title(row)) for row in flagged[:NAMED])
    more = f"; and {len(flagged) - NAMED} more" if len(flagged) > NAMED else ""
    verb = "is" if len(flagged) == 1 else "are"
    return f"{len(flagged)} {verb} probably spurious, which is for people to decide: {names}{more}."


def gap(row: Row) -> float | None:
    """How much better a class does with the cue than without it; None without labels."""
    told = row["evidence"].get("consequence") or {}
    inside, outside = told.get("accuracy_with") or {}, told.get("accuracy_without") or {}
    if not inside.get("n") or not outside.get("n"):
        return None
    return float(inside["k"] / inside["n"] - outside["k"] / outside["n"])


def _hardest(rows: Sequence[Row]) -> str:
    """The class that does worst without its cue, among the flagged suspects, else among the proven ones."""
    for some in ([r for r in rows if r["flagged"]], [r for r in rows if r["status"] == "verified"]):
        known = [(row, value) for row in some if (value := gap(row)) is not None and value > 0]
        if known:
            row = max(known, key=lambda item: item[1])[0]
            name, line = (
                _short(str(row["class_name"])),
                wording.accuracy_line({**row, "class_name": _short(str(row["class_name"]))}),
            )
            return f"Hit hardest is the class {name} ({_short(wording.name(row))}): {line}."
        if some:
            row = some[0]
            return f"The strongest is {_short(wording.title(row))}: {_short(wording.headline(row), 240)}."
    return ""


def _team(rows: Sequence[Row], standing: Standing) -> str:
    given = Counter(verdict for row in rows if (verdict := team_verdict(standing.get(row["id"], ()))))
    if not given:
        return "Nobody in the team has given a verdict yet."
    parts = [f"{given[verdict]} {verdict}" for verdict in VERDICTS if given[verdict]]
    parts += [f"{given['split']} split"] if given["split"] else []
    return f"The team has judged {given.total()} of {len(rows)}: {', '.join(parts)}."


def _short(text: str, most: int = LONGEST) -> str:
    """A name on one line, cut to a length that a sentence can hold."""
    flat = " ".join(text.split())
    return flat if len(flat) <= most else f"{flat[: most - 1].rstrip()}…"
