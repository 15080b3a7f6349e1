"""The vocabulary of the questions: WordPiece, so that plurals are two pieces."""

from __future__ import annotations

from typing import Any

from transformers import BertTokenizer

from benchmarks.questions.examples import AFTER, BEFORE
from benchmarks.questions.scenes import COLOURS, SHAPES, SIZES

LONGEST = 24
"""Tokens of a question, at most."""
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_ASKING = (
    "?", ",", "what", "is", "the", "colour", "shape", "size", "how", "many", "are", "there", "a", "an", "thing", "##s",
    "left", "right", "of", "above", "below", "not",
)  # fmt: skip
_AROUND = " ".join((*BEFORE, *AFTER)).split()
VOCABULARY = tuple(dict.fromkeys((*_SPECIAL, *_ASKING, *SHAPES, *COLOURS, *SIZES, *_AROUND)))
"""Pieces in the order of their ids. A few are in no template: a question typed by hand may use them."""


def tokenizer() -> Any:
    """BERT's tokenizer, which is LXMERT's too, over the vocabulary."""
    vocabulary = {piece: index for index, piece in enumerate(VOCABULARY)}
    return BertTokenizer(vocab=vocabulary, model_max_length=LONGEST)
