"""A text with its words tinted by relevancy and one word marked. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from dashboard import colormaps
from dashboard.charts import LABEL
from dashboard.overlays import normalise
from dashboard.words import Piece

AROUND = 40  # pieces that are kept on each side of the first mark
MARK = f"outline:2px solid {LABEL};outline-offset:1px;font-weight:700"


def is_word(piece: Piece, word: str) -> bool:
    """Whether a piece is the word, upper and lower case alike."""
    return piece.value is not None and piece.text.lower() == word.lower()


def around(told: Sequence[Piece], word: str, most: int = AROUND) -> list[Piece]:
    """The pieces near the first place of a word, with an ellipsis where something was left out."""
    place = next((k for k, piece in enumerate(told) if is_word(piece, word)), 0)
    first, last = max(place - most, 0), min(max(place, most) + most, len(told))
    before = [Piece("… ", None, True)] if first else []
    after = [Piece(" …", None, True)] if last < len(told) else []
    return [*before, *told[first:last], *after]


def marked(told: Sequence[Piece], word: str, colormap: str) -> str:
    """HTML of the pieces, each on the colour of its relevancy, the word bold in a frame."""
    values = [piece.value for piece in told if piece.value is not None]
    shares = iter(normalise(np.array(values)).tolist() if values else [])
    html = []
    for piece in told:
        space = "" if piece.glued else " "
        text = escape(piece.text if len(piece.text) <= 400 else f"{piece.text[:400]}…")
        if piece.value is None:
            html.append(space + text)
            continue
        ground = colormaps.hex_color(next(shares), colormap)
        mark = MARK if is_word(piece, word) else ""
        style = (
            f"background:{ground};color:{colormaps.text_color(ground)};padding:0.1em 0.25em;border-radius:4px;{mark}"
        )
        tag = "mark" if mark else "span"
        html.append(f'{space}<{tag} style="{style}" title="relevancy {piece.value:.4g}">{text}</{tag}>')
    return f'<div style="line-height:2;overflow-wrap:anywhere">{"".join(html)}</div>'
