"""Bars as plain HTML: they need no Plotly, which takes most of a second, and the Runs page draws them every two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from dashboard.charts import DONE, LABEL, OPEN, OTHER
from dashboard.selection import clip

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


def top_classes(names: Sequence[str], probabilities: Sequence[float], label: str | None) -> str:
    """Bars of the best classes below each other; that of the label is set apart by colour and by a word."""
    spoken = ", ".join(f"{name} {share:.0%}" for name, share in zip(names, probabilities, strict=False))
    lines = "".join(_class(*one, label) for one in zip(names, probabilities, strict=False))
    return (
        f'<div role="img" aria-label="{escape(f"Best classes: {spoken}")}" style="display:grid;align-items:center;'
        f'grid-template-columns:fit-content(45%) minmax(0,1fr) auto;gap:.3rem .6rem;font-size:.85rem">{lines}</div>'
    )


def _class(name: str, share: float, label: str | None) -> str:
    color = LABEL if name == label else OTHER
    told = escape(f"{clip(name, 200)}: {share:.2%}")
    word = " (label)" if name == label else ""
    fill = f"height:100%;border-radius:3px;background:{color};width:{min(max(share, 0.0), 1.0):.2%}"
    return (
        f'<div title="{told}" style="text-align:right">{escape(clip(name, 24))}{word}</div>'
        f'<div title="{told}" style="height:1.4rem;background:rgba(128,128,128,.12);border-radius:3px">'
        f'<div style="{fill}"></div></div>'
        f"<div>{share:.1%}</div>"
    )
