"""Evaluation results as a page reads them: which tests there are, which way is better, what is best."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from storage.faithfulness import CASCADE, LOWER, SIMILARITY, better

Row = dict[str, Any]
BASELINES = ("random", "constant")
RANDOM = "random"


@dataclass(frozen=True)
class Tested:
    """One test under one protocol on one modality: a row per method."""

    protocol: str
    modality: str
    test: str
    rows: tuple[Row, ...]

    @property
    def name(self) -> str:
        """As people read it, after a heading that names protocol and modality."""
        return self.test.removeprefix("perturbation ")

    @property
    def place(self) -> str:
        """Protocol and modality."""
        return f"{self.protocol}, {self.modality}" if self.protocol else self.modality

    @property
    def context(self) -> str:
        """What to say beside the test's name: its protocol, unless the name has it, and the modality."""
        return self.modality if self.test.split()[0] == self.protocol else self.place

    @property
    def drawn(self) -> bool:
        """Whether there are curves."""
        return any(row["curve"]["steps"] for row in self.rows)

    @property
    def best(self) -> Row | None:
        """The best method's row; None with fewer than two methods, or where nothing is better."""
        known = [row for row in self.rows if is_number(row["auc"])]
        way = better(self.test)
        if way is None or len(known) < 2:
            return None
        return (min if way == LOWER else max)(known, key=lambda row: row["auc"])


def is_number(value: float | None) -> bool:
    """Not None, not NaN."""
    return value is not None and not math.isnan(value)


def tests(rows: Sequence[Row]) -> list[Tested]:
    """The tests in the order in which they were stored, without sanity checks."""
    together: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        if row["test"] != CASCADE and not row["test"].startswith(SIMILARITY):
            key = (row.get("protocol") or "", row["modality"], row["test"])
            together.setdefault(key, []).append(row)
    return [Tested(*key, tuple(some)) for key, some in together.items()]


def tables(found: Sequence[Tested]) -> dict[str, list[Tested]]:
    """The tests that share a table: those of one protocol and modality."""
    places: dict[str, list[Tested]] = {}
    for one in found:
        places.setdefault(one.place, []).append(one)
    return places


def methods(rows: Sequence[Row], own: str) -> list[str]:
    """All methods: the run's own first, random orders last."""
    names = dict.fromkeys(row["method"] for row in rows)
    return sorted(names, key=lambda name: (name != own, name in BASELINES))


def shown(row: Row, scale: Sequence[Row]) -> str:
    """`0.412 (0.39 to 0.44)`; numbers of a column that reach beyond 2 are percent, with fewer digits."""
    if not is_number(row["auc"]):
        return "not measured"
    large = max((abs(other["auc"]) for other in scale if is_number(other["auc"])), default=0) > 2
    digits = 2 if large else 3
    low, high = row.get("auc_low"), row.get("auc_high")
    if not is_number(low) or not is_number(high):
        return f"{row['auc']:.{digits}f}"
    return f"{row['auc']:.{digits}f} ({low:.{digits - 1}f} to {high:.{digits - 1}f})"


def listed(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def overlap(one: Row, other: Row) -> bool:
    """Whether both intervals are known and share a value."""
    ends = [row.get(name) for row in (one, other) for name in ("auc_low", "auc_high")]
    if not all(is_number(end) for end in ends):
        return False
    low, high, other_low, other_high = (float(end) for end in ends if end is not None)
    return low <= other_high and other_low <= high


def against(found: Sequence[Tested], own: str) -> list[str]:
    """A sentence per test in which the run's own method is not the best."""
    told = []
    for one in found:
        mine, best = next((row for row in one.rows if row["method"] == own), None), one.best
        if mine is None or best is None or best["method"] == own or not is_number(mine["auc"]):
            continue
        if mine["auc"] == best["auc"]:
            continue
        sure = "; their intervals overlap" if overlap(mine, best) else ""
        told.append(
            f"{one.name}, {one.context}: {best['method']} is best with {shown(best, one.rows)}, "
            f"{own} has {shown(mine, one.rows)}{sure}."
        )
    return told


def headline(found: Sequence[Tested], own: str) -> str:
    """In how many tests the run's own method is the best; empty where that cannot be said."""
    judged = [one for one in found if one.best and any(row["method"] == own for row in one.rows)]
    if not judged:
        return ""
    told = against(judged, own)
    lost, unsure = len(told), sum("intervals overlap" in line for line in told)
    close = f" In {unsure if unsure < lost else 'all'} of these the intervals overlap." if unsure and lost > 1 else ""
    count = f"{len(judged)} tests" if len(judged) > 1 else "the one test"
    if not lost:
        return f"{own}, this run's method, is the best in {count} with other methods."
    if lost == len(judged):
        return f"{own}, this run's method, is not the best in {count} with other methods.{close}"
    return f"{own}, this run's method, is the best in {len(judged) - lost} of {count}, and not in {lost}.{close}"


def left_out(rows: Sequence[Row]) -> list[Row]:
    """{reason, samples, methods, tests}: what was skipped, the same counts of several rows on one line."""
    lines: dict[tuple[str, int, str], Row] = {}
    for row in rows:
        for reason, count in (row.get("skipped") or {}).items():
            key = (reason, int(count), row["modality"])
            line = lines.setdefault(key, {"reason": reason, "samples": int(count), "methods": {}, "tests": {}})
            line["methods"][row["method"]] = None
            line["tests"][f"{row['test']}, {row['modality']}"] = None
    return [
        {**line, "methods": ", ".join(line["methods"]), "tests": "; ".join(line["tests"])}
        for line in sorted(lines.values(), key=lambda line: -line["samples"])
    ]


def cascades(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The cascades of random weights, by modality."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row["test"] == CASCADE and row["curve"]["steps"]:
            found.setdefault(row["modality"], []).append(row)
    return found


def alike(rows: Sequence[Row]) -> dict[str, dict[tuple[str, str], Row]]:
    """The similarity of the maps of two methods, by modality, in both orders."""
    found: dict[str, dict[tuple[str, str], Row]] = {}
    for row in rows:
        if row["test"].startswith(SIMILARITY) and is_number(row["auc"]):
            other = row["test"].removeprefix(SIMILARITY)
            pairs = found.setdefault(row["modality"], {})
            pairs[row["method"], other] = pairs[other, row["method"]] = row
    return found


def unreactive(rows: Sequence[Row], name: str | None = None) -> Iterator[Row]:
    """The cascades (of one method) that say: the maps do not react to the weights."""
    for row in rows:
        says = (row.get("details") or {}).get("reacts")
        if row["test"] == CASCADE and name in (None, row["method"]) and says is False:
            yield row


def warning(rows: Sequence[Row]) -> str:
    """What a cascade without reaction means, in a sentence or two."""
    names = listed(list(dict.fromkeys(row["method"] for row in rows)))
    what = listed(list(dict.fromkeys(row["modality"] for row in rows)))
    numbers = listed([shown(row, [row]) for row in rows])
    return (
        f"The {what} maps of {names} do not react to the model's weights: once all weights are random, their rank "
        f"correlation with the first maps is still {numbers}. What the model has learned cannot be read from them."
    )
