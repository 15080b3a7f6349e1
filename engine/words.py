"""The words of a text, and which of the pieces that a model reads belong to which word."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import regex
from torch import Tensor

from engine.errors import EngineError

Span = tuple[int, int]
"""Characters [first, last) of a text."""
Values = TypeVar("Values", np.ndarray, Tensor)

_KEYCAP = r"[0-9#*]\uFE0F?\u20E3"
_PICTURE = (
    # small symbols such as the signs of copyright and trade marks, arrows and bullets are pictures only where a
    # variation selector says so
    r"(?:[\p{Extended_Pictographic}\p{Emoji_Modifier}--[\u0000-\u22FF\u25AA-\u25FE\u3030\u303D]]"
    r"|\p{Extended_Pictographic}(?=\uFE0F))[\p{M}\p{Emoji_Modifier}\U000E0020-\U000E007F]*"
)
_EMOJI = rf"\p{{Regional_Indicator}}{{1,2}}|{_KEYCAP}|{_PICTURE}(?:\u200D{_PICTURE})*"
_ALONE = r"[[\p{scx=Hani}\p{scx=Hira}\p{scx=Kana}]&&[\p{L}\p{N}]]"  # scripts that are written without spaces
_LETTER = rf"(?!{_KEYCAP})[[\p{{L}}\p{{N}}\p{{Alphabetic}}_]--[\p{{M}}{_ALONE}]]\p{{M}}*"
_JOINT = "['’\uff07\u05f3\u05f4\u00ad\u2010\u2011\u200c\u200d\u2060-]"  # apostrophes, hyphens, invisible joiners
_WORD = regex.compile(rf"{_EMOJI}|{_ALONE}\p{{M}}*|(?:{_LETTER})+(?:{_JOINT}(?:{_LETTER})+)*", regex.V1)


@dataclass(frozen=True)
class Words:
    """The words of a text that a model read, and the word of each of its tokens.

    Attributes:
        spans: characters [first, last) of each word in the text as it was given; in order, without overlap.
        of_piece: for every token (special tokens and padding included) the index of its word, or -1.
        needed: tokens that the whole text would need, special tokens included.
        cut: whether the end of the text did not fit.
    """

    spans: tuple[Span, ...]
    of_piece: tuple[int, ...]
    needed: int
    cut: bool

    def texts(self, text: str) -> list[str]:
        """The words as they are written in ``text``, the text that they are of."""
        return [text[first:last] for first, last in self.spans]


def word_spans(text: str) -> list[Span]:
    """Find the words of a text in any language: characters [first, last) of each, in order.

    A word is a run of letters, marks, digits and underscores, together with apostrophes and hyphens inside it
    ("don't", "t-shirt"). Han, Hiragana and Katakana are written without spaces: there every character is a word, while
    runs of Thai, Lao and Khmer stay whole. An emoji with all that belongs to it (joined emoji, skin tone, flag, keycap)
    is one word. Punctuation and white space are no words.
    """
    return [match.span() for match in _WORD.finditer(text)]


def words_of(
    text: str, piece_spans: Sequence[Span], needed: int, context: int, words: Sequence[Span] | None = None
) -> Words:
    """Group the pieces of a text into words: the finest words such that no piece lies in two of them.

    A piece that covers several words joins them into one. A word whose pieces were all cut off is left out; one that
    was cut in its middle stays whole.

    Args:
        text: the text as it was given.
        piece_spans: for every token its characters [first, last) in the text; (0, 0) where it stands for none.
        needed: tokens that the whole text would need.
        context: tokens that the model reads at most.
        words: the words, in order and without overlap, where they are not those of :func:`word_spans`.
    """
    fine = word_spans(text) if words is None else words
    starts, ends = [first for first, _ in fine], [last for _, last in fine]
    covered = [
        (bisect_right(ends, first), bisect_left(starts, last)) if first < last else (0, 0)
        for first, last in piece_spans
    ]  # words [a, b) that each piece reaches into
    groups: list[Span] = []
    for a, b in sorted(one for one in covered if one[0] < one[1]):
        if groups and a < groups[-1][1]:
            groups[-1] = groups[-1][0], max(b, groups[-1][1])
        else:
            groups.append((a, b))
    spans = tuple((starts[a], ends[b - 1]) for a, b in groups)
    return Words(spans, tuple(_owner(piece, spans) for piece in piece_spans), needed, needed > context)


def _owner(piece: Span, spans: Sequence[Span]) -> int:
    """The one word that a piece reaches into, or -1; what lies between joined words belongs to them."""
    first, last = piece
    k = bisect_right(spans, first, key=lambda span: span[1])
    return k if first < last and k < len(spans) and spans[k][0] < last else -1


def word_relevancy(values: Values, words: Words) -> Values:
    """Sum the values [T] of a text's tokens per word: [W], in the kind and precision of ``values``.

    Raises:
        EngineError: there are not as many values as tokens.
    """
    if values.shape != (len(words.of_piece),):
        raise EngineError(
            f"the words are of a text of {len(words.of_piece)} tokens, the values have the shape {tuple(values.shape)}"
        )
    shown = [k for k, word in enumerate(words.of_piece) if word >= 0]
    owners = [words.of_piece[k] for k in shown]
    if isinstance(values, Tensor):
        index = values.new_tensor(owners).long()
        return values.new_zeros(len(words.spans)).index_add(0, index, values[shown])
    sums = np.zeros(len(words.spans), dtype=values.dtype)
    np.add.at(sums, owners, values[shown])
    return sums
