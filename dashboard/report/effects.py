"""The tests of all suspects side by side: as a table with lines that needs no script, and as a plotly figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go

from dashboard.charts import LABEL, OPEN, plain
from dashboard.report import text
from dashboard.report.content import Chapter, Report
from storage import wording

TESTS = {
    "removal": ("When the cue is removed", "cue removed", "as much removed elsewhere"),
    "replacement": ("When captions are replaced", "best fitting caption instead", "a random caption instead"),
    "transplant": ("When the cue is pasted into other samples", "cue pasted", "as much of the rest pasted"),
}
ROW, FRAME = 30, 110  # pixels of a line of the plotly figure, and around all of them


@dataclass(frozen=True)
class Mark:
    """One suspect in one test: the change under the cue and under the control, each with its 95 % interval."""

    chapter: Chapter
    cue: tuple[float, float, float]
    control: tuple[float, float, float]
    told: str
    control_told: str


@dataclass(frozen=True)
class Panel:
    """One test of several suspects."""

    test: str
    title: str
    names: tuple[str, str]
    unit: str
    marks: Sequence[Mark]

    @property
    def ends(self) -> tuple[float, float]:
        """What the axis must show: all intervals, and zero."""
        values = [v for mark in self.marks for v in (*mark.cue, *mark.control)] + [0.0]
        low, high = min(values), max(values)
        room = (high - low or 1.0) * 0.05
        return low - room, high + room

    def ticks(self) -> list[float]:
        """Round numbers along the axis, zero among them."""
        low, high = self.ends
        rough = (high - low) / 5
        power = 10 ** np.floor(np.log10(rough))
        step = float(next(s * power for s in (1, 2, 5, 10) if s * power >= rough))
        return [round(k * step, 10) for k in range(int(np.ceil(low / step)), int(np.floor(high / step)) + 1)]


def spoken(values: tuple[float, float, float]) -> str:
    """A change with its interval."""
    return f"{values[0]:z.2f} ({values[1]:z.2f} to {values[2]:z.2f})"


def panels(report: Report) -> list[Panel]:
    """One panel per test that was done."""
    unit = "change of p(class)" if report.about_classes else "change of the score, 1 = the usual gap"
    found = []
    for test, (title, *names) in TESTS.items():
        marks = [mark for chapter in report.chapters if (mark := _mark(chapter, test)) is not None]
        if marks:
            found.append(Panel(test, title, (names[0], names[1]), unit, marks))
    return found


def _mark(chapter: Chapter, test: str) -> Mark | None:
    effects = chapter.row["evidence"].get("effects") or {}
    effect = effects.get(test)
    if not effect:
        return None
    cue, control = (
        (float(effect[f"{prefix}mean"]), float(effect[f"{prefix}low"]), float(effect[f"{prefix}high"]))
        for prefix in ("", "control_")
    )
    if wording.of_pairs(chapter.row):
        told, other = f"{cue[0]:z.2f}", f"{control[0]:z.2f}"
    else:
        told, other = f"{effect['flips']:.0%} of answers", f"{effect['control_flips']:.0%}"
    return Mark(chapter, cue, control, told, other)


# --- without a script ---------------------------------------------------------------------------------------------


def table(panel: Panel) -> str:
    """HTML: a row per suspect with its lines, and the shares of answers that change (of pairs: the changes)."""
    rows = "".join(_row(panel, mark) for mark in panel.marks)
    return (
        '<table class="effects"><thead><tr><th scope="col">Suspect</th>'
        f'<th scope="col" class="plot">{escape(panel.unit)}</th><th scope="col" class="number">cue</th>'
        '<th scope="col" class="number">elsewhere</th></tr></thead>'
        f'<tbody>{rows}</tbody><tfoot><tr><td></td><td class="plot">{_axis(panel)}</td><td></td><td></td></tr>'
        "</tfoot>"
        "</table>"
    )


def _row(panel: Panel, mark: Mark) -> str:
    what = f"{panel.unit}: {spoken(mark.cue)} under the cue, {spoken(mark.control)} under the control"
    return (
        f'<tr><th scope="row"><span class="rank">{mark.chapter.row["rank"]}</span> '
        f'<a href="#{mark.chapter.anchor}">{text.said(mark.chapter.title, 60)}</a></th>'
        f'<td class="plot"><svg width="100%" height="30" role="img" aria-label="{escape(what)}">{_grid(panel)}'
        f"{_interval(panel, mark.control, 'control', 20)}{_interval(panel, mark.cue, 'cue', 10)}</svg></td>"
        f'<td class="number"><b>{escape(mark.told)}</b></td><td class="number">{escape(mark.control_told)}</td></tr>'
    )


def _at(panel: Panel, value: float) -> str:
    low, high = panel.ends
    return f"{(value - low) / (high - low) * 100:.2f}%"


def _grid(panel: Panel) -> str:
    places = [("zero" if tick == 0 else "grid", _at(panel, tick)) for tick in panel.ticks()]
    return "".join(f'<line class="{name}" x1="{x}" x2="{x}" y1="0" y2="100%"/>' for name, x in places)


def _interval(panel: Panel, values: tuple[float, float, float], kind: str, y: int) -> str:
    """A line with a dot; of the control with an open diamond."""
    x, low, high = (_at(panel, value) for value in values)
    if kind == "cue":
        dot = f'<circle cx="{x}" cy="{y}" r="5"/>'
    else:
        dot = f'<svg x="{x}" y="{y}" overflow="visible"><path d="M0 -5L5 0L0 5L-5 0Z"/></svg>'
    return f'<g class="{kind}"><line x1="{low}" x2="{high}" y1="{y}" y2="{y}"/>{dot}</g>'


def _axis(panel: Panel) -> str:
    texts = "".join(
        f'<text x="{_at(panel, tick)}" y="14" text-anchor="middle">{tick:g}</text>' for tick in panel.ticks()
    )
    return f'<svg width="100%" height="18" aria-hidden="true">{texts}</svg>'


# --- with plotly ---------------------------------------------------------------------------------------------------


def figure(panel: Panel) -> dict[str, Any]:
    """The panel as a plotly figure: its data and layout as plain JSON values. Colours of text come from the page."""
    made = go.Figure()
    places = list(range(len(panel.marks)))
    for name, color, symbol, shift, control in (
        (panel.names[0], LABEL, "circle", -0.16, False),
        (panel.names[1], OPEN, "diamond-open", 0.16, True),
    ):
        values = [mark.control if control else mark.cue for mark in panel.marks]
        told = [mark.control_told if control else mark.told for mark in panel.marks]
        made.add_scatter(
            name=name,
            x=[mean for mean, _, _ in values],
            y=[place + shift for place in places],
            mode="markers",
            marker={"color": color, "size": 11, "symbol": symbol, "line": {"width": 2, "color": color}},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [max(high - mean, 0.0) for mean, _, high in values],
                "arrayminus": [max(mean - low, 0.0) for mean, low, _ in values],
                "color": color,
                "thickness": 2,
                "width": 4,
            },
            customdata=[
                [plain(mark.chapter.title, 80), mark.chapter.anchor, spoken(value), plain(text)]
                for mark, value, text in zip(panel.marks, values, told, strict=True)
            ],
            hovertemplate=f"<b>%{{customdata[0]}}</b><br>{plain(name, 60)}: %{{customdata[2]}}<br>%{{customdata[3]}}"
            "<extra></extra>",
        )
    made.update_xaxes(title=panel.unit, range=list(panel.ends), zeroline=True, zerolinewidth=2)
    made.update_yaxes(
        tickmode="array",
        tickvals=places,
        ticktext=[
            f"{mark.chapter.row['rank']} {plain(text.cut(mark.chapter.title, 34)[0], 36)}" for mark in panel.marks
        ],
        range=[len(places) - 0.4, -0.6],
        showgrid=False,
        zeroline=False,
        automargin=True,
        fixedrange=True,
    )
    made.update_layout(
        template="none",
        height=FRAME + ROW * len(places),
        margin={"l": 8, "r": 12, "t": 36, "b": 44},
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        hovermode="closest",
        dragmode="pan",
    )
    return dict(made.to_plotly_json())
