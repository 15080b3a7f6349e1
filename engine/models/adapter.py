"""What the engine needs to know about a model: its token streams, where they are read out, and how to run it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from engine.models.tokens import TextTokenizer
from engine.targets import Output

Inputs = Tensor | Mapping[str, Any]
Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Tower:
    """One token stream with self-attention, for a given batch.

    Attributes:
        modality: "image" or "text".
        layers: paths of the modules that own the self-attentions, first to last.
        states: path of the last block; its output is the token states [B, N, D].
        start: row that reads the answer out, [B, N] (over the latents, [B, L], when there is a pool).
        content: tokens that are shown, [B, N] boolean (no CLS, registers, start, end or padding tokens).
        prefix: leading tokens that are dropped from the relevancy (image towers).
        grid: rows and columns of the shown image tokens.
        pool: path of an attention pool that follows the layers, its queries being latents.
        pool_offset: first token that the pool reads.
    """

    modality: str
    layers: tuple[str, ...]
    states: str
    start: Tensor
    content: Tensor
    prefix: int = 0
    grid: tuple[int, int] | None = None
    pool: str | None = None
    pool_offset: int = 0

    @property
    def tokens(self) -> int:
        """N, all tokens of the stream."""
        return self.content.shape[1]

    def padded(self, keys: Tensor) -> Tensor:
        """Bring a row over the keys of a pool, which may leave out the first tokens, to all tokens: [B, N]."""
        missing = self.tokens - keys.shape[-1]
        return F.pad(keys, (missing, 0)) if missing else keys


class Adapter(ABC):
    """Knowledge about one family of models. Stateless; never changes a model."""

    family: ClassVar[str]
    library: ClassVar[str]
    modalities: ClassVar[tuple[str, ...]] = ("image",)
    description: ClassVar[str]
    example: ClassVar[str]

    @abstractmethod
    def recognises(self, model: nn.Module) -> bool:
        """Tell whether the model belongs to this family."""

    @abstractmethod
    def check(self, model: nn.Module) -> None:
        """Raise UnsupportedModel, naming the part and the reason, when the model cannot be explained faithfully."""

    @abstractmethod
    def prepare(self, model: nn.Module, inputs: Inputs, tokenizer: TextTokenizer | None) -> Batch:
        """Bring inputs into the form that :meth:`forward` takes, on the model's device."""

    @abstractmethod
    def towers(self, model: nn.Module, batch: Batch) -> tuple[Tower, ...]:
        """Describe the token streams for this batch."""

    @abstractmethod
    def forward(self, model: nn.Module, batch: Batch) -> Output:
        """Run the unmodified model."""

    @abstractmethod
    def layers(self, model: nn.Module) -> dict[str, int]:
        """Return the number of self-attention layers per modality."""

    def scope(self, model: nn.Module) -> AbstractContextManager[None]:
        """Settings that the capture needs, put back on exit."""
        return nullcontext()

    def default_start_layer(self, model: nn.Module) -> int:
        """First explained layer unless the user says otherwise."""
        return 0
