"""Estimates with their intervals, each as a dot with a line, as plain HTML."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from dashboard.charts import LABEL, OPEN
from dashboard.selection import clip

ROW = 34  # pixels of a line of the chart
TICKS = 6  # at most about so many


@dataclass(frozen=True)
class Dot:
    """One line of the chart; a `control` is drawn as an open diamond."""

    name: str
    value: float
    low: float | None
    high: float | None
    control: bool = False
    more: str = ""

    def told(self, percent: bool) -> str:
        """The numbers in words."""
        form = ".0%" if percent else ".2f"
        low, high = (self.low, self.high) if self.low is not None and self.high is not None else (None, None)
        interval = "" if low is None or high is None else f" ({low:{form}} to {high:{form}})"
        return f"{self.value:{form}}{interval}{f', {self.more}' if self.more else ''}"


@dataclass(frozen=True)
class Axis:
    """From which value to which the chart reaches, and which values are marked."""

    start: float
    end: float
    ticks: tuple[float, ...]

    def place(self, value: float) -> float:
        """Where a value lies, in percent of the width."""
        return 100 * (value - self.start) / (self.end - self.start)


def axis_of(dots: Sequence[Dot], *, percent: bool) -> Axis:
    """All that is drawn and zero, with some room; of shares everything from 0 to 1."""
    ends = [edge for dot in dots for edge in (dot.value, dot.low, dot.high, 0.0) if edge is not None]
    low, high = (0.0, 1.0) if percent else (min(ends, default=0.0), max(ends, default=1.0))
    span = high - low or 1.0
    step = _round(span / (TICKS - 1))
    first, last = math.ceil(low / step - 1e-9), math.floor((low + span) / step + 1e-9)
    return Axis(low - 0.04 * span, low + 1.04 * span, tuple(i * step for i in range(first, last + 1)))


def _round(step: float) -> float:
    """The next larger of 1, 2, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * nice for nice in (1, 2, 5, 10) if power * nice >= step * (1 - 1e-9))


def drawn(dots: Sequence[Dot], axis: str, *, percent: bool = False) -> str:
    """Horizontal lines, the first on top, with a line at zero; `axis` says what is measured."""
    scale = axis_of(dots, percent=percent)
    lines = "".join(_line(dot, scale, percent) for dot in dots)
    return (
        f'<div role="img" aria-label="{escape(f"{axis}. {spoken(dots, percent=percent)}")}" style="display:grid;'
        f'grid-template-columns:fit-content(45%) minmax(0,1fr);column-gap:.8rem;font-size:.85rem">{lines}'
        f"<div></div>{_marks(scale, percent)}<div></div>"
        f'<div style="text-align:center">{escape(clip(axis, 80))}</div></div>'
    )


def _line(dot: Dot, scale: Axis, percent: bool) -> str:
    color = OPEN if dot.control else LABEL
    rules = "".join(_rule(scale.place(tick), 0.5 if not tick else 0.15) for tick in scale.ticks)
    interval = ""
    if dot.low is not None and dot.high is not None:
        left, right = scale.place(min(dot.low, dot.value)), scale.place(max(dot.high, dot.value))
        interval = (
            f'<div style="position:absolute;left:{left:.2f}%;width:{right - left:.2f}%;top:calc(50% - 5px);height:10px;'
            f"border:solid {color};border-width:0 2px;"
            f'background:linear-gradient({color},{color}) center/100% 2px no-repeat"></div>'
        )
    shape = "transform:rotate(45deg)" if dot.control else f"background:{color};border-radius:50%"
    mark = (
        f'<div style="position:absolute;left:calc({scale.place(dot.value):.2f}% - 6px);top:calc(50% - 6px);width:12px;'
        f'height:12px;box-sizing:border-box;border:2px solid {color};{shape}"></div>'
    )
    told = escape(f"{dot.name}: {dot.told(percent)}")
    return (
        f'<div title="{told}" style="align-self:center;text-align:right;overflow:hidden;text-overflow:ellipsis">'
        f"{escape(clip(dot.name, 60))}</div>"
        f'<div title="{told}" style="position:relative;height:{ROW}px">{rules}{interval}{mark}</div>'
    )


def _rule(place: float, strength: float) -> str:
    color = f"rgba(128,128,128,{strength})"
    return f'<div style="position:absolute;left:{place:.2f}%;top:0;bottom:0;width:1px;background:{color}"></div>'


def _marks(scale: Axis, percent: bool) -> str:
    """The values of the axis."""
    form = ".0%" if percent else "g"
    marks = "".join(
        f'<span style="position:absolute;left:{scale.place(tick):.2f}%;transform:translateX(-50%)">'
        f"{round(tick, 10) + 0.0:{form}}</span>"
        for tick in scale.ticks
    )
    return f'<div style="position:relative;height:1.4em;opacity:.8">{marks}</div>'


def spoken(dots: Sequence[Dot], *, percent: bool = False) -> str:
    """The chart in words, for who cannot see it."""
    return "; ".join(f"{dot.name}: {dot.told(percent)}" for dot in dots)
