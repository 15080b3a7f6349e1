"""What all image-text models share: pairs of inputs and text read-outs."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from engine.errors import EngineError
from engine.models.adapter import Adapter, Batch, Inputs, Tower
from engine.models.questions import check_ids
from engine.models.readout import content_before_end, one_hot_row, token_row
from engine.models.timm_vit import image_tensor
from engine.models.tokens import TextTokenizer


class PairAdapter(Adapter):
    """Image-text models with two towers: row i of the images belongs to row i of the texts."""

    modalities = ("image", "text")
    task = "pair"

    def prepare(self, model: nn.Module, inputs: Inputs, tokenizer: TextTokenizer | None) -> Batch:
        """``{"image": [B, 3, H, W], "text": texts or ids [B, T]}``; HF names are understood too."""
        if isinstance(inputs, Tensor):
            raise EngineError("an image-text model needs {'image': images, 'text': texts}, not one tensor")
        images = image_tensor(model, inputs)
        ids = _text_ids(inputs.get("text", inputs.get("input_ids")), tokenizer).to(images.device)
        if len(ids) != len(images):
            raise EngineError(f"{len(images)} images but {len(ids)} texts: row i of both must belong together")
        check_ids(ids, self.text_limits(model))
        batch = {"image": images, "text": ids}
        if inputs.get("attention_mask") is not None:
            batch["attention_mask"] = torch.as_tensor(inputs["attention_mask"]).to(images.device)
        if tokenizer is not None:
            batch["special"] = tokenizer.is_special(ids)
        return batch

    @abstractmethod
    def embed_images(self, model: nn.Module, batch: Batch) -> Tensor:
        """Unit vectors [B, D] of the pictures alone; of the batch only "image" is read."""

    @abstractmethod
    def embed_texts(self, model: nn.Module, batch: Batch) -> Tensor:
        """Unit vectors [B, D] of the texts alone; of the batch "text" and perhaps "attention_mask" are read."""

    @abstractmethod
    def text_limits(self, model: nn.Module) -> tuple[int, int]:
        """Return vocabulary size and context length."""

    def default_start_layer(self, model: nn.Module) -> int:
        """The last block: the authors' choice for CLIP, made after users saw artefacts with all layers."""
        return -1


def _text_ids(text: Any, tokenizer: TextTokenizer | None) -> Tensor:
    if isinstance(text, Tensor):
        return text if text.dim() == 2 else text[None]
    if text is None:
        raise EngineError("an image-text model needs texts (key 'text'): a list of strings or token ids [B, T]")
    if tokenizer is None:
        raise EngineError("texts were given as strings, but no tokenizer; pass tokenizer=... or token ids")
    return tokenizer([text] if isinstance(text, str) else list(text))


def text_tower(
    layers: tuple[str, ...], states: str, batch: Batch, pooling: str, end_id: int | None, pad_id: int | None
) -> Tower:
    """Describe a text stream.

    Args:
        layers: attention modules, first to last.
        states: last block.
        batch: holds "text" ids [B, T] and perhaps "special" [B, T].
        pooling: "argmax" (end token is the largest id), "eos" (first ``end_id``), "first" or "last".
        end_id: id of the end token, for "eos".
        pad_id: id of the padding, for "first" and "last" when no tokenizer tells the special tokens.
    """
    ids = batch["text"]
    count, tokens = ids.shape
    like = batch["image"]
    if pooling in ("argmax", "eos"):
        is_end = torch.eq(ids, -1 if end_id is None else end_id)
        ends = ids.argmax(dim=1) if pooling == "argmax" else is_end.int().argmax(dim=1)
        return Tower("text", layers, states, one_hot_row(ends, tokens, like), content_before_end(ends, tokens))
    position = 0 if pooling == "first" else tokens - 1
    hidden = batch.get("special", ids == (-1 if pad_id is None else pad_id))
    return Tower("text", layers, states, token_row(count, tokens, (position,), like), ~hidden)
