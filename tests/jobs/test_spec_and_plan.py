"""The same choices lead to the same run; the parts of a run cover every sample once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from jobs.errors import JobError
from jobs.pipeline.plan import Plan
from jobs.pipeline.sizing import batch_for_shared_memory, workers_for_shared_memory
from jobs.spec import PATCHES, RunSpec, identity, run_id

SPEC = RunSpec(data="/data/photos", model="timm:vit_base_patch16_224")


def the_id(spec: RunSpec = SPEC, fingerprint: str = "f", start_layer: int = 0) -> str:
    return run_id(
        spec, identity(spec, fingerprint=fingerprint, target=spec.target or "predicted", start_layer=start_layer)
    )


def test_the_id_is_readable_and_stable() -> None:
    assert the_id().startswith("photos-vit_base_patch16_224-gae-") and the_id() == the_id()
    assert the_id(replace(SPEC, name="mine")) == "mine"


@pytest.mark.parametrize(
    "change", [{"workers": 3}, {"batch_size": 2}, {"device": "cpu"}, {"store": "x"}, {"part_size": 8}]
)
def test_how_and_where_do_not_matter(change: dict[str, object]) -> None:
    assert the_id(replace(SPEC, **change)) == the_id()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"model": "timm:other"},
        {"method": "rollout"},
        {"target": "label"},
        {"precision": "bf16"},
        {"precision": "fp16"},
        {"limit": 5},
        {"patches": 0},
    ],
)
def test_whatever_changes_results_changes_the_id(change: dict[str, object]) -> None:
    assert the_id(replace(SPEC, **change)) != the_id()  # type: ignore[arg-type]


def test_the_usual_number_of_patches_is_no_part_of_the_id() -> None:
    """Runs that were begun before there were any keep their ids."""
    chosen = identity(SPEC, fingerprint="f", target="predicted", start_layer=0)
    assert SPEC.patches == PATCHES and "patches" not in chosen
    assert identity(replace(SPEC, patches=3), fingerprint="f", target="predicted", start_layer=0)["patches"] == 3


def test_data_layer_and_weights_change_the_id(tmp_path: Path) -> None:
    weights = tmp_path / "w.pt"
    weights.write_bytes(b"1")
    with_weights = replace(SPEC, checkpoint=str(weights))
    first = the_id(with_weights)
    weights.write_bytes(b"2")
    assert len({the_id(), the_id(fingerprint="g"), the_id(start_layer=3), first, the_id(with_weights)}) == 5


def test_a_local_model_folder_counts_by_content(tmp_path: Path) -> None:
    for folder in ("one/vit", "two/vit"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "model.safetensors").write_bytes(b"same")
    ids = {the_id(replace(SPEC, model=f"timm:local-dir:{tmp_path}/{name}/vit")) for name in ("one", "two")}
    assert len(ids) == 1
    (tmp_path / "two/vit/model.safetensors").write_bytes(b"other")
    assert the_id(replace(SPEC, model=f"timm:local-dir:{tmp_path}/two/vit")) not in ids


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"limit": 0}, "--limit 0: must be at least 1"),
        ({"batch_size": -1}, "--batch-size -1"),
        ({"workers": -1}, "--workers -1: must be at least 0"),
        ({"patches": -1}, "--patches -1: must be at least 0"),
        ({"precision": "fp61"}, "unknown precision 'fp61'; did you mean fp16?"),
        ({"ray_address": "auto"}, "--ray-address and --ray-workers are for --launcher ray"),
        ({"launcher": "slurm"}, "unknown launcher 'slurm'; there is local, ray"),
        ({"name": "a/b"}, "--name 'a/b'"),
        ({"checkpoint": "/none.pt"}, "--checkpoint /none.pt: no such file"),
    ],
)
def test_impossible_options(change: dict[str, object], message: str) -> None:
    with pytest.raises(JobError) as caught:
        replace(SPEC, **change).checked()  # type: ignore[arg-type]
    assert message in str(caught.value)


@pytest.mark.parametrize(("samples", "part_size", "batch"), [(1, 1, 1), (10, 4, 3), (8, 4, 4), (7, 100, 64)])
def test_batches_cover_every_sample_once_within_their_part(samples: int, part_size: int, batch: int) -> None:
    plan = Plan(samples, part_size)
    tasks = list(plan.tasks(batch))
    assert [i for task in tasks for i in range(task.start, task.stop)] == list(range(samples))
    assert all(task.start // part_size == (task.stop - 1) // part_size == task.part for task in tasks)
    assert [task.part for task in tasks if task.last] == list(range(plan.parts))


def test_finished_parts_are_left_out() -> None:
    plan = Plan(10, 4, frozenset({0, 2}))
    assert plan.pending == [1] and [(t.start, t.stop) for t in plan.tasks(10)] == [(4, 8)]
    assert plan.samples_in(plan.done) == 6


def test_workers_are_fewer_when_shared_memory_is_small() -> None:
    assert workers_for_shared_memory(8, 1 << 60) == 1
    assert workers_for_shared_memory(2, 1) == 2
    assert batch_for_shared_memory(256, 1 << 60) == 1 and batch_for_shared_memory(256, 1) == 256


def test_a_plan_of_one_part_has_its_batches_alone() -> None:
    plan = Plan(samples=10, part_size=4)
    assert [(task.start, task.stop, task.last) for task in plan.only(1).tasks(3)] == [(4, 7, False), (7, 8, True)]
    assert plan.only(2).pending == [2] and plan.pending == [0, 1, 2]
