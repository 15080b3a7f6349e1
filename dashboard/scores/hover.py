"""A picture with its caption: pointing at a word, or reaching it by keyboard, shows the map of that word.

One piece of HTML that needs no script, so that it works on a page and in a report without a server: all pictures lie on
top of each other, and the style sheet shows the one whose word has the pointer or the focus. Pure functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from dashboard import colormaps
from dashboard.overlays import data_url, normalise
from dashboard.words import Piece

_BUTTON = "font:inherit;border:0;margin:0;cursor:pointer;text-decoration:underline dotted;text-underline-offset:0.25em"
_CHIP = "padding:0.15em 0.3em;border-radius:4px"


@dataclass(frozen=True)
class Layer:
    """A painted picture, one line about it, and what it shows for those who do not see it."""

    jpeg: bytes
    caption: str
    alt: str


def hover_picture(base: Layer, pieces: Sequence[Piece], layers: Mapping[int, Layer], colormap: str, name: str) -> str:
    """HTML of the tinted words above the picture.

    Args:
        base: what is shown while no word is pointed at.
        pieces: the text as `dashboard.words.passages` tells it.
        layers: pictures by the number of their word (from 0, in the order of the text).
        colormap: of the words; the one that the pictures were painted with.
        name: an identifier of letters, unique on the page.
    """
    words = _words(pieces, layers, colormap, name)
    shown = [_figure(base, f"{name}-l {name}-base")]
    shown += [_figure(layer, f"{name}-l {name}-l{k}") for k, layer in layers.items()]
    return (
        f'<div class="{name}"><div style="line-height:2.1;overflow-wrap:anywhere;margin-bottom:0.6em">{words}</div>'
        f'<div class="{name}-stage">{"".join(shown)}</div></div><style>{_style(name, layers)}</style>'
    )


def _words(pieces: Sequence[Piece], layers: Mapping[int, Layer], colormap: str, name: str) -> str:
    values = [piece.value for piece in pieces if piece.value is not None]
    shares = normalise(np.array(values)).tolist() if values else []
    html, number = [], 0
    for piece in pieces:
        space = "" if piece.glued else " "
        if piece.value is None:
            html.append(space + escape(piece.text))
            continue
        ground = colormaps.hex_color(shares[number], colormap)
        color = f"background:{ground};color:{colormaps.text_color(ground)};{_CHIP}"
        title = f'title="relevancy {piece.value:.4g}"'
        text = escape(piece.text)
        if number in layers:
            of = f'type="button" class="{name}-w {name}-w{number}"'
            html.append(f'{space}<button {of} style="{color};{_BUTTON}" {title}>{text}</button>')
        else:
            html.append(f'{space}<span style="{color}" {title}>{text}</span>')
        number += 1
    return "".join(html)


def _figure(layer: Layer, classes: str) -> str:
    return (
        f'<figure class="{classes}"><img src="{data_url(layer.jpeg)}" alt="{escape(layer.alt)}">'
        f"<figcaption>{escape(layer.caption)}</figcaption></figure>"
    )


def _style(name: str, layers: Mapping[int, Layer]) -> str:
    """Who is shown: the base, else the word with the focus, else the word under the pointer (it has the last word)."""
    rules = [
        f".{name}-stage{{display:grid}}",
        f".{name}-l{{grid-area:1/1;margin:0;visibility:hidden}}",
        f".{name}-l img{{display:block;max-width:100%;max-height:440px;border-radius:4px}}",
        f".{name}-l figcaption{{font-size:0.875rem;opacity:0.75;margin-top:0.35em;overflow-wrap:anywhere}}",
        f".{name}-w:focus-visible{{outline:2px solid currentColor;outline-offset:2px}}",
        f".{name}:not(:has(.{name}-w:is(:hover,:focus))) .{name}-base{{visibility:visible}}",
    ]
    rules += [f".{name}:has(.{name}-w{k}:focus) .{name}-l{k}{{visibility:visible}}" for k in layers]
    rules.append(f".{name}:has(.{name}-w:hover) .{name}-l{{visibility:hidden!important}}")
    rules += [f".{name}:has(.{name}-w{k}:hover) .{name}-l{k}{{visibility:visible!important}}" for k in layers]
    return "".join(rules)
