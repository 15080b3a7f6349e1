"""Cue-free scenes, painted once and kept: what all generated datasets are made of."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from benchmarks.spurious.settings import GENERATOR
from jobs.demo.dataset import over_workers
from jobs.demo.examples import INPUT
from jobs.demo.objects import CLASSES
from jobs.demo.picture import paint
from jobs.demo.plan import Plan

SEED = 31
TRAIN, AUDIT = 420, 200
"""Scenes per class to train on and to audit."""
FIRST = {"train": 20_000_000, "audit": 30_000_000}
"""Scene numbers far from those of the demo's splits, whose weights the models start from."""
POOR = 0.6
"""Share of poor photographs: blurred, pale and noisy. Where subjects are always clear, no model needs a cue."""


@dataclass(frozen=True)
class Pool:
    """N scenes; classes take turns.

    `images` [N,96,96,3] uint8, `masks` [N,96,96] bool (the subject), `labels` [N] int64 (index into
    the demo's CLASSES), `texts` [N] captions.
    """

    images: np.ndarray
    masks: np.ndarray
    labels: np.ndarray
    texts: np.ndarray

    def of_class(self, name: str) -> np.ndarray:
        """Indices of a class's scenes."""
        return np.flatnonzero(self.labels == CLASSES.index(name))


def _shrink(image: np.ndarray, how: Image.Resampling) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((INPUT, INPUT), how))


def _photograph(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What a bad camera makes of a picture [96,96,3] uint8."""
    if rng.random() >= POOR:
        return image
    soft = np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(rng.uniform(1.5, 4.5))), np.float32)
    pale = soft.mean() + (soft - soft.mean()) * rng.uniform(0.4, 0.8)
    return np.clip(np.rint(pale + rng.normal(0, rng.uniform(6, 14), image.shape)), 0, 255).astype(np.uint8)


def _scene(plan: Plan) -> tuple[np.ndarray, np.ndarray, str]:
    picture = paint(plan, SEED, cues=False)
    mask = _shrink(picture.mask.astype(np.uint8) * 255, Image.Resampling.BOX) > 127
    small = _photograph(_shrink(picture.image, Image.Resampling.BICUBIC), np.random.default_rng((SEED, plan.number, 8)))
    return small, mask, picture.text


def paint_pool(part: str, per_class: int, workers: int = 1) -> Pool:
    """Paint the scenes of 'train' or 'audit'."""
    plans = [Plan(part, k, FIRST[part] + k, CLASSES[k % len(CLASSES)], "none") for k in range(per_class * len(CLASSES))]
    images, masks, texts = zip(*over_workers(_scene, plans, workers), strict=True)
    labels = np.array([CLASSES.index(plan.label) for plan in plans], np.int64)
    return Pool(np.stack(images), np.stack(masks), labels, np.array(texts))


def load_pool(part: str, per_class: int, cache: Path, workers: int = 1) -> Pool:
    """The scenes from the cache folder, painted and put there if they are missing."""
    file = cache / f"pool{GENERATOR}-{part}-{per_class}.npz"
    if not file.exists():
        cache.mkdir(parents=True, exist_ok=True)
        half = file.with_suffix(f".{os.getpid()}.npz")
        np.savez(half, **vars(paint_pool(part, per_class, workers)))
        half.rename(file)  # a killed run leaves no half pool
    with np.load(file) as stored:
        return Pool(**{name: stored[name] for name in stored.files})
