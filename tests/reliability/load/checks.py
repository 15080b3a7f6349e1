"""Compare what a page shows with what it has to show."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tests.reliability.load.committed import Window
from tests.reliability.load.reading import Seen
from tests.reliability.load.truth import LISTED, Question, Row, Truth

TOLERANCE = 1e-5  # of values between runs of the same job


@dataclass
class Verdict:
    """What was found on one page: how much was compared, and what is wrong.

    `wrong` are rows, values and numbers that no moment of the window explains, `mixed` are pages whose pieces are each
    right, but of different moments.
    """

    rows: int = 0
    values: int = 0
    wrong: list[str] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)

    def compare(self, name: str, shown: Any, wanted: Any) -> None:
        """Count a value, and say when it is another one."""
        self.values += 1
        if shown != wanted:
            self.wrong.append(f"{name}: shown {shown!r}, expected {wanted!r}")

    def one_moment(self, told: dict[str, set[int]], moments: range) -> None:
        """Every piece is right at some moment of the window, and all of them at the same one.

        `told` names for each piece of the page the moments at which it is right.
        """
        self.values += len(told)
        for name, right in told.items():
            if not right:
                self.wrong.append(f"{name}: right at no moment from {moments.start} to {moments.stop - 1} parts")
        if told and all(told.values()) and not set.intersection(*told.values()):
            self.mixed.append("; ".join(f"{name} is of {sorted(right)} parts" for name, right in told.items()))


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
        _not_begun(seen, window, verdict)
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
        if _not_begun(seen, window, verdict):
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


def overview(seen: Seen, asked: Question, truth: Truth, window: Window, verdict: Verdict) -> None:
    """The numbers of the run, the accuracy, the classes, and how many the charts are about."""
    if not seen.metrics or "Accuracy" not in seen.metrics:
        _not_begun(seen, window, verdict)
        return
    number = {name: text.replace(",", "") for name, text in seen.metrics.items()}
    charts = {int(n) for (n,) in seen.find(r"Histogram over (\d+) samples: .*")}
    wrong = {int(n) for (n,) in seen.find(r"Confusion matrix of label against prediction; (\d+) wrong predictions")}
    classes = {line[0]: int(line[1]) for line in _table(seen, "Class")[1:]}
    names_ = ("progress", "accuracy", "charts", "confusion", *(["classes"] if classes else []))
    pieces: dict[str, set[int]] = {name: set() for name in names_}
    for moment in window.moments:
        ids = truth.matching(asked, moment)
        right = sum(bool(truth.rows[i]["correct"]) for i in ids)
        explained, read = truth.explained(moment), truth.read(moment)
        progress = [str(explained), str(read - explained)]
        said = f"{right / len(ids):.1%}" if ids else "none match" if asked.filters or asked.members else "no labels"
        labels = [truth.rows[i]["label"] for i in ids]
        for name, same in (
            ("progress", [number["Explained"], number["Failed"]] == progress),
            ("accuracy", number["Accuracy"] == said),
            ("charts", charts == ({len(ids)} if ids else set())),
            ("confusion", wrong == ({len(ids) - right} if ids else set())),
            ("classes", classes == {label: labels.count(label) for label in set(labels)}),
        ):
            if name in pieces:
                pieces[name] |= {moment} if same else set()
    verdict.rows += len(classes)
    verdict.one_moment(pieces, window.moments)


def runs(seen: Seen, asked: Question, truth: Truth, window: Window, verdict: Verdict) -> None:
    """Counts of the selected run, and its line among all runs."""
    counts = [int(seen.metrics[name].replace(",", "")) for name in ("Explained", "Failed")]
    line = next((line for line in _table(seen, "Run")[1:] if line[0] == asked.run), None)
    pieces: dict[str, set[int]] = {"numbers": set(), "spoken": set()}
    listed: dict[str, set[int]] = {"line": set()} if line else {}  # of all runs, read by itself
    spoken = seen.find(r"(\d+) of \d+ samples explained, (\d+) failed")[:1]
    for moment in window.moments:
        explained = truth.explained(moment)
        wanted = [explained, truth.read(moment) - explained]
        pieces["numbers"] |= {moment} if counts == wanted else set()
        pieces["spoken"] |= {moment} if [list(map(int, pair)) for pair in spoken] == [wanted] else set()
        if line:
            listed["line"] |= {moment} if [int(float(text)) for text in line[3:5]] == wanted else set()
    verdict.rows += bool(line)
    verdict.one_moment(pieces, window.moments)
    verdict.one_moment(listed, window.moments)


def suspects(seen: Seen, asked: Question, truth: Truth, window: Window, verdict: Verdict) -> None:
    """The cards in order: rank, class, count and share, and that every picture is of a member."""
    listed = truth.suspects if asked.run == truth.finished else []
    if not listed:
        verdict.compare("pictures of a run without suspects", len(seen.pictures), 0)
        return
    place = next((i for i, row in enumerate(listed) if row["id"] == asked.suspect), 0)
    first = place // LISTED * LISTED
    cards = listed[first : first + LISTED]
    titles = seen.find(r"(\d+)\. (.+?): .+")
    verdict.rows += len(titles)
    verdict.compare("cards", titles, [(str(row["rank"]), row["class_name"]) for row in cards])
    lines = [
        line for text in seen.markdown for line in [text] if " samples, " in line and "of those predicted as" in line
    ]
    wanted = [f"{row['n']:,} samples, {row['share']:.0%} of those predicted as {row['class_name']}" for row in cards]
    verdict.compare("counts", [any(want in line for line in lines) for want in wanted], [True] * len(wanted))
    members = {row["rank"]: set(row["sample_ids"]) for row in cards}
    for picture in seen.pictures:
        number, _, rank = picture["said"].removeprefix("Sample ").partition(" of suspect ")
        rank = rank.partition(",")[0]
        verdict.compare(f"picture {picture['said']!r} is of a member", int(number) in members.get(int(rank), ()), True)


def evidence(seen: Seen, asked: Question, truth: Truth, window: Window, verdict: Verdict) -> None:
    """Which suspect, how many samples it has, and that the listed ones are its own."""
    row = next((row for row in truth.suspects if row["id"] == asked.suspect), None)
    if asked.run != truth.finished or row is None:
        verdict.compare("title without suspects", seen.title, "Evidence")
        return
    verdict.rows += 1
    verdict.compare("class", seen.title.partition(": ")[0], row["class_name"])
    count = f"{row['n']:,} samples, {row['share']:.0%} of those predicted as {row['class_name']}"
    verdict.compare("count", count in seen.texts, True)
    said = seen.find(rf"(?:\w+ )?({row['status']})")  # after the name of its icon
    verdict.compare("status", said[:1], [(row["status"],)])
    verdict.compare("place", seen.find(r"(\d+) of (\d+) suspects"), [(str(row["rank"]), str(len(truth.suspects)))])


def _table(seen: Seen, first: str) -> list[list[str]]:
    """The lines of the table whose first column has this title; the title alone where it is not drawn."""
    return next((table for table in seen.tables if table and table[0][:1] == [first]), [[first]])


def _not_begun(seen: Seen, window: Window, verdict: Verdict) -> bool:
    """Whether the page says that no sample is explained yet, or that none matches; right only at such a moment."""
    said = " ".join(seen.alerts)
    if "has just begun" in said:
        verdict.compare("a run that has just begun", window.first, 0)
        return True
    return False


CHECKS: dict[str, Callable[[Seen, Question, Truth, Window, Verdict], None]] = {
    "samples": samples,
    "sample": sample,
    "overview": overview,
    "runs": runs,
    "suspects": suspects,
    "evidence": evidence,
}


def page_of(address: str) -> str:
    """The page at an address."""
    return urlsplit(address).path.strip("/")
