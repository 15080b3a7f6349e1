"""Pages of numbers, which follow a run that is being written: Overview and Runs."""

from __future__ import annotations

from tests.reliability.load.committed import Window
from tests.reliability.load.reading import Seen
from tests.reliability.load.truth import Question, Truth
from tests.reliability.load.verdict import Verdict, not_begun


def overview(seen: Seen, asked: Question, truth: Truth, window: Window, verdict: Verdict) -> None:
    """The numbers of the run, the accuracy, the classes, and how many the charts are about."""
    if not seen.metrics or "Accuracy" not in seen.metrics:
        not_begun(seen, window, verdict)
        return
    number = {name: text.replace(",", "") for name, text in seen.metrics.items()}
    charts = {int(n) for (n,) in seen.find(r"Histogram over (\d+) samples: .*")}
    wrong = {int(n) for (n,) in seen.find(r"Confusion matrix of label against prediction; (\d+) wrong predictions")}
    classes = {line[0]: int(line[1]) for line in table(seen, "Class")[1:]}
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
    line = next((line for line in table(seen, "Run")[1:] if line[0] == asked.run), None)
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


def table(seen: Seen, first: str) -> list[list[str]]:
    """The lines of the table whose first column has this title; the title alone where it is not drawn."""
    return next((table for table in seen.tables if table and table[0][:1] == [first]), [[first]])
