"""Text for people: escaping what Streamlit would read as Markdown, and tokens tinted by relevancy."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from dashboard import colormaps
from dashboard.overlays import normalise

_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
# Streamlit turns these into emoji, icons, colours, arrows or links after Markdown was parsed, where a
# backslash no longer helps; an invisible word joiner in the middle does.
_SEQUENCES = re.compile(r"(:|@|<(?=-)|-(?=[->])|[<>~](?==)|(?i:www)(?=\.)|(?i:http)(?=s?:))")


def literal(text: str) -> str:
    """Markdown that shows ``text`` exactly as it is: no markup, links, icons, emoji, maths or HTML."""
    flat = " ".join(text.split())
    return _PUNCTUATION.sub(r"\\\1", _SEQUENCES.sub("\\1\u2060", flat))


@dataclass(frozen=True)
class Piece:
    """A token as people read it; ``glued`` when it continues the word before it."""

    text: str
    value: float
    glued: bool


def pieces(tokens: Sequence[str], relevancy: NDArray[np.floating]) -> list[Piece]:
    """Readable tokens with their raw relevancy; special tokens (empty text) are left out.

    Understands the marks of CLIP's BPE ('</w>' ends a word), GPT and RoBERTa ('Ġ' starts one),
    SentencePiece ('▁' starts one) and WordPiece ('##' continues one).
    """
    shown: list[Piece] = []
    starts = any(t.startswith(("Ġ", "▁")) for t in tokens)
    ends = any(t.endswith("</w>") for t in tokens)
    open_word = False
    for token, value in zip(tokens, relevancy, strict=False):
        text = token.removesuffix("</w>").removeprefix("##").lstrip("Ġ▁")
        if text:
            glued = (
                token.startswith("##")
                or (ends and open_word)
                or (starts and bool(shown) and not token.startswith(("Ġ", "▁")))
            )
            shown.append(Piece(text, float(value), glued))
        open_word = ends and bool(token) and not token.endswith("</w>")
    return shown


def tinted(shown: Sequence[Piece], colormap: str) -> str:
    """HTML of the tokens, each on the colour of its relevancy (min-max over the shown tokens)."""
    if not shown:
        return ""
    shares = normalise(np.array([p.value for p in shown]))
    return (
        '<div style="line-height:2.1;overflow-wrap:anywhere">'
        + "".join(_tinted_piece(piece, float(share), colormap) for piece, share in zip(shown, shares, strict=True))
        + "</div>"
    )


def _tinted_piece(piece: Piece, share: float, colormap: str) -> str:
    ground = colormaps.hex_color(share, colormap)
    style = f"background:{ground};color:{colormaps.text_color(ground)};padding:0.15em 0.3em;border-radius:4px"
    space = "" if piece.glued else " "
    return f'{space}<span style="{style}" title="relevancy {piece.value:.4g}">{escape(piece.text)}</span>'
