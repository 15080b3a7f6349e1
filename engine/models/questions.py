"""Texts as token ids with a padding mask, for models that read whole sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from engine.errors import EngineError
from engine.models.adapter import Batch
from engine.models.tokens import TextTokenizer


def question_batch(inputs: Mapping[str, Any], tokenizer: TextTokenizer | None, device: torch.device) -> Batch:
    """Return ``text`` ids [B, T], ``attention_mask`` [B, T] (1 = token) and, with a tokenizer, ``special`` [B, T].

    Args:
        inputs: "text": list of strings or ids (or "input_ids"), perhaps "attention_mask".
        tokenizer: needed for strings.
        device: where the tensors go.

    Raises:
        EngineError: no text, or strings without a tokenizer.
    """
    text = inputs.get("text", inputs.get("input_ids"))
    mask = inputs.get("attention_mask")
    if text is None:
        raise EngineError("the model reads texts (key 'text'): a list of strings or token ids [B, T]")
    if not isinstance(text, Tensor):
        if tokenizer is None:
            raise EngineError("texts were given as strings, but no tokenizer; pass tokenizer=... or token ids")
        text, mask = tokenizer.padded([text] if isinstance(text, str) else list(text))
    ids = (text if text.dim() == 2 else text[None]).to(device)
    batch = {"text": ids, "attention_mask": _mask(mask, ids)}
    if tokenizer is not None:
        batch["special"] = tokenizer.is_special(ids)
    return batch


def _mask(mask: Any, ids: Tensor) -> Tensor:
    if mask is None:
        return torch.ones_like(ids)
    mask = torch.as_tensor(mask).to(ids.device)
    if mask.shape != ids.shape:
        raise EngineError(f"attention mask {tuple(mask.shape)} does not fit the texts {tuple(ids.shape)}")
    return mask.to(ids.dtype)


def check_ids(ids: Tensor, limits: tuple[int, int]) -> None:
    """Raise EngineError when ids do not fit the model's vocabulary or longest text."""
    vocabulary, longest = limits
    if int(ids.max()) >= vocabulary or int(ids.min()) < 0:
        raise EngineError(
            f"token id {int(ids.max())} does not fit the model's vocabulary of {vocabulary}: "
            "the tokenizer does not belong to this model"
        )
    if ids.shape[1] > longest:
        raise EngineError(f"the text has {ids.shape[1]} tokens, the model reads at most {longest}")


def text_content(batch: Batch) -> Tensor:
    """Tokens that are words: no padding, and no special tokens where a tokenizer names them; [B, T] boolean.

    Without a tokenizer the first and the last token of each text count as special.
    """
    real = batch["attention_mask"].bool()
    if "special" in batch:
        return real & ~batch["special"]
    position = torch.arange(real.shape[1], device=real.device)
    return real & (position > 0) & (position < real.sum(dim=1, keepdim=True) - 1)
