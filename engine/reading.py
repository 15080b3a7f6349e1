"""How an answer is read from attention maps: the part of an explanation that differs between kinds of model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.capture.kernel import Fold
from engine.patches import Patches, top_patches
from engine.targets import Output, Target

Maps = Mapping[str, Tensor]
"""Site -> A or dA, [B, H, s, t]."""
MIDDLE = "middle"
"""Name of the token states half way up the image stream."""


@dataclass(frozen=True)
class Part:
    """Relevancy of one modality.

    Attributes:
        modality: "image" or "text".
        relevancy: [B, T], zero for tokens that are not shown.
        features: relevancy-weighted mean of the last token states, [B, D].
        words: text tokens whose piece is shown, [B, T] boolean.
        patches: the most relevant image tokens, where they were asked for.
    """

    modality: str
    relevancy: Tensor
    features: Tensor
    words: Tensor
    patches: Patches | None = None

    def followed_by(self, tokens: int) -> Part:
        """The same with so many tokens at the end that are not shown."""
        if not tokens:
            return self
        return replace(self, relevancy=F.pad(self.relevancy, (0, tokens)), words=F.pad(self.words, (0, tokens)))


@dataclass(frozen=True)
class Answer:
    """What was read: parts, whole matrices where they were formed, and how often 0/0 was met (models with several
    streams), [B]."""

    parts: tuple[Part, ...]
    matrices: dict[tuple[str, str], Tensor] = field(default_factory=dict)
    zero_rows: Tensor | None = None


class ReadingWalk(ABC):
    """State of one target while the attention maps of a model are visited, last to first."""

    @abstractmethod
    def visit(self, site: str) -> Fold | None:
        """Return the function that takes in the blocks of this map, or None when it is not of interest."""

    @abstractmethod
    def finish(self, site: str) -> None:
        """Close this map: all its blocks have been seen."""

    @abstractmethod
    def answer(self, states: Maps) -> Answer:
        """Return the answer; ``states`` are the token states [B, N, D] per name of :attr:`Reading.states`."""


class Reading(ABC):
    """Reads one batch of a model with one method.

    Attributes:
        sites: all attention maps that the model must show.
        explained: the sites that the method reads.
        states: name -> (module path, element of its output) of the last token states; :data:`MIDDLE`, if there, of
            those that patches are taken from.
        patches: how many of the most relevant image tokens are wanted.
    """

    sites: tuple[str, ...]
    explained: tuple[str, ...]
    states: dict[str, tuple[str, int]]
    patches: int = 0

    @abstractmethod
    def ready(self, output: Output, shapes: Mapping[str, torch.Size]) -> None:
        """Take in what is known once the model has run; raise CaptureError when the maps have unexpected sizes."""

    @abstractmethod
    def walk(self, target: Target, output: Output) -> ReadingWalk:
        """Start a walk for a target."""

    @abstractmethod
    def recorded(
        self, target: Target, output: Output, attention: Maps, gradient: Maps | None, states: Maps, matrices: bool
    ) -> Answer:
        """Read recorded maps; ``matrices``: also return whole R."""

    @abstractmethod
    def constant(self, rows: Mapping[str, Tensor], states: Maps) -> Answer:
        """Answer with given rows per modality, [B, T] over the shown range of tokens."""

    @abstractmethod
    def lengths(self) -> dict[str, int]:
        """Number of tokens T per modality of the answer."""

    @property
    def grid(self) -> tuple[int, int] | None:
        """Rows and columns of image tokens."""
        return None

    @property
    def grids(self) -> Tensor | None:
        """Rows and columns that are not padding, [B, 2], where pictures of a batch were padded."""
        return None


def make_part(
    modality: str,
    row: Tensor,
    content: Tensor,
    words: Tensor | None,
    states: Tensor,
    middle: Tensor | None = None,
    patches: int = 0,
) -> Part:
    """Mask a row [B, T] to what is shown and take the mean of its token states [B, T, D].

    Of images, also take ``patches`` tokens from the states ``middle`` [B, T, D] (default: ``states``).
    """
    shown = torch.where(content, row, torch.zeros_like(row)).detach()
    found = None
    if patches and modality == "image":
        found = top_patches(shown, content, states if middle is None else middle, patches)
    return Part(modality, shown, weighted_mean(states, shown), content if words is None else words, found)


def weighted_mean(states: Tensor, weights: Tensor) -> Tensor:
    """Mean of token states [B, N, D] by the positive part of weights [B, N]; zero where there is none."""
    positive = weights.nan_to_num(0.0).clamp(min=0).to(states.dtype)
    share = positive / positive.sum(dim=1, keepdim=True).clamp(min=torch.finfo(states.dtype).tiny)
    return torch.einsum("bn,bnd->bd", share, states)
