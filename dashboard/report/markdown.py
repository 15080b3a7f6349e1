"""A report as Markdown: the same content without pictures. Texts of the data show as text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from dashboard.report import effects
from dashboard.report.content import Chapter, Report, Strip
from dashboard.report.text import LONG, MEDIUM, SHORT, clean, cut
from storage import Entry, wording

RIGHT_TO_LEFT = frozenset(("R", "AL", "AN", "RLE", "RLO", "RLI", "LRO", "LRE", "PDF", "PDI", "FSI", "LRI"))

_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~&$^!])")
_LEADING = re.compile(r"^(\d*)([-+=.)])")
_SEQUENCES = re.compile(r"(:(?=\S)|@|(?i:www)(?=\.)|(?i:http)(?=s?:))")


def markdown(report: Report) -> str:
    """The whole file."""
    parts = [
        f"# {told(report.title, SHORT * 2)}",
        _facts(report.facts),
        "## Summary",
        _list([told(line, LONG) for line in (*report.summary, *report.problems)]),
        *([_table(report.chapters)] if report.chapters else []),
        *_tests(report),
        *(["## Suspect by suspect"] if report.chapters else []),
        *(_chapter(one) for one in report.chapters),
        "## How this was made",
        *(f"### {table.title}\n\n{_facts(table.facts)}" for table in report.method),
        "## What this report cannot show",
        _list([told(line, LONG) for line in report.limits]),
        "## How to repeat it",
        *(f"{told(what)}:\n\n{code(command)}" for what, command in report.commands),
        f"Made by Relevancy Audit on {report.made:%Y-%m-%d at %H:%M} UTC.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def told(text: object, most: int = MEDIUM) -> str:
    """Text that Markdown shows as it is; what is written from right to left is isolated, what is long is cut."""
    short, note = cut(text, most)
    shown = _escaped(short)
    if any(unicodedata.bidirectional(c) in RIGHT_TO_LEFT for c in short):
        shown = f"\u2068{shown}\u2069"
    return f"{shown} \\[{note}\\]" if note else shown


def _escaped(text: str) -> str:
    """One line without markup, links, emoji or HTML; a word joiner (no glyph) breaks what a backslash would not."""
    joined = _SEQUENCES.sub("\\1\u2060", text)
    return _LEADING.sub(r"\1\\\2", _MARKUP.sub(r"\\\1", joined))


def code(text: str) -> str:
    """An indented block: nothing in it is markup, and nothing can end it but the end of the line."""
    return f"    {' '.join(clean(text).split())}"


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _facts(facts: Sequence[tuple[str, str]]) -> str:
    return _list([f"{told(name)}: {told(value, LONG)}" for name, value in facts])


def _table(chapters: Sequence[Chapter]) -> str:
    rows = [
        f"| {one.row['rank']} | {told(one.title, SHORT)} | {told(one.row['status'])} | "
        f"{'yes' if one.row['flagged'] else 'no'} | {one.team or '–'} |"
        for one in chapters
    ]
    return "\n".join(["| Rank | Cue | Status | Probably spurious | Team |", "|---|---|---|---|---|", *rows])


def _tests(report: Report) -> list[str]:
    panels = effects.panels(report)
    found = ["## Does the model use these cues?"] if panels else []
    for panel in panels:
        head = f"| Suspect | {panel.names[0]} | {panel.names[1]} |"
        rows = [
            f"| {mark.chapter.row['rank']} {told(mark.chapter.title, 60)} | {effects.spoken(mark.cue)} | "
            f"{effects.spoken(mark.control)} |"
            for mark in panel.marks
        ]
        lines = [head, "|---|---|---|", *rows]
        found += [f"### {panel.title}", f"{panel.unit.capitalize()}, with 95 % intervals.", "\n".join(lines)]
    return found


def _chapter(one: Chapter) -> str:
    status = wording.status_line(one.row)
    lines = [status, wording.count_line(one.row), *(line for line in one.lines if line != one.headline)]
    parts = [
        f"### {one.row['rank']} {told(one.title, SHORT * 2)}",
        told(wording.sentence(one.headline), LONG),
        _list([told(wording.sentence(line), LONG) for line in lines]),
        *([f"[Open the evidence](<{one.link}>)"] if one.link else []),
        *(_strip(strip) for strip in one.strips),
        told(one.notes, LONG),
        _verdicts(one.verdicts),
    ]
    return "\n\n".join(part for part in parts if part)


def _strip(strip: Strip) -> str:
    cases = []
    for case in strip.cases:
        text = case.caption or "".join(f"{'' if p.glued else ' '}{p.text}" for p in case.text)
        name = f"Sample {case.sample}"
        linked = f"[{name}](<{case.link}>)" if case.link else name
        more = f": {told(text)}" if text else ""
        cases.append(f"{linked}, {told(case.name, SHORT)}, {told(case.said)}{more}")
    head = f"**{strip.title}**: {told(strip.result)}. {told(strip.what)}"
    return f"{head}\n\n{_list(cases)}" if cases else head


def _verdicts(entries: Sequence[Entry]) -> str:
    if not entries:
        return "Nobody has judged this suspect yet."
    said = []
    for entry in entries:
        note = f": {told(entry.note, LONG)}" if entry.note else ""
        said.append(f"{entry.verdict}, {told(entry.reviewer, SHORT)}, {entry.at:%Y-%m-%d %H:%M} UTC{note}")
    return f"Verdicts:\n\n{_list(said)}"
