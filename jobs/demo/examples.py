"""Demo pictures as training arrays, without a detour over files."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image

from jobs.demo.dataset import JPEG_QUALITY, over_workers
from jobs.demo.objects import CLASSES
from jobs.demo.picture import caption, paint
from jobs.demo.plan import Plan, plan_split

INPUT = 96
"""Side of the models' input in pixels."""
GRID = 12
"""Side of the models' token grid."""


@dataclass(frozen=True)
class Examples:
    """N pictures as the models see them.

    `images` [N,96,96,3] uint8, `labels` [N] int64 (index into CLASSES), `objects` and `banners` [N,12,12] float32 (the
    share of each token cell covered by the subject, by a banner), `texts` N tuples of captions that say the same (the
    first is the one of the manifest), `plans` N plans.
    """

    images: np.ndarray
    labels: np.ndarray
    objects: np.ndarray
    banners: np.ndarray
    texts: list[tuple[str, ...]]
    plans: list[Plan]


def _as_input(image: np.ndarray) -> np.ndarray:
    """What a model gets to see of a stored picture: JPEG, then bicubic reduction to 96 x 96."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return np.asarray(Image.open(buffer).convert("RGB").resize((INPUT, INPUT), Image.Resampling.BICUBIC))


def cell_cover(mask: np.ndarray) -> np.ndarray:
    """Share of each of the 12 x 12 token cells that a mask [256,256] bool covers, float32."""
    small = Image.fromarray(mask.astype(np.uint8) * 255).resize((GRID, GRID), Image.Resampling.BOX)
    return np.asarray(small, np.float32) / 255


def _example(
    plan: Plan, *, seed: int, cues: bool, wordings: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[str, ...]]:
    picture = paint(plan, seed, cues=cues)
    texts = tuple(caption(picture.scene, plan, seed, k) for k in range(wordings))
    return _as_input(picture.image), cell_cover(picture.mask), cell_cover(picture.banner_mask), texts


def make_examples(
    plans: list[Plan],
    seed: int,
    *,
    cues: bool = True,
    wordings: int = 1,
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Examples:
    """Paint planned pictures as arrays; `progress(1)` is called after each."""
    images, objects, banners, texts = [], [], [], []
    for image, mask, banner, text in over_workers(
        partial(_example, seed=seed, cues=cues, wordings=wordings), plans, workers
    ):
        images.append(image)
        objects.append(mask)
        banners.append(banner)
        texts.append(text)
        if progress is not None:
            progress(1)
    labels = np.array([CLASSES.index(plan.label) for plan in plans], np.int64)
    return Examples(np.stack(images), labels, np.stack(objects), np.stack(banners), texts, plans)


def split_examples(
    split: str,
    count: int,
    seed: int,
    *,
    cues: bool = True,
    wordings: int = 1,
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Examples:
    """The first `count` pictures of a split as arrays."""
    return make_examples(
        plan_split(split, count, seed), seed, cues=cues, wordings=wordings, workers=workers, progress=progress
    )
