"""Methods that compute token relevances themselves instead of reading attention maps."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from engine.capture.interceptor import path_of
from engine.errors import EngineError, UnsupportedModel
from engine.methods.method import Method
from engine.models.adapter import Adapter, Batch, Tower
from engine.models.relation import Steps
from engine.targets import Output, Target


@dataclass(frozen=True)
class Subject:
    """What is to be explained.

    Attributes:
        module, adapter, batch: the model, its family, prepared inputs.
        sites: all attention sites.
        start_layer: first layer that takes part.
        towers: the streams of models whose streams do not look at each other, else empty.
        steps: the steps between streams of the others, else empty.
        output: what the model returned for the batch.
        lengths: number of tokens of the answer, per modality.
    """

    module: nn.Module
    adapter: Adapter
    batch: Batch
    sites: tuple[str, ...]
    start_layer: int
    towers: tuple[Tower, ...]
    steps: Steps
    output: Output
    lengths: dict[str, int]

    def blocks(self) -> dict[str, str]:
        """Per stream, the path of the block that holds its first explained attention."""
        if self.towers:
            return {t.modality: block_of(t.layers[t.first_layer(self.start_layer)]) for t in self.towers}
        found: dict[str, str] = {}
        for step in (step for group in self.steps for step in group if step.is_self):
            if step.query in ("image", "text"):
                found.setdefault(step.query, block_of(step.site))
        for stream, path in found.items():
            if any(step.query != stream and block_of(step.site) == path for group in self.steps for step in group):
                raise UnsupportedModel(
                    f"{self.name}: block {path!r} holds two streams; the {stream} has no block of its own"
                )
        return found

    def ranges(self, stream: str) -> dict[str, tuple[int, int | None]]:
        """Token range of each modality that a stream holds."""
        tower = next((t for t in self.towers if t.modality == stream), None)
        return {stream: (-self.lengths[stream], None)} if tower is None else dict(tower.ranges)

    @property
    def name(self) -> str:
        """Class of the model."""
        return type(self.module).__name__


@dataclass(frozen=True)
class Direct:
    """Relevance of tokens per modality, [B, T] over the shown range, and of pixels [B, H, W] where they were asked."""

    tokens: dict[str, Tensor]
    pixels: Tensor | None = None


class DirectMethod(Method):
    """A method with a way of its own through the model."""

    engines = ("record",)

    @abstractmethod
    def relevances(self, subject: Subject, targets: Sequence[Target]) -> list[Direct]:
        """Explain every target.

        Raises:
            EngineError: the method cannot be done faithfully for this model; the message says why.
        """


def block_of(site: str) -> str:
    """Path of the block that an attention belongs to: up to the last number in the path."""
    found = re.match(r"^(.*\.\d+)(\.|$)", path_of(site))
    if found is None:
        raise EngineError(f"attention {site!r} is not inside a numbered block")
    return found.group(1)
