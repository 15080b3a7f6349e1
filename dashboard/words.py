"""Text for people: escaping what Streamlit would read as Markdown, and words tinted by relevancy."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

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


PLACES = ("word_starts", "word_ends", "token_words")  # in an old run one of them may be a column of the dataset
NEEDED = ("text", "tokens", *PLACES)  # columns of a row that its words come from
REST = 300  # characters that are shown of what comes after the last word


@dataclass(frozen=True)
class Piece:
    """A word or token as people read it; ``glued`` when no space belongs before it, no value for what lies between."""

    text: str
    value: float | None
    glued: bool


def shown(sample: Mapping[str, Any], relevancy: NDArray[np.floating]) -> list[Piece]:
    """The text of a sample with the relevancy [tokens] of its words; of its tokens where a run has no words."""
    if sample.get("text") and all(isinstance(sample.get(name), list) for name in PLACES) and sample["word_starts"]:
        return passages(sample, relevancy)
    return pieces(sample.get("tokens") or [], relevancy)


def passages(sample: Mapping[str, Any], relevancy: NDArray[np.floating]) -> list[Piece]:
    """The text as it is written: each word with the sum of its tokens' relevancy, and what lies between the words.

    Args:
        sample: a row of `samples` with `text`, `word_starts`, `word_ends` and `token_words`.
        relevancy: one value per token.
    """
    text, sums = str(sample["text"]), [0.0] * len(sample["word_starts"])
    for word, value in zip(sample["token_words"], relevancy, strict=False):
        if word >= 0:
            sums[word] += float(value)
    found, end = [], 0
    for first, last, value in zip(sample["word_starts"], sample["word_ends"], sums, strict=True):
        found += [Piece(text[end:first], None, True), Piece(text[first:last], value, True)]
        end = last
    rest = text[end:]
    found.append(Piece(rest if len(rest) <= REST else f"{rest[:REST]}…", None, True))
    return [piece for piece in found if piece.text]


def pieces(tokens: Sequence[str], relevancy: NDArray[np.floating]) -> list[Piece]:
    """Readable tokens with their raw relevancy; special tokens (empty text) are left out.

    Understands the marks of CLIP's BPE ('</w>' ends a word), GPT and RoBERTa ('Ġ' starts one),
    SentencePiece ('▁' starts one) and WordPiece ('##' continues one).
    """
    found: list[Piece] = []
    starts = any(t.startswith(("Ġ", "▁")) for t in tokens)
    ends = any(t.endswith("</w>") for t in tokens)
    open_word = False
    for token, value in zip(tokens, relevancy, strict=False):
        text = token.removesuffix("</w>").removeprefix("##").lstrip("Ġ▁")
        if text:
            glued = (
                token.startswith("##")
                or (ends and open_word)
                or (starts and bool(found) and not token.startswith(("Ġ", "▁")))
            )
            found.append(Piece(text, float(value), glued))
        open_word = ends and bool(token) and not token.endswith("</w>")
    return found


def tinted(told: Sequence[Piece], colormap: str) -> str:
    """HTML of the pieces, each on the colour of its relevancy (min-max over those that have one)."""
    values = [piece.value for piece in told if piece.value is not None]
    if not values:
        return ""
    shares = iter(normalise(np.array(values)).tolist())
    html = [_plain(one) if one.value is None else _tinted_piece(one, next(shares), colormap) for one in told]
    return f'<div style="line-height:2.1;overflow-wrap:anywhere">{"".join(html)}</div>'


def _plain(piece: Piece) -> str:
    return escape(piece.text)


def _tinted_piece(piece: Piece, share: float, colormap: str) -> str:
    ground = colormaps.hex_color(share, colormap)
    style = f"background:{ground};color:{colormaps.text_color(ground)};padding:0.15em 0.3em;border-radius:4px"
    space = "" if piece.glued else " "
    return f'{space}<span style="{style}" title="relevancy {piece.value:.4g}">{escape(piece.text)}</span>'
