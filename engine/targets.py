"""Explained scores: plain functions from a model's output to one number per sample."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from engine.errors import EngineError, UnknownName

CLIP_SCORE_WEIGHT = 2.5
"""CLIPScore = 2.5 * max(cos, 0): Hessel et al., EMNLP 2021."""


@dataclass(frozen=True)
class Output:
    """What a forward pass gave.

    Classifiers and question answering: ``logits`` [B, C]. Pairs: ``logits`` [B], the model's own pair logit, and
    ``cosine`` [B] where the score is one. Detectors: ``logits`` [B, Q, C + 1] (last column: no object), ``boxes``
    [B, Q, 4] as x0, y0, x1, y1 in fractions of the picture, and the ``grid`` (h, w) of image tokens. One side of an
    image-text model: its unit vectors ``embeds`` [B, D]; ``logits`` then says nothing.
    """

    logits: Tensor
    cosine: Tensor | None = None
    boxes: Tensor | None = None
    grid: tuple[int, int] | None = None
    embeds: Tensor | None = None


class Target(ABC):
    """A score to explain. ``name`` is stored with the result: relevancies depend on the scale of the score."""

    name: str

    @abstractmethod
    def score(self, output: Output) -> Tensor:
        """Return the score of each sample, [B]."""

    def indices(self, output: Output) -> Tensor | None:
        """Return the explained class of each sample, [B], or None when the target is not one class."""
        return None

    def queries(self, output: Output) -> Tensor | None:
        """Return the explained query of each sample, [B], for detectors."""
        return None


class _ClassTarget(Target):
    @abstractmethod
    def indices(self, output: Output) -> Tensor:
        """Return the explained class of each sample, [B]."""

    def score(self, output: Output) -> Tensor:
        """Logit (before any softmax) of the explained class."""
        logits = _class_logits(output, self.name)
        chosen, (low, high) = self.indices(output), self._bounds()
        if low < 0 or high >= logits.shape[1]:
            bad = low if low < 0 else high
            raise EngineError(f"target class {bad} is out of range: the model has {logits.shape[1]} classes")
        return logits.gather(1, chosen[:, None]).squeeze(1)

    def _bounds(self) -> tuple[int, int]:
        """The smallest and the largest class that was asked for, from what was given: asking a GPU would stop it."""
        return 0, 0


@dataclass(frozen=True)
class Predicted(_ClassTarget):
    """The class with the largest logit."""

    name: str = "predicted"

    def indices(self, output: Output) -> Tensor:
        """Arg-max class."""
        return _class_logits(output, self.name).argmax(dim=1)


@dataclass(frozen=True)
class Labels(_ClassTarget):
    """A given class per sample, [B]."""

    labels: Tensor
    name: str = "label"

    def indices(self, output: Output) -> Tensor:
        """The given classes."""
        if len(self.labels) != len(output.logits):
            raise EngineError(f"{len(self.labels)} target classes were given for {len(output.logits)} samples")
        return self.labels.to(output.logits.device, torch.long)

    def _bounds(self) -> tuple[int, int]:
        return int(self.labels.min()), int(self.labels.max())


@dataclass(frozen=True)
class Class(_ClassTarget):
    """One class for all samples."""

    index: int
    name: str = field(default="")

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", f"class:{self.index}")

    def indices(self, output: Output) -> Tensor:
        """The class, repeated."""
        return torch.full((len(output.logits),), self.index, device=output.logits.device)

    def _bounds(self) -> tuple[int, int]:
        return self.index, self.index


@dataclass(frozen=True)
class Contrast(Target):
    """Logit of one class minus that of another."""

    positive: int
    negative: int
    name: str = field(default="")

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", f"contrast:{self.positive},{self.negative}")

    def score(self, output: Output) -> Tensor:
        """Difference of the two logits."""
        return Class(self.positive).score(output) - Class(self.negative).score(output)


@dataclass(frozen=True)
class QueryClass(Target):
    """Logit of one class at one query of a detector, per sample.

    Attributes:
        query, classes: [B].
        confidence: probability of the class, [B].
        kept: samples [B] that have such a detection; the query of the others is arbitrary.
    """

    query: Tensor
    classes: Tensor
    name: str = "detection"
    confidence: Tensor | None = None
    kept: Tensor | None = None

    def score(self, output: Output) -> Tensor:
        """logits[b, query[b], classes[b]]."""
        if output.boxes is None:
            raise EngineError(f"target {self.name!r} needs a detector")
        rows = torch.arange(len(output.logits), device=output.logits.device)
        return output.logits[rows, self.query.to(rows.device), self.classes.to(rows.device)]

    def indices(self, output: Output) -> Tensor:
        """The classes."""
        return self.classes.to(output.logits.device)

    def queries(self, output: Output) -> Tensor:
        """The queries."""
        return self.query.to(output.logits.device)


@dataclass(frozen=True)
class ClipLogit(Target):
    """The model's own logit of each pair, temperature (and bias) included, as in the authors' notebook."""

    name: str = "clip-logit"

    def score(self, output: Output) -> Tensor:
        """Pair logit."""
        if output.logits.dim() != 1:
            _cosine(output, self.name)
        return output.logits


@dataclass(frozen=True)
class ClipScore(Target):
    """2.5 * max(cosine, 0) of each pair (Hessel et al., EMNLP 2021). Zero score, zero gradient, zero relevancy."""

    name: str = "clip-score"

    def score(self, output: Output) -> Tensor:
        """CLIPScore."""
        return clip_score(_cosine(output, self.name))


def clip_score(cosine: Tensor) -> Tensor:
    """2.5 * max(cosine, 0), elementwise."""
    return CLIP_SCORE_WEIGHT * cosine.clamp(min=0)


@dataclass(frozen=True)
class Toward(Target):
    """Score of one side of an image-text model with given unit vectors of the other side, which stay as they are.

    Attributes:
        vectors: [B, D].
        measure: cosines [B] -> scores [B]; ``clip_score``, or the model's logit.
    """

    vectors: Tensor
    measure: Callable[[Tensor], Tensor] = clip_score
    name: str = "clip-score"

    def score(self, output: Output) -> Tensor:
        """The measure of the cosine."""
        if output.embeds is None:
            raise EngineError(f"target {self.name!r} toward given vectors needs one side of an image-text model")
        return self.measure((output.embeds * self.vectors).sum(dim=-1))


@dataclass(frozen=True)
class Change(Target):
    """By how much one score lies above another of the same model."""

    more: Target
    less: Target
    name: str = "change"

    def score(self, output: Output) -> Tensor:
        """Their difference."""
        return self.more.score(output) - self.less.score(output)


TargetLike = Target | str | int | Sequence[int] | Tensor | None


def as_target(target: TargetLike, pairs: bool, class_names: Sequence[str] | None = None) -> Target:
    """Turn what ``explain`` accepts into a target.

    Args:
        target: None (predicted class; pair logit for image-text models), a class index, one index per sample,
            a name ('predicted', 'answer', 'clip-logit', 'clip-score', 'class:NAME', 'contrast:A,B'), or a target.
        pairs: whether the model scores image-text pairs.
        class_names: names that 'class:' and 'contrast:' may use instead of indices.

    Raises:
        UnknownName: no such target or class; the message suggests the nearest.
    """
    if target is None:
        return ClipLogit() if pairs else Predicted()
    if isinstance(target, Target):
        return target
    if isinstance(target, str):
        return _named(target, class_names)
    if isinstance(target, int):
        return Class(target)
    return Labels(torch.as_tensor(target).reshape(-1))


TARGET_NAMES = ("predicted", "label", "both", "answer", "class:NAME", "contrast:A,B", "clip-logit", "clip-score")


def _named(name: str, class_names: Sequence[str] | None) -> Target:
    plain: dict[str, type[Target]] = {"predicted": Predicted, "clip-logit": ClipLogit, "clip-score": ClipScore}
    if name in plain:
        return plain[name]()
    if name == "answer":
        return Predicted(name)
    kind, _, rest = name.partition(":")
    if kind == "class" and rest:
        return Class(class_index(rest, class_names), name)
    if kind == "contrast" and "," in rest:
        first, second = _split_pair(rest, class_names)
        return Contrast(first, second, name)
    raise UnknownName("target", name, TARGET_NAMES)


def _split_pair(text: str, class_names: Sequence[str] | None) -> tuple[int, int]:
    """Class names may contain commas: try every comma before giving up."""
    parts = text.split(",")
    problem: EngineError | None = None
    for cut in range(1, len(parts)):
        try:
            return (
                class_index(",".join(parts[:cut]).strip(), class_names),
                class_index(",".join(parts[cut:]).strip(), class_names),
            )
        except EngineError as error:
            problem = error
    raise problem or UnknownName("target", f"contrast:{text}", TARGET_NAMES)


def class_index(name: str, class_names: Sequence[str] | None) -> int:
    """Return the index of a class given by name, or by number when no class has that name."""
    if class_names is not None and name in class_names:
        return list(class_names).index(name)
    if name.isdigit():
        return int(name)
    if class_names is None:
        raise EngineError(f"class {name!r}: the model carries no class names; give the class index instead")
    raise UnknownName("class", name, class_names)


def _class_logits(output: Output, name: str) -> Tensor:
    if output.boxes is not None:
        raise EngineError(f"target {name!r} needs a classifier; a detector is explained by explain_detections")
    if output.logits.dim() != 2:
        raise EngineError(f"target {name!r} needs a classifier; for image-text pairs use 'clip-logit' or 'clip-score'")
    return output.logits


def _cosine(output: Output, name: str) -> Tensor:
    if output.cosine is None:
        raise EngineError(f"target {name!r} needs an image-text model; for classifiers use 'predicted' or a class")
    return output.cosine
