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

LENGTH = "text_length"
"""Entry of a batch: tokens of each text that are read, a scalar; without it all are."""
STEP = 8
"""Lengths are multiples of it: fewer different shapes, and whole tiles for the matrix units of GPUs."""


class PairAdapter(Adapter):
    """Image-text models with two towers: row i of the images belongs to row i of the texts."""

    modalities = ("image", "text")
    task = "pair"

    def prepare(self, model: nn.Module, inputs: Inputs, tokenizer: TextTokenizer | None) -> Batch:
        """``{"image": [B, 3, H, W], "text": texts or ids [B, T]}``; HF names are understood too."""
        if isinstance(inputs, Tensor):
            raise EngineError("an image-text model needs {'image': images, 'text': texts}, not one tensor")
        pictures = self.prepare_images(model, inputs)
        texts = inputs.get("text", inputs.get("input_ids"))
        words = self.prepare_texts(model, texts, tokenizer, inputs.get("attention_mask"))
        count = len(pictures["image"])
        if len(words["text"]) != count:
            raise EngineError(f"{count} images but {len(words['text'])} texts: row i of both must belong together")
        return pictures | words

    def prepare_images(self, model: nn.Module, images: Inputs) -> Batch:
        """Pictures alone, a tensor or under "image": ``{"image": [B, 3, H, W]}``, on the model's device."""
        return {"image": image_tensor(model, images)}

    def prepare_texts(
        self, model: nn.Module, texts: Any, tokenizer: TextTokenizer | None, attention_mask: Any = None
    ) -> Batch:
        """Texts alone: "text" [B, T] and perhaps "attention_mask" and "special" [B, T], on the model's device.

        Raises:
            EngineError: no texts, strings without a tokenizer, or ids that the model does not know.
        """
        ids = _text_ids(texts, tokenizer).to(next(model.parameters()).device)
        check_ids(ids, self.text_limits(model))
        batch = {"text": ids}
        if attention_mask is not None:
            batch["attention_mask"] = torch.as_tensor(attention_mask).to(ids.device)
        if tokenizer is not None:
            batch["special"] = tokenizer.is_special(ids)
        return batch

    def towers(self, model: nn.Module, batch: Batch) -> tuple[Tower, ...]:
        """Image and text stream."""
        return self.image_tower(model, batch), self.text_tower(model, batch)

    def shortened(self, model: nn.Module, batch: Batch) -> Batch:
        """Without the padding of causal text towers: what follows the last end token is read by nobody."""
        ends = self.text_ends(model, batch["text"])
        if ends is None:
            return batch
        length = STEP * (int(ends.max()) // STEP + 1)
        return batch if length >= batch["text"].shape[1] else batch | {LENGTH: torch.tensor(length)}

    @abstractmethod
    def text_ends(self, model: nn.Module, ids: Tensor) -> Tensor | None:
        """Positions [B] of the tokens that are read out of texts [B, T], where attention is causal; None elsewhere."""

    @abstractmethod
    def image_tower(self, model: nn.Module, batch: Batch) -> Tower:
        """The image stream; of the batch only "image" is read."""

    @abstractmethod
    def text_tower(self, model: nn.Module, batch: Batch) -> Tower:
        """The text stream; of the batch "text" and perhaps "attention_mask" and "special" are read."""

    @abstractmethod
    def pair_logits(self, model: nn.Module, cosine: Tensor) -> Tensor:
        """The model's own logits of cosines of any shape: temperature, and bias where it has one."""

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


def text_length(batch: Batch) -> int:
    """Tokens of each text that are read."""
    return int(batch[LENGTH]) if LENGTH in batch else batch["text"].shape[1]


def end_positions(ids: Tensor, pooling: str, end_id: int | None) -> Tensor | None:
    """Positions [B] of the end tokens of texts [B, T]: of the largest id ("argmax") or the first ``end_id`` ("eos")."""
    if pooling == "argmax":
        return ids.argmax(dim=1)
    return torch.eq(ids, -1 if end_id is None else end_id).int().argmax(dim=1) if pooling == "eos" else None


def text_stream(
    model: nn.Module,
    layers: tuple[str, ...],
    states: str,
    batch: Batch,
    pooling: str,
    end_id: int | None,
    pad_id: int | None,
) -> Tower:
    """Describe a text stream.

    Args:
        model: start rows have the type of its parameters.
        layers: attention modules, first to last.
        states: last block.
        batch: holds "text" ids [B, T], perhaps "special" [B, T], and what :meth:`PairAdapter.shortened` added.
        pooling: "argmax" (end token is the largest id), "eos" (first ``end_id``), "first" or "last".
        end_id: id of the end token, for "eos".
        pad_id: id of the padding, for "first" and "last" when no tokenizer tells the special tokens.
    """
    ids = batch["text"]
    count, tokens = ids.shape
    like = next(model.parameters())
    ends = end_positions(ids, pooling, end_id)
    if ends is not None:
        length = text_length(batch)
        start, content = one_hot_row(ends, length, like), content_before_end(ends, length)
        return Tower("text", layers, states, start, content, beyond=tokens - length)
    position = 0 if pooling == "first" else tokens - 1
    hidden = batch.get("special", ids == (-1 if pad_id is None else pad_id))
    return Tower("text", layers, states, token_row(count, tokens, (position,), like), ~hidden)
