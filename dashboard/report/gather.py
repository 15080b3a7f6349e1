"""Collects what a report says from the store and from the reviews."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashboard import reviews, words
from dashboard.data import Row, Run
from dashboard.evidence import shown, strip
from dashboard.evidence.compared import others_name
from dashboard.evidence.meanmap import mean_maps
from dashboard.evidence.strip import Group
from dashboard.evidence.subject import Subject
from dashboard.report import method, pictures, summary
from dashboard.report.chosen import chosen
from dashboard.report.content import Case, Chapter, Report, Strip
from dashboard.report.options import Options
from dashboard.report.places import Places
from dashboard.selection import Selection, clip, link
from dashboard.suspects.pictures import box_in
from storage import Entry, SampleQuery, StoreError, wording

Said = Callable[[float, str], None]
"""Told how much is done (0..1), and what is being done."""
PIECES = 60  # words of a text
OUTLINED = "Tested samples that show it most. The frame is the smallest around all of its cells."
NAME = 40  # characters of a class beside a case


def gather(run: Run, options: Options, said: Said = lambda done, what: None) -> Report:
    """Everything that the report of a run says. Raises ReportError or StoreError."""
    found = run.suspects()
    rows = chosen(found.rows, options)
    standing, problems = _standing(run)
    targets = run.targets()
    target = str(found.about.get("target") or "")
    target = target if target in targets else next(iter(targets), "")
    accuracy = _accuracy(run, target) if targets else (0, 0)
    progress, record = run.progress(), run.record
    chapters = []
    for place, row in enumerate(rows):
        name = clip(wording.title(row), 60)

        def part(done: int, of: int, place: int = place, name: str = name) -> None:
            said((place + done / max(of, 1)) / len(rows), name)

        chapters.append(_Chapters(run, options, part).chapter(row, standing.get(row["id"], [])))
    dataset = str(record.dataset.get("root") or record.spec.get("data") or "unknown")
    model = str(record.model.get("name") or record.spec.get("model") or "unknown")
    now, places = datetime.now(UTC), Places.of(run)
    return Report(
        title=options.title or f"What does the model rely on? {run.id}",
        run=run.id,
        made=now,
        facts=[
            ("Run", run.id),
            ("Model", places.plain(model)),
            ("Dataset", places.plain(dataset)),
            ("Explained on", _day(record.finished_at or record.created_at)),
            ("Report made", f"{now:%Y-%m-%d %H:%M} UTC"),
        ],
        summary=summary.sentences(
            model=PurePath(model).name or model,
            dataset=PurePath(dataset).name or dataset,
            noun=_noun(run),
            progress=progress,
            accuracy=accuracy,
            rows=found.rows,
            shown=rows,
            about=found.about,
            standing=standing,
        ),
        chapters=chapters,
        method=places.tables(
            [
                method.explained(record, found.about),
                method.coverage(progress, found.about, run.failure_counts(), record.state),
                method.versions(record),
            ]
        ),
        limits=method.limits(record, found.about, labelled=bool(accuracy[1])),
        commands=places.facts(method.commands(record, run.store, found.about, options)),
        about_classes=not run.has_pairs,
        of_texts=not run.has_pictures,
        problems=[places.plain(problem) for problem in (*problems, *(str(note) for note in record.notes))],
    )


def _standing(run: Run) -> tuple[summary.Standing, list[str]]:
    """The verdicts per suspect; a report without them where the reviews cannot be read, which it says."""
    try:
        return reviews.standing(run.store, run.id), []
    except StoreError as problem:
        return {}, [f"The team's verdicts could not be read: {problem}."]


def _accuracy(run: Run, target: str) -> tuple[int, int]:
    """(right, all) of the samples with a label."""
    modality = run.targets()[target][0]
    judged = [
        row
        for row in run.class_summary(SampleQuery(target=target, modality=modality))
        if row["accuracy"] is not None and row["label"] is not None
    ]
    return sum(int(row["correct"]) for row in judged), sum(int(row["n"]) for row in judged)


def _noun(run: Run) -> str:
    if run.has_pairs:
        return "pairs of a picture and a text"
    return "pictures" if run.has_pictures else "texts"


def _day(stamp: str) -> str:
    """The day of an ISO 8601 time."""
    try:
        return f"{datetime.fromisoformat(stamp):%Y-%m-%d}"
    except ValueError:
        return stamp


@dataclass(frozen=True)
class _Chapters:
    """Makes chapters of suspects."""

    run: Run
    options: Options
    said: pictures.Progress

    def chapter(self, row: Row, verdicts: Sequence[Entry]) -> Chapter:
        """One suspect with its cases."""
        subject = Subject.of(self.run, row)
        base = Selection(run=self.run.id, target=subject.target, modality=subject.modality)
        strips: list[Strip] = []
        notes, maps, others = "", None, ""
        if self.options.format != "csv":
            groups, boxed = subject.ask(strip.groups), self._boxed(subject)
            cases = self._cases(subject, [*boxed, *(i for group in groups for i in group.ids)])
            titles = ("Cue strong", "Cue weak or absent")
            strips = (
                [Strip("The cue, outlined", "", OUTLINED, [cases[i] for i in boxed if i in cases])] if boxed else []
            )
            strips += [self._strip(title, group, cases) for title, group in zip(titles, groups, strict=True)]
            notes = strip.notes(subject, groups[0])
        if self.options.format == "html":
            maps, others = subject.ask(mean_maps), others_name(subject)
        return Chapter(
            row=row,
            title=wording.title(row),
            headline=wording.headline(row),
            lines=wording.evidence_lines(row),
            strips=strips,
            notes=notes,
            verdicts=verdicts,
            link=self._link("evidence", base, suspect=subject.id),
            members_link=self._link("samples", base, members=subject.id),
            maps=maps,
            others=others,
        )

    def _boxed(self, subject: Subject) -> list[int]:
        """The samples with a box around the cue; the store knows it of some of those that were tested."""
        if not self.run.has_pictures:
            return []
        known = [int(i) for i in subject.cue.get("boxes") or {} if str(i).isdecimal()]
        return [i for i in known if box_in(subject.row, i) is not None][: strip.MOST]

    def _strip(self, title: str, group: Group, cases: dict[int, Case]) -> Strip:
        return Strip(title, group.line, wording.sentence(group.what), [cases[i] for i in group.ids if i in cases])

    def _cases(self, subject: Subject, ids: Sequence[int]) -> dict[int, Case]:
        """The samples by id, with their pictures or words."""
        rows = [{**row, "box": box_in(subject.row, row["sample_id"])} for row in subject.rows(ids)]
        unique = list({row["sample_id"]: row for row in rows}.values())
        maps = self._maps(subject, unique)
        painted: list[bytes | str] = [""] * len(unique)
        if self.options.format == "html" and self.run.has_pictures:
            painted = pictures.paint(self.run, unique, maps, self.said)
        else:
            self.said(1, 1)
        return {
            row["sample_id"]: self._case(subject, row, maps.get(row["sample_id"]), picture)
            for row, picture in zip(unique, painted, strict=True)
        }

    def _maps(self, subject: Subject, rows: Sequence[Row]) -> dict[int, NDArray[np.floating] | None]:
        """The relevancy of each sample; of its words where there are no pictures."""
        modality = "image" if self.run.has_pictures else "text"
        if modality not in self.run.targets().get(subject.target, []):
            return {}
        found = self.run.maps([(row["sample_id"], subject.target) for row in rows], modality)
        return {row["sample_id"]: found.get((row["sample_id"], subject.target)) for row in rows}

    def _case(self, subject: Subject, row: Row, relevancy: NDArray[np.floating] | None, picture: bytes | str) -> Case:
        view = Selection(
            run=self.run.id, target=subject.target, modality=subject.modality, sample=int(row["sample_id"])
        )
        text: tuple[words.Piece, ...] = ()
        if not self.run.has_pictures:
            told = [] if relevancy is None else words.shown(row, relevancy)
            text = tuple(told[:PIECES]) or (words.Piece(str(row.get("text") or ""), None, True),)
        return Case(
            sample=int(row["sample_id"]),
            name=shown.names({**row, "text": None} if subject.of_pairs else row, NAME),
            said=_verdict(row),
            right=row.get("correct"),
            caption=str(row.get("text") or "") if self.run.has_pictures and self.run.has_words else "",
            link=self._link("sample", view),
            picture=picture if isinstance(picture, bytes) else None,
            missing=picture if isinstance(picture, str) else "",
            text=text,
            boxed=row["box"] is not None,
        )

    def _link(self, page: str, view: Selection, **values: Any) -> str:
        if not self.options.link_base:
            return ""
        return link(f"{self.options.link_base.rstrip('/')}/{page}", replace(view, **values))


def _verdict(row: Row) -> str:
    """Right or wrong with the confidence, or the score."""
    if row.get("confidence") is None:
        return f"score {row['score']:.3g}" if row.get("score") is not None else ""
    if row.get("correct") is None:
        return f"{row['confidence']:.0%} sure"
    return f"{'right' if row['correct'] else 'wrong'}, {row['confidence']:.0%}"
