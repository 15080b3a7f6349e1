"""One tower of an image-text model as a model of its own: unit vectors out of pictures, or out of texts."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from torch import Tensor, nn

from engine.models.adapter import Adapter, Batch, Inputs, Tower
from engine.models.pairs import PairAdapter
from engine.models.tokens import TextTokenizer
from engine.targets import Output


class Side(Adapter):
    """What both sides share. The output holds ``embeds`` [B, D]; its score is that with a given vector (``Toward``)."""

    task = "pair"

    def __init__(self, pairs: PairAdapter) -> None:
        self.pairs = pairs
        self.family, self.library = pairs.family, pairs.library  # type: ignore[misc]
        self.description, self.example = pairs.description, pairs.example  # type: ignore[misc]

    def family_of(self, model: nn.Module) -> str:
        """That of the whole model."""
        return self.pairs.family_of(model)

    def recognises(self, model: nn.Module) -> bool:
        """As the whole model."""
        return self.pairs.recognises(model)

    def check(self, model: nn.Module) -> None:
        """As the whole model."""
        self.pairs.check(model)

    def layers(self, model: nn.Module) -> dict[str, int]:
        """Blocks of this tower."""
        return {name: depth for name, depth in self.pairs.layers(model).items() if name in self.modalities}

    def scope(self, model: nn.Module) -> AbstractContextManager[None]:
        """As the whole model."""
        return self.pairs.scope(model)

    def text_limits(self, model: nn.Module) -> tuple[int, int]:
        """As the whole model."""
        return self.pairs.text_limits(model)

    def default_start_layer(self, model: nn.Module) -> int:
        """As the whole model."""
        return self.pairs.default_start_layer(model)


class ImageSide(Side):
    """The image tower alone."""

    modalities = ("image",)

    def prepare(self, model: nn.Module, inputs: Inputs, tokenizer: TextTokenizer | None) -> Batch:
        """Images [B, 3, H, W]."""
        return self.pairs.prepare_images(model, inputs)

    def towers(self, model: nn.Module, batch: Batch) -> tuple[Tower, ...]:
        """The image stream."""
        return (self.pairs.image_tower(model, batch),)

    def forward(self, model: nn.Module, batch: Batch) -> Output:
        """Unit vectors of the pictures."""
        return _embedded(self.pairs.embed_images(model, batch))


class TextSide(Side):
    """The text tower alone."""

    modalities = ("text",)

    def prepare(self, model: nn.Module, inputs: Inputs, tokenizer: TextTokenizer | None) -> Batch:
        """``{"text": texts or ids [B, T]}``."""
        given: Any = inputs
        return self.pairs.prepare_texts(model, given["text"], tokenizer)

    def shortened(self, model: nn.Module, batch: Batch) -> Batch:
        """As the whole model."""
        return self.pairs.shortened(model, batch)

    def towers(self, model: nn.Module, batch: Batch) -> tuple[Tower, ...]:
        """The text stream."""
        return (self.pairs.text_tower(model, batch),)

    def forward(self, model: nn.Module, batch: Batch) -> Output:
        """Unit vectors of the texts."""
        return _embedded(self.pairs.embed_texts(model, batch))


def _embedded(vectors: Tensor) -> Output:
    """There is no logit without the other side."""
    return Output(logits=vectors.new_zeros(len(vectors)), embeds=vectors)
