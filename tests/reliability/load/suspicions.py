"""The pages Suspects and Evidence of the finished run."""

from __future__ import annotations

from tests.reliability.load.committed import Window
from tests.reliability.load.reading import Seen
from tests.reliability.load.truth import LISTED, Question, Row, Truth
from tests.reliability.load.verdict import Verdict


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
    for row in cards:
        verdict.compare(f"count of {row['rank']}", any(_count(row) in text for text in seen.markdown), True)
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
    verdict.compare("count", _count(row) in seen.texts, True)
    said = seen.find(rf"(?:\w+ )?({row['status']})")  # after the name of its icon
    verdict.compare("status", said[:1], [(row["status"],)])
    verdict.compare("place", seen.find(r"(\d+) of (\d+) suspects"), [(str(row["rank"]), str(len(truth.suspects)))])


def _count(row: Row) -> str:
    return f"{row['n']:,} samples, {row['share']:.0%} of those predicted as {row['class_name']}"
