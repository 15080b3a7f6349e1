"""Sanity checks: do the maps change when the model's weights, or the labels it was trained on, are random?

Adebayo et al., *Sanity Checks for Saliency Maps*, NeurIPS 2018: an explanation that stays the same when what the model
has learned is destroyed cannot tell what the model has learned.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from engine.faithfulness.similarity import Maps, Similarity, similarity_of, told_of
from engine.faithfulness.stages import Stage

LIMIT = 0.5
"""Rank correlation above which maps count as unchanged.

With it two tokens of a sample come in the same order in both maps about two times out of three ((1 + tau) / 2 with
tau = 2/pi asin(2 sin(pi/6 rho)), that of a normal pair), though the second model has learned nothing. Maps without
anything in common have 0, so the limit leaves room for what input and architecture alone decide: where tokens stand, a
causal mask, a dark border.
"""

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class StageResult:
    """How alike the maps still are to the first ones once this stage, and all before it, has random weights."""

    name: str
    similarity: Similarity


@contextmanager
def cascade(model: nn.Module, stages: Sequence[Stage], seed: int = 0) -> Iterator[Iterator[str]]:
    """Make the weights of a model random, stage after stage; on leaving, all are exactly what they were.

    ``with cascade(model, stages) as steps: for name in steps: ...``: the body of the loop sees the model with this
    stage and all before it random. The weights themselves are kept aside and put back, the same memory, also after an
    exception; what is random lies in memory of its own.

    A module without parts of its own that has ``reset_parameters`` is reset by it; everything else is drawn from a
    normal distribution with the mean and the spread that the weights had. A family's ``_init_weights`` is not used:
    some set weights to zero (the norms of Swin V2, new heads), which would cut the attention off instead of making it
    random. Weights that are all equal stay (a scale, a zero bias); weights that stages share are drawn once.

    Args:
        model: any module; its mode is left alone.
        stages: :func:`engine.faithfulness.stages.stages_of`.
        seed: the same seed gives the same weights on the same kind of device; the global random state is left alone.
    """
    kept = [(tensor, tensor.data) for tensor in (*model.parameters(), *model.buffers())]
    steps = _walk(model, stages, seed)
    try:
        yield steps
    finally:
        steps.close()  # a step taken later would change the model again
        for tensor, data in kept:
            tensor.data = data


def cascade_similarity(
    model: nn.Module,
    stages: Sequence[Stage],
    explain: Callable[[], Mapping[Key, Maps]],
    *,
    valid: Mapping[Key, Maps] | None = None,
    measure: str = "spearman",
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> dict[Key, list[StageResult]]:
    """Explain the same samples with the weights as they are, and again after each stage of a cascade.

    Args:
        model: whose weights are made random and put back.
        stages: see :func:`cascade`.
        explain: maps [B, N] of the samples, by method and modality, say; called once and once per stage.
        valid: tokens that count, [B, N] boolean, by the same keys; by default those that some stage gives a value other
            than 0 (:func:`engine.faithfulness.similarity.told_of`). Padding and special tokens of texts, which are 0
            whatever the weights are, would make any two maps look alike.
        measure: of :mod:`engine.faithfulness.similarity`.
        seed: of the weights.
        progress: called with the name of each stage once it is explained.
    """
    explained = [("", explain())]
    with cascade(model, stages, seed) as steps:
        for name in steps:
            explained.append((name, explain()))
            if progress is not None:
                progress(name)
    found: dict[Key, list[StageResult]] = {}
    for key, first in explained[0][1].items():
        shown = told_of([maps[key] for _, maps in explained]) if valid is None else valid.get(key)
        found[key] = [
            StageResult(name, similarity_of(first, maps[key], shown, measure=measure, seed=seed))
            for name, maps in explained[1:]
        ]
    return found


def reacts(stages: Sequence[StageResult]) -> bool:
    """Whether maps react to the weights.

    They do not when, with everything random, the interval of their rank correlation with the first maps lies above
    :data:`LIMIT` as a whole: a mean that is high by chance, over few samples, is not enough. Stages before the last are
    not looked at: maps may well stay as they are while only the head is random. Without a usable pair of maps there
    is no correlation and nothing speaks against them; ``similarity.skipped`` says so.
    """
    return not stages or not unchanged(stages[-1].similarity)


def unchanged(similarity: Similarity) -> bool:
    """Whether the interval of a rank correlation lies above :data:`LIMIT`; False where there is none."""
    return similarity.low > LIMIT


def label_randomisation(
    maps_true: Maps, maps_permuted: Maps, valid: Maps | None = None, *, measure: str = "spearman", seed: int = 0
) -> Similarity:
    """Compare the maps of a model with those of one trained on permuted labels (the paper's data randomisation test).

    Nothing is trained here: both models explain the same samples and, for a fair comparison, the same class of each.
    :func:`unchanged` judges the result as it does that of a cascade.

    Args:
        maps_true: maps of the model, [B, N].
        maps_permuted: maps of the model that was trained on permuted labels, [B, N].
        valid, measure, seed: as :func:`engine.faithfulness.similarity.similarity_of`.
    """
    return similarity_of(maps_true, maps_permuted, valid, measure=measure, seed=seed)


def _walk(model: nn.Module, stages: Sequence[Stage], seed: int) -> Any:
    """Generator of the names of the stages, each once its weights are random."""
    done: set[int] = set()
    devices = sorted({t.device.index or 0 for t in model.parameters() if t.device.type == "cuda"})
    for number, stage in enumerate(stages):
        with torch.no_grad(), torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed * 1_000_003 + number)
            for path in stage.modules:
                _randomise(model.get_submodule(path), done)
        yield stage.name


def _randomise(module: nn.Module, done: set[int]) -> None:
    """Draw the module's own weights anew, in memory of their own."""
    weights = {name: p for name, p in module._parameters.items() if p is not None and id(p) not in done}
    buffers = [b for b in module._buffers.values() if b is not None and id(b) not in done]
    done.update(id(tensor) for tensor in (*weights.values(), *buffers))
    before = {name: weight.data for name, weight in weights.items()}
    for tensor in (*weights.values(), *buffers):
        tensor.data = tensor.data.clone()
    reset = getattr(module, "reset_parameters", None)
    if callable(reset) and len(weights) == len(_own(module)) and not any(module.children()):
        reset()
    for name, weight in weights.items():
        if weight.is_floating_point() and torch.equal(weight.data, before[name]):
            weight.data = _redrawn(before[name])


def _own(module: nn.Module) -> list[Tensor]:
    return [p for p in module._parameters.values() if p is not None]


def _redrawn(weight: Tensor) -> Tensor:
    """Normal values with the mean and the spread of these."""
    wide = weight.float()
    drawn = wide.mean() + wide.std(correction=0) * torch.randn_like(wide)
    return drawn.to(weight.dtype)
