"""One face for the tokenizers of open_clip and Hugging Face."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from engine.errors import EngineError
from engine.models.token_spans import NOWHERE, Clean, Places, bpe_places, hugging_face_places, words_read
from engine.words import Span, Words, words_of

CLIP_CONTEXT = 77
NO_LIMIT = 1 << 20
"""Tokenizers of transformers without a limit of their own say 10^30."""


@dataclass(frozen=True)
class TextTokenizer:
    """Turns texts into token ids [B, context] and ids back into readable pieces.

    Attributes:
        encode: texts -> ids, LongTensor [B, context], padded and cut to the context.
        piece: id -> readable text piece.
        special_ids: ids that are never shown (start, end, padding).
        context: number of tokens of a text, specials included.
        count: text -> number of tokens it would need without cutting.
        encode_padded: texts -> ids and attention mask, LongTensor [B, T] each, T being the longest of them.
        size: number of ids that it can give out; 0 when it does not say.
        places: text -> characters of every token, without padding; see :meth:`spans`. None when it does not say.
        pads_left: whether ``encode`` puts the padding before the text.
        clean: what it does to a text before it cuts it into pieces (mended encoding, HTML entities, lower case).
    """

    encode: Callable[[list[str]], Tensor]
    piece: Callable[[int], str]
    special_ids: frozenset[int]
    context: int
    count: Callable[[str], int]
    encode_padded: Callable[[list[str]], tuple[Tensor, Tensor]] | None = None
    size: int = 0
    places: Places | None = None
    pads_left: bool = False
    clean: Clean | None = None

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Return ids [B, context] of a list of texts."""
        return self.encode([str(text) for text in texts])

    def padded(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return ids and attention mask (1 = token, 0 = padding), [B, T] each, padded to the longest text.

        Texts are cut to the context; :meth:`truncated` tells which.

        Raises:
            EngineError: the tokenizer always pads to the context (open_clip's own).
        """
        if self.encode_padded is None:
            raise EngineError("this tokenizer gives no attention mask; a tokenizer of transformers is needed")
        return self.encode_padded([str(text) for text in texts])

    def is_special(self, ids: Tensor) -> Tensor:
        """Tokens that are never shown, boolean in the shape of ``ids``."""
        return torch.isin(ids, torch.tensor(sorted(self.special_ids), dtype=ids.dtype, device=ids.device))

    def pieces(self, ids: Tensor, content: Tensor) -> list[list[str]]:
        """Return the pieces of each text; tokens that are not content become ''. ``ids``, ``content``: [B, T]."""
        return [
            [self.piece(int(i)) if shown else "" for i, shown in zip(row, mask, strict=True)]
            for row, mask in zip(ids.tolist(), content.tolist(), strict=True)
        ]

    def spans(self, text: str, length: int | None = None) -> list[Span]:
        """Return for every id of a text its characters [first, last) in the text as it is given.

        Special tokens, padding and pieces that cannot be placed get (0, 0). White space around a piece is left out.

        Args:
            text: the text.
            length: T of :meth:`padded`, whose ids are then meant; without it the ids of ``encode``.

        Raises:
            EngineError: the tokenizer does not say where its pieces come from.
        """
        if self.places is None:
            raise EngineError("this tokenizer does not say which characters a token stands for (places=...)")
        found = self.places(text)
        padding = [NOWHERE] * ((length or self.context) - len(found))
        return padding + found if self.pads_left and length is None else found + padding

    def words(self, text: str, shown: Sequence[bool], length: int | None = None) -> Words:
        """Group the tokens of a text into words; those that are not shown belong to none.

        Args:
            text: the text.
            shown: tokens whose piece is shown, [T].
            length: as in :meth:`spans`.
        """
        spans = [span if seen else NOWHERE for span, seen in zip(self.spans(text, length), shown, strict=True)]
        return words_of(text, spans, self.count(text), self.context, words_read(text, self.clean))

    def truncated(self, texts: Sequence[str]) -> list[bool]:
        """Tell for each text whether tokens were cut off."""
        return [self.count(str(text)) > self.context for text in texts]


def as_tokenizer(tokenizer: Any, context: int | None = None) -> TextTokenizer:
    """Wrap an open_clip or Hugging Face tokenizer; a TextTokenizer is returned as it is.

    Raises:
        EngineError: the object is neither.
    """
    if isinstance(tokenizer, TextTokenizer):
        return tokenizer
    if hasattr(tokenizer, "convert_ids_to_tokens"):
        limit = int(tokenizer.model_max_length)
        return _from_hugging_face(tokenizer, context or (limit if limit < NO_LIMIT else CLIP_CONTEXT))
    if hasattr(tokenizer, "tokenizer") and hasattr(tokenizer.tokenizer, "convert_ids_to_tokens"):
        return _from_open_clip_wrapper(tokenizer, context or tokenizer.context_length)
    if hasattr(tokenizer, "decoder") and hasattr(tokenizer, "encode"):
        return _from_open_clip_bpe(tokenizer, context or tokenizer.context_length)
    raise EngineError(f"{type(tokenizer).__name__} is not a tokenizer of open_clip or transformers")


def readable(piece: str) -> str:
    """Strip the marks that BPE and SentencePiece vocabularies use for word boundaries."""
    return piece.replace("</w>", "").replace("\u0120", "").replace("\u2581", "").replace("##", "")


def _from_hugging_face(tokenizer: Any, context: int) -> TextTokenizer:
    def encode(texts: list[str]) -> Tensor:
        out = tokenizer(texts, padding="max_length", truncation=True, max_length=context, return_tensors="pt")
        ids: Tensor = out["input_ids"]
        return ids

    def encode_padded(texts: list[str]) -> tuple[Tensor, Tensor]:
        out = tokenizer(
            texts, padding="longest", truncation=True, max_length=context, return_tensors="pt",
            return_attention_mask=True, padding_side="right",
        )  # fmt: skip
        return out["input_ids"], out["attention_mask"]

    special = _special_ids(tokenizer)
    return TextTokenizer(
        encode,
        lambda i: readable(str(tokenizer.convert_ids_to_tokens(i))),
        special,
        context,
        lambda text: len(tokenizer(text, verbose=False)["input_ids"]),
        encode_padded,
        len(tokenizer),
        hugging_face_places(tokenizer, special, context, readable),
        tokenizer.padding_side == "left",
    )


def _special_ids(tokenizer: Any) -> frozenset[int]:
    """Ids that stand for no word. The unknown token does stand for one, unless its id has another duty (CLIP)."""
    others = ("bos_token_id", "eos_token_id", "pad_token_id", "cls_token_id", "sep_token_id", "mask_token_id")
    duties = {getattr(tokenizer, name, None) for name in others}
    unknown = getattr(tokenizer, "unk_token_id", None)
    return frozenset(i for i in tokenizer.all_special_ids if i != unknown or i in duties)


def _from_open_clip_wrapper(tokenizer: Any, context: int) -> TextTokenizer:
    inner, clean = tokenizer.tokenizer, _cleaning(tokenizer)
    special = _special_ids(inner)
    clips = getattr(tokenizer, "tokenizer_mode", "") == "clips"  # start, end and class token are put around the pieces
    return TextTokenizer(
        lambda texts: torch.as_tensor(tokenizer(texts, context_length=context)),
        lambda i: readable(str(inner.convert_ids_to_tokens(i))),
        special,
        context,
        lambda text: len(inner(clean(text), verbose=False, add_special_tokens=not clips)["input_ids"]) + 3 * clips,
        size=len(inner),
        places=hugging_face_places(inner, special, context, readable, clean, clips),
        pads_left=inner.padding_side == "left" and not clips,
        clean=clean,
    )


def _cleaning(tokenizer: Any) -> Clean:
    """What a tokenizer of open_clip does to a text before it hands it to its inner one."""
    if hasattr(tokenizer, "clean_fn"):
        clean: Clean = tokenizer.clean_fn
        return clean
    from open_clip.tokenizer import basic_clean, canonicalize_text

    return lambda text: canonicalize_text(basic_clean(text))  # SigLipTokenizer


def _from_open_clip_bpe(tokenizer: Any, context: int) -> TextTokenizer:
    decode_bytes = tokenizer.byte_decoder

    def piece(i: int) -> str:
        raw = bytearray(decode_bytes[c] for c in tokenizer.decoder[i].replace("</w>", "") if c in decode_bytes)
        return raw.decode("utf-8", errors="replace")

    special = frozenset({0, *tokenizer.all_special_ids})
    return TextTokenizer(
        lambda texts: torch.as_tensor(tokenizer(texts, context_length=context)),
        piece,
        special,
        context,
        lambda text: len(tokenizer.encode(text)) + 2,
        size=len(tokenizer.encoder),
        places=bpe_places(tokenizer, special, context),
        clean=getattr(tokenizer, "clean_fn", None),
    )
