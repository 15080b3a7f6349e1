"""One bad sample, one bad batch or too little memory must cost no more than they have to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine import EngineError, LoadedModel, load_model
from jobs.errors import JobError
from jobs.pipeline.explaining import Explaining, Outcome, Settings
from jobs.pipeline.loading import Batch, Loading, load
from jobs.pipeline.plan import Plan, Task
from jobs.pipeline.stages import held_back
from jobs.readers import read_dataset
from jobs.targets import Target

SAMPLES = 6


@pytest.fixture
def loaded(vit: str) -> LoadedModel:
    return load_model(vit)


def batch_of(marked: tuple[int, ...] = ()) -> Batch:
    """Six samples of noise; a marked one has 100 in its first pixel, for a hook to see."""
    images = torch.randn(SAMPLES, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    images[list(marked), 0, 0, 0] = 100
    sizes, views = np.full((SAMPLES, 2), 32, np.int32), np.zeros((SAMPLES, 4), np.float32)
    return Batch(Task(0, 0, SAMPLES, True), np.arange(SAMPLES), {"image": images}, sizes, views)


def explaining(loaded: LoadedModel, method: str = "gae") -> Explaining:
    labels = np.zeros(SAMPLES, np.int32)
    return Explaining(loaded, [Target("predicted")], Settings(method), texts=None, labels=labels)


@contextmanager
def hooked(loaded: LoadedModel, hook: Callable[[Any, tuple[torch.Tensor]], Any]) -> Iterator[list[int]]:
    """The real model with a hook before its forward pass; yields the batch sizes it was called with."""
    sizes: list[int] = []

    def counting(module: Any, inputs: tuple[torch.Tensor]) -> Any:
        sizes.append(len(inputs[0]))
        return hook(module, inputs)

    handle = loaded.model.register_forward_pre_hook(counting)
    try:
        yield sizes
    finally:
        handle.remove()


def explained(outcome: Outcome) -> list[int]:
    return sorted(int(i) for chunk in outcome.chunks for i in chunk.ids)


def scores(outcome: Outcome) -> np.ndarray:
    ids = np.concatenate([chunk.ids for chunk in outcome.chunks])
    return np.concatenate([chunk.results[0].score for chunk in outcome.chunks])[np.argsort(ids)]


def test_a_sample_that_makes_the_model_raise_is_found(loaded: LoadedModel) -> None:
    def refuse(_: Any, inputs: tuple[torch.Tensor]) -> None:
        if (inputs[0][:, 0, 0, 0] == 100).any():
            raise ValueError("cannot look\nat this")

    with hooked(loaded, refuse):
        outcome = explaining(loaded)(batch_of(marked=(1, 4)))
    assert explained(outcome) == [0, 2, 3, 5]
    assert outcome.failures == [(i, "the model failed (ValueError: cannot look at this)") for i in (1, 4)]


def test_a_sample_without_finite_relevancy_is_a_failure(loaded: LoadedModel) -> None:
    def spoil(_: Any, inputs: tuple[torch.Tensor]) -> torch.Tensor:
        return torch.where(inputs[0][:, :1, :1, :1] == 100, torch.nan, inputs[0])

    with hooked(loaded, spoil):
        outcome = explaining(loaded)(batch_of(marked=(2,)))
    assert explained(outcome) == [0, 1, 3, 4, 5]
    assert outcome.failures == [(2, "the relevancy is not finite (NaN or infinity)")]


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: not enough memory")]
)
def test_out_of_memory_halves_the_batch(loaded: LoadedModel, error: Exception) -> None:
    def refuse(_: Any, inputs: tuple[torch.Tensor]) -> None:
        if len(inputs[0]) > 2:
            raise error

    whole = scores(explaining(loaded)(batch_of()))
    with hooked(loaded, refuse) as sizes:
        explain = explaining(loaded)
        outcome = explain(batch_of())
        explain(batch_of())
    assert explained(outcome) == list(range(SAMPLES)) and not outcome.failures
    assert sizes == [6, 3, 1, 1, 1, 1, 1, 1] + [1] * 6  # what fitted once is kept
    assert np.allclose(scores(outcome), whole, atol=1e-4)


def test_not_even_one_sample_fits(loaded: LoadedModel) -> None:
    def refuse(_: Any, inputs: tuple[torch.Tensor]) -> None:
        raise MemoryError

    with hooked(loaded, refuse), pytest.raises(JobError, match="out of memory with a single sample"):
        explaining(loaded)(batch_of())


def test_a_model_that_can_never_be_explained_ends_the_run(loaded: LoadedModel) -> None:
    loaded.model.blocks[1].attn.forward = lambda x, **_: x  # type: ignore[method-assign] # attention that is none
    with pytest.raises(EngineError):
        explaining(loaded)(batch_of())


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_come_in_order_and_failures_as_data(photos: Path, loaded: LoadedModel, workers: int) -> None:
    dataset = read_dataset(photos)
    plan = Plan(len(dataset), 8)
    loading = Loading(dataset, loaded.preprocess, (4, 4), {3: "known before"})
    batches = list(load(loading, list(plan.tasks(3)), workers))
    assert [batch.task for batch in batches] == list(plan.tasks(3))
    assert [reason for batch in batches for _, reason in batch.failures] == ["known before", "not a picture"]
    assert sum(len(batch.ids) for batch in batches) == len(dataset) - 2


def test_a_transform_that_raises_costs_its_sample(photos: Path) -> None:
    class Picky:
        size = (32, 32)

        def __call__(self, picture: Any) -> torch.Tensor:
            raise ValueError("too small")

    loading = Loading(read_dataset(photos), Picky(), None, {})  # type: ignore[arg-type]
    batch = loading[Task(0, 0, 2, True)]
    assert batch.inputs == {} and len(batch.ids) == 0
    assert batch.failures[0] == (0, "preprocessing failed (ValueError: too small)")


def test_a_map_without_positive_relevancy_is_zero_not_a_failure(loaded: LoadedModel) -> None:
    with torch.no_grad():
        loaded.model.head.weight.zero_()  # no gradient at all
    outcome = explaining(loaded, "grad_cam")(batch_of())
    assert explained(outcome) == list(range(SAMPLES)) and not outcome.failures
    assert not outcome.chunks[0].results[0].relevancy["image"].any()


def test_batches_begun_before_the_last_one_is_finished_are_the_same(loaded: LoadedModel) -> None:
    def refuse(_: Any, inputs: tuple[torch.Tensor]) -> None:
        if (inputs[0][:, 0, 0, 0] == 100).any():
            raise ValueError("no")

    with hooked(loaded, refuse):
        explain = explaining(loaded)
        whole = [explain(batch_of()), explain(batch_of(marked=(3,)))]
        begun = [explain.begin(batch_of()), explain.begin(batch_of(marked=(3,)))]
        assert begun[0].samples == SAMPLES
        found = [explain.finish(one) for one in begun]
    for ours, wanted in zip(found, whole, strict=True):
        assert explained(ours) == explained(wanted) and ours.failures == wanted.failures
        np.testing.assert_array_equal(scores(ours), scores(wanted))
    assert explain.explained == 2 * (2 * SAMPLES - 1)


def test_an_error_that_comes_up_late_costs_its_sample_alone(loaded: LoadedModel) -> None:
    explain = explaining(loaded)
    begun = explain.begin(batch_of())
    (kept,) = begun.slices
    begun.slices = [replace(kept, explanations=[(Target("predicted"), None, None)])]  # type: ignore[list-item]
    outcome = explain.finish(begun)
    assert explained(outcome) == list(range(SAMPLES)) and not outcome.failures  # explained once more, one by one


def test_what_is_held_back_comes_in_order_and_before_an_error() -> None:
    def failing() -> Iterator[int]:
        yield from range(3)
        raise JobError("over")

    assert list(held_back(iter(range(4)), 0)) == list(held_back(iter(range(4)), 1)) == [0, 1, 2, 3]
    ahead: list[int] = []
    for item in held_back((ahead.append(n) or n for n in range(4)), 1):  # type: ignore[func-returns-value]
        assert ahead[-1] == min(item + 1, 3)
    taken = held_back(failing(), 1)
    assert [next(taken) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(JobError, match="over"):
        next(taken)
