"""Compare what a page shows with what it has to show; here the gallery and the single sample."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tests.reliability.load.committed import Window
from tests.reliability.load.counts import overview, runs
from tests.reliability.load.reading import Seen
from tests.reliability.load.suspicions import evidence, suspects
from tests.reliability.load.truth import Question, Row, Truth
from tests.reliability.load.verdict import Verdict, not_begun

TOLERANCE = 1e-5  # of values between runs of the same job


def check(seen: Seen, truth: Truth, window: Window) -> Verdict:
    """Compare one page."""
    asked, verdict = Question.of(seen.address), Verdict()
    if asked.run == truth.finished:
        window = Window(truth.parts, truth.parts)
    CHECKS[asked.page](seen, asked, truth, window, verdict)
    return verdict


def names(row: Row) -> str:
    """What stands below a tile: the class, or label and prediction where they differ."""
    return row["label"] if row["label"] == row["predicted"] else f"{row['label']} → {row['predicted']}"


def told(row: Row, sort: str) -> str:
    """Right or wrong, how sure, and the value that is sorted by."""
    text = f"{'right' if row['correct'] else 'wrong'} {row['confidence']:.0%}"
    value = row[sort]
    if sort in ("sample_id", "confidence", "score") or not isinstance(value, int | float):
        return text
    return f"{text} · {value:.3g}"


def samples(seen: Seen, asked: Question, truth: Truth, window: Window, verdict: Verdict) -> None:
    """The tiles, one by one and as a page, how many match and how many there are."""
    shown = [int(Question.of(picture["address"]).sample or 0) for picture in seen.pictures]
    for number, picture in zip(shown, seen.pictures, strict=True):
        row = truth.rows.get(number)
        if row is None:
            verdict.wrong.append(f"sample {number} is shown, but it failed")
            continue
        verdict.rows += 1
        verdict.compare(f"sample {number}", picture["below"], [names(row), told(row, asked.sort)])
        verdict.compare(f"sample {number}, spoken", picture["said"], f"Sample {number}, {names(row)}")
    counts = seen.find(r"([\d,]+) of ([\d,]+)")
    if not counts:
        not_begun(seen, window, verdict)
        return
    matches, total = (int(text.replace(",", "")) for text in counts[0])
    pieces: dict[str, set[int]] = {"tiles": set(), "matches": set(), "total": set()}
    for moment in window.moments:
        ids = truth.matching(asked, moment)
        start = (min(asked.number, max(1, -(-len(ids) // asked.size))) - 1) * asked.size
        pieces["tiles"] |= {moment} if shown == ids[start : start + asked.size] else set()
        pieces["matches"] |= {moment} if matches == len(ids) else set()
        pieces["total"] |= {moment} if total == truth.explained(moment) else set()
    verdict.one_moment(pieces, window.moments)


def sample(seen: Seen, asked: Question, truth: Truth, window: Window, verdict: Verdict) -> None:
    """The facts of one sample, its map, and its place among those that match."""
    number = int(asked.sample or 0)
    row = truth.rows.get(number)
    there = {moment for moment in window.moments if row is not None and number < truth.read(moment)}
    verdict.compare("title", seen.title, f"Sample {number}")
    if not seen.find(r"score .*"):
        if not_begun(seen, window, verdict):
            return
        absent = set(window.moments) - there
        verdict.one_moment({f"sample {number} is said to be missing: {seen.alerts}": absent}, window.moments)
        return
    if row is None:
        verdict.wrong.append(f"sample {number} is shown, but it failed")
        return
    verdict.rows += 1
    verdict.compare("file, class, label, prediction, sure", seen.texts[:5], _facts(row))
    verdict.compare("score", seen.find(r"score (.*)"), [(f"{row['score']:.4g}",)])
    verdict.compare("map", _same_map(seen.maps, truth.maps[number]), True)
    pieces: dict[str, set[int]] = {"sample": there, "place": set()}
    places = [(place.replace(",", ""), total.replace(",", ""))
              for place, total in seen.find(r"([\d,]+) of ([\d,]+)(?:, filtered)?")]  # fmt: skip
    outside = [total.replace(",", "") for (total,) in seen.find(r"not among the ([\d,]+) samples .*")]
    for moment in window.moments:
        ids = truth.matching(asked, moment)
        if number in ids:
            right = places[:1] == [(str(ids.index(number) + 1), str(len(ids)))]
        else:
            right = outside[:1] == [str(len(ids))]
        pieces["place"] |= {moment} if right else set()
    verdict.one_moment(pieces, window.moments)


def _facts(row: Row) -> list[str]:
    sure = f"{row['confidence']:.1%}"
    return [row["uri"], f"Why {row['predicted']} (the prediction)", row["label"], row["predicted"], sure]


def _same_map(shown: list[list[list[float]]], wanted: Any) -> bool:
    """Whether the values under the pointer are the relevancy of this sample."""
    flat = [value for row in shown[0] for value in row] if shown else []
    scale = max(map(abs, wanted))
    return len(flat) == len(wanted) and all(
        math.isclose(one, other, rel_tol=1e-4, abs_tol=TOLERANCE * scale)
        for one, other in zip(flat, wanted, strict=True)
    )


CHECKS: dict[str, Callable[[Seen, Question, Truth, Window, Verdict], None]] = {
    "samples": samples,
    "sample": sample,
    "overview": overview,
    "runs": runs,
    "suspects": suspects,
    "evidence": evidence,
}
