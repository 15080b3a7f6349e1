"""The numbers of the page of CLIP scores in words. Pure functions; nothing in them comes from captions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dashboard.scores.charts import KINDS
from dashboard.scores.shuffled import Shuffled


def headline(numbers: Mapping[str, Any], shuffled: Shuffled | None) -> list[str]:
    """What the scores of some pairs say, one sentence each; `numbers` as `storage.queries.score_numbers`."""
    n = int(numbers["n"])
    if not n or numbers["median"] is None:
        return ["No pair is left."]
    told = [f"The median pair scores {numbers['median']:.3g}, the lowest {numbers['low']:.3g}, "
            f"the highest {numbers['high']:.3g}."]  # fmt: skip
    if numbers["known"] and shuffled is not None:
        told[0] = (
            f"The median pair scores {numbers['median']:.3g}, higher than {percent(numbers['percentile'])} of "
            f"shuffled pairs."
        )
        below = int(numbers["below_half"])
        told.append(
            f"{_pairs(below, n, 'beat')} less than half of the shuffled pairs."
            if below
            else "Every pair beats at least half of the shuffled pairs."
        )
    if numbers["zero"]:
        told.append(f"{_pairs(int(numbers['zero']), n, 'score')} 0: no map can be taken from a score that is cut off.")
    return told


def percent(value: float) -> str:
    """A percentile with as many digits as tell: 97 %, 99.7 %, 100 %."""
    shown = f"{value:.0f}" if value <= 99 or value >= 100 else f"{min(value, 99.99):.2f}".rstrip("0").rstrip(".")
    return f"{shown} %"


def fall(row: Mapping[str, Any]) -> str:
    """What one check says of all pairs; `row` as `storage.queries.falls`."""
    removed, random = float(row["removed"][2]), float(row["random"][2])
    what = {"drop_mean": "Without the most relevant fifth of the patches (mean colour)",
            "drop_blur": "With the most relevant fifth of the patches blurred",
            "drop_word": "Without the most relevant word"}[str(row["kind"])]  # fmt: skip
    return (
        f"{what} the median pair falls by {removed:.3g}, at random by {random:.3g}; "
        f"{float(row['further']):.0%} of {int(row['n']):,} pairs fall further than at random."
    )


def falls_alt(rows: Sequence[Mapping[str, Any]]) -> str:
    """The chart of all falls, for those who do not see it."""
    told = (f"{KINDS[str(r['kind'])]}: {r['removed'][2]:.3g}, at random {r['random'][2]:.3g}" for r in rows)
    return f"Median fall of the score. {'; '.join(told)}"


def _pairs(n: int, of: int, verb: str) -> str:
    return f"{n:,} of {of:,} pairs {verb}{'s' if n == 1 else ''}"
