"""A report as one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from html import escape
from pathlib import Path

from dashboard.report import cases, effects, interactive
from dashboard.report.content import Chapter, Report, Table
from dashboard.report.pictures import Level
from dashboard.report.text import LONG, SHORT, attribute, cut, said
from storage import wording

STYLE = Path(__file__).resolve().parent / "style.css"
KEY = '<svg class="key" width="12" height="12" aria-hidden="true"><g class="{}">{}</g></svg>'
DOT = KEY.format("cue", '<circle cx="6" cy="6" r="5"/>')
DIAMOND = KEY.format("control", '<path d="M6 1L11 6L6 11L1 6Z"/>')


def html(report: Report, level: Level) -> str:
    """The whole file."""
    panels = effects.panels(report)
    live = level.interactive and bool(panels)
    body = "".join(
        (
            '<a class="skip" href="#summary">To the summary</a>',
            _head(report),
            "<main>\n",
            _summary(report),
            _tests(panels, live=live),
            _suspects(report, level),
            _method(report, level),
            "</main>\n",
            _foot(report),
            _scripts(panels) if live else "",
        )
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(live=live)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>{escape(cut(report.title, SHORT)[0])}</title>\n<style>\n{_style()}</style>\n</head>\n"
        f"<body>\n{body}</body>\n</html>\n"
    )


@cache
def _style() -> str:
    return STYLE.read_text("utf-8")


def _policy(*, live: bool) -> str:
    """Nothing is fetched; scripts run only if they are exactly those of this program.

    Styles may be inline, for the tints of words; without anything that may be fetched they can tell nobody anything.
    """
    scripts = f"; script-src {interactive.hashes()}" if live else ""
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'{scripts}; base-uri 'none'; form-action 'none'"


def _facts(facts: Sequence[tuple[str, str]]) -> str:
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{said(value, LONG)}</dd>" for name, value in facts)
    return f'<dl class="facts">{rows}</dl>' if rows else ""


def _head(report: Report) -> str:
    return f"<header>\n<h1>{said(report.title, SHORT * 2)}</h1>\n{_facts(report.facts)}\n</header>\n"


def _summary(report: Report) -> str:
    lines = "".join(f"<li>{said(line, LONG)}</li>" for line in report.summary)
    problems = "".join(f'<p class="quiet">Note: {said(line, LONG)}</p>' for line in report.problems)
    return (
        f'<section id="summary"><h2>Summary</h2>\n<div class="summary"><ul>{lines}</ul></div>{problems}{_list(report)}'
        "</section>\n"
    )


def _tests(panels: Sequence[effects.Panel], *, live: bool) -> str:
    charts = "".join(_chart(panel, live=live) for panel in panels)
    return f"<section><h2>Does the model use these cues?</h2>\n{charts}</section>\n" if charts else ""


def _list(report: Report) -> str:
    if not report.chapters:
        return ""
    rows = "".join(_list_row(chapter) for chapter in report.chapters)
    return (
        '<h3>The suspects</h3><table><thead><tr><th scope="col">Cue</th><th scope="col">Status</th>'
        f'<th scope="col">Team</th></tr></thead><tbody>{rows}</tbody></table>'
    )


def _list_row(chapter: Chapter) -> str:
    flag = ' <span class="badge flagged">probably spurious</span>' if chapter.row["flagged"] else ""
    return (
        f'<tr><th scope="row"><span class="rank">{chapter.row["rank"]}</span> '
        f'<a href="#{chapter.anchor}">{said(chapter.title, SHORT)}</a></th><td>{said(chapter.row["status"])}{flag}</td>'
        f"<td>{escape(chapter.team or '–')}</td></tr>"
    )


def _chart(panel: effects.Panel, *, live: bool) -> str:
    """A test of all suspects: the table, and the place for the chart that may take its place on a screen."""
    shown = f'<div class="live" data-figure="{panel.test}" hidden></div>' if live else ""
    button = '<button type="button" hidden aria-pressed="false">Explore interactively</button>' if live else ""
    told = "share of the answers that change" if panel.unit.startswith("change of p") else "the change itself"
    return (
        f'<figure class="chart" aria-label="{attribute(panel.title)}"><h3>{escape(panel.title)}</h3>'
        f'<p class="quiet">{DOT}{panel.names[0]} {DIAMOND}{panel.names[1]}; lines: 95 % intervals of the mean change. '
        f"Numbers: {told}. Where a dot and its line lie clear of the diamond, the model uses the cue.</p>{button}"
        f'<div class="static">{effects.table(panel)}</div>{shown}</figure>'
    )


def _suspects(report: Report, level: Level) -> str:
    if not report.chapters:
        return ""
    parts = "".join(cases.chapter(report, chapter, level) for chapter in report.chapters)
    return f'<section class="suspects"><h2>Suspect by suspect</h2>\n{parts}</section>\n'


def _method(report: Report, level: Level) -> str:
    tables = "".join(
        f"<div><h3>{escape(table.title)}</h3>{_facts(table.facts)}</div>" for table in _told(report, level)
    )
    limits = "".join(f"<li>{said(line, LONG)}</li>" for line in report.limits)
    kinds = dict.fromkeys(str(chapter.row["kind"]) for chapter in report.chapters)
    told = "".join(
        f"<dt>{said(wording.kind_name(kind))}</dt><dd>{said(wording.kind_meaning(kind))}</dd>" for kind in kinds
    )
    meaning = f'<div><h3>Kinds of cues in this report</h3><dl class="facts">{told}</dl></div>' if kinds else ""
    commands = "".join(
        f"<h3>{escape(what)}</h3><pre><code>{escape(cut(command, LONG)[0])}</code></pre>"
        for what, command in report.commands
    )
    return (
        f'<section><h2>How this was made</h2>\n<div class="columns">{tables}{meaning}</div></section>\n'
        f"<section><h2>What this report cannot show</h2><ul>{limits}</ul></section>\n"
        f"<section><h2>How to repeat it</h2>{commands}</section>\n"
    )


def _told(report: Report, level: Level) -> list[Table]:
    pictures = level.line if report.cases else ""
    return (
        [*report.method, Table("This file", [("Made smaller", wording.sentence(pictures))])]
        if pictures
        else list(report.method)
    )


def _foot(report: Report) -> str:
    return (
        f"<footer><small>Made by Relevancy Audit on {report.made:%Y-%m-%d at %H:%M} UTC. This file asks for nothing "
        "from any network; its links lead to the dashboard that it was made for.</small></footer>\n"
    )


def _scripts(panels: Sequence[effects.Panel]) -> str:
    figures = interactive.as_json({panel.test: effects.figure(panel) for panel in panels})
    return (
        f'<script type="application/json" id="figures">{figures}</script>\n'
        f'<script type="text/plain" id="library">{interactive.library()}</script>\n'
        f"<script>{interactive.script()}</script>\n"
    )
