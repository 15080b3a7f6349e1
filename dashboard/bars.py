"""One stacked bar with its legend, as plain HTML: it needs no Plotly, and the Runs page draws it every two seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from dashboard.charts import DONE, LABEL, OPEN

BAD = "#d65f50"  # failed; readable on light and dark
STAGES = (LABEL, DONE, "#6a7fb5")


@dataclass(frozen=True)
class Part:
    """A part of a bar: its name in the legend, its length, its colour, and what the pointer says over it."""

    name: str
    length: float
    color: str
    told: str


def coverage(explained: int, failed: int, total: int) -> list[Part]:
    """How much of the dataset was explained, failed, or is still to come."""
    counts = (
        ("explained", explained, DONE),
        ("failed", failed, BAD),
        ("not yet", max(total - explained - failed, 0), OPEN),
    )
    return [
        Part(f"{name} {n:,}", n, color, f"{name}: {n:,} of {total:,} ({n / max(total, 1):.1%})")
        for name, n, color in counts
        if n
    ]


def time_shares(seconds: Mapping[str, float]) -> list[Part]:
    """Where the time of a run went (seconds per stage)."""
    total = sum(seconds.values()) or 1.0
    return [
        Part(f"{name} {value / total:.0%}", value, color, f"{name}: {value:,.1f} s ({value / total:.1%})")
        for (name, value), color in zip(seconds.items(), STAGES, strict=False)
    ]


def stacked(parts: Sequence[Part], spoken: str) -> str:
    """The bar of some parts; ``spoken`` is for those who do not see it."""
    whole = sum(part.length for part in parts) or 1.0
    bar = "".join(
        f'<div title="{escape(part.told)}" style="width:{part.length / whole:.4%};background:{part.color}"></div>'
        for part in parts
    )
    legend = "".join(
        f'<span style="white-space:nowrap"><span style="display:inline-block;width:.8em;height:.8em;'
        f'border-radius:2px;margin-right:.4em;background:{part.color}"></span>{escape(part.name)}</span>'
        for part in parts
    )
    return (
        f'<div role="img" aria-label="{escape(spoken)}">'
        f'<div style="display:flex;flex-wrap:wrap;gap:.2em 1.2em;font-size:.85rem;margin-bottom:.3em">{legend}</div>'
        f'<div style="display:flex;height:1.1rem;border-radius:4px;overflow:hidden">{bar}</div></div>'
    )
