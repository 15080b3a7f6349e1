"""One generated dataset with its trained model, ready to be audited."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.spurious import pictures, words
from benchmarks.spurious.backbone import ensure_backbone
from benchmarks.spurious.plant import Planted, Scenes, plant
from benchmarks.spurious.pool import AUDIT, TRAIN, Pool, load_pool
from benchmarks.spurious.reliance import Reliance, measure_reliance
from benchmarks.spurious.settings import DatasetSpec
from benchmarks.spurious.subject import Subject, Truth, make_subject, truth_of
from engine import LoadedModel

AUDITED = 150
"""Audited samples per class."""


@dataclass(frozen=True)
class Pools:
    """Scenes to train on and scenes to audit."""

    train: Pool
    audit: Pool


@dataclass(frozen=True)
class Case:
    """The audited dataset, its cue-free twin with the same model, the truth, what the model relies on, and seconds."""

    spec: DatasetSpec
    subject: Subject
    twin: Subject
    truth: Truth
    reliances: tuple[Reliance, ...]
    seconds: dict[str, float] = field(default_factory=dict)


def load_pools(cache: Path, workers: int = 1, train: int = TRAIN, audit: int = AUDIT) -> Pools:
    """Both pools from the cache, with so many scenes per class."""
    return Pools(load_pool("train", train, cache, workers), load_pool("audit", audit, cache, workers))


def _choose(spec: DatasetSpec, pool: Pool, per_class: int | None, seed: int) -> np.ndarray:
    """Places in the pool of `per_class` (all without) scenes of each of the dataset's classes, in the pool's order."""
    rng = np.random.default_rng((spec.seed, seed))
    return np.sort(np.concatenate([rng.permutation(pool.of_class(name))[:per_class] for name in spec.classes]))


def _scenes(spec: DatasetSpec, pool: Pool, pools: Pools, chosen: np.ndarray) -> Scenes:
    if spec.modality == "text":
        return words.word_scenes(spec, pool, chosen)
    return pictures.picture_scenes(spec, pool, pools.train, chosen)


def _train(spec: DatasetSpec, pools: Pools, cache: Path, folder: Path) -> None:
    """Train the dataset's model into a folder."""
    chosen = _choose(spec, pools.train, None, 1)
    planted: Planted = plant(_scenes(spec, pools.train, pools, chosen), spec.cues, (spec.seed, 2))
    if spec.modality == "text":
        words.train_words(spec, planted, words.vocabulary(pools.train), folder, words.RECIPE)
    else:
        pictures.train_pictures(spec, planted, ensure_backbone(cache, pools.train), folder, pictures.RECIPE)


def trained_model(spec: DatasetSpec, pools: Pools, cache: Path) -> LoadedModel:
    """The model from the cache, or trained and put there."""
    folder = cache / "models" / f"{spec.number:03d}-{spec.digest()}-{len(pools.train.labels)}"
    if not folder.exists():
        half = folder.with_suffix(".half")
        shutil.rmtree(half, ignore_errors=True)
        _train(spec, pools, cache, half)
        half.rename(folder)
    return (words.load_words_model if spec.modality == "text" else pictures.load_pictures_model)(folder)


def build_case(
    spec: DatasetSpec, pools: Pools, cache: Path, clock: Callable[[], float] = time.perf_counter, audited: int = AUDITED
) -> Case:
    """Make the dataset, train its model, run it over the audited samples and their twins, test every cue."""
    start = clock()
    loaded = trained_model(spec, pools, cache)
    trained = clock()
    scenes = _scenes(spec, pools.audit, pools, _choose(spec, pools.audit, audited, 3))
    planted = plant(scenes, spec.cues, (spec.seed, 4))
    subject = make_subject(loaded, spec.classes, planted.samples, scenes.labels)
    twin = make_subject(loaded, spec.classes, scenes.samples, scenes.labels)
    answered = clock()
    reliances = tuple(measure_reliance(twin, scenes, k, c.class_index, spec.seed) for k, c in enumerate(spec.cues))
    seconds = {"train": trained - start, "answer": answered - trained, "reliance": clock() - answered}
    return Case(spec, subject, twin, truth_of(planted, spec.cues), reliances, seconds)
