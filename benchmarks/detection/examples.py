"""Scenes as training arrays, and their free variations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmarks.detection.model import to_inputs
from benchmarks.detection.scenes import MOST, SIZE, Scene, paint_scene

CHUNK = 64


@dataclass(frozen=True)
class Examples:
    """N scenes as the model sees them.

    `pixels` [N,3,96,96] float32; `labels` [N,4] int64, -1 where there is no fourth object; `boxes` [N,4,4] float32,
    centre, width, height as shares of the picture.
    """

    pixels: Tensor
    labels: Tensor
    boxes: Tensor

    def __len__(self) -> int:
        return len(self.labels)


def make_examples(seed: int, first: int, count: int, progress: Callable[[int], None] | None = None) -> Examples:
    """Paint scenes `first` to `first + count - 1` of a seed; `progress(done)` is called after every few."""
    pixels = []
    labels, boxes = np.full((count, MOST), -1, np.int64), np.full((count, MOST, 4), 0.5, np.float32)
    for start in range(0, count, CHUNK):
        scenes = [paint_scene(seed, first + k) for k in range(start, min(start + CHUNK, count))]
        pixels.append(to_inputs(np.stack([scene.image for scene in scenes])))
        for k, scene in enumerate(scenes, start):
            labels[k, : len(scene.labels)] = scene.labels
            boxes[k, : len(scene.labels)] = relative(scene)
        if progress is not None:
            progress(start + len(scenes))
    return Examples(torch.cat(pixels), torch.from_numpy(labels), torch.from_numpy(boxes))


def relative(scene: Scene) -> np.ndarray:
    """A scene's boxes as centre, width, height, shares of the picture [n,4]."""
    low, high = scene.boxes[:, :2] / SIZE, scene.boxes[:, 2:] / SIZE
    return np.concatenate([(low + high) / 2, high - low], 1)


def varied(pixels: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """A batch mirrored, turned and recoloured at random, its boxes with it: no shape stops being what it is."""
    sideways, upside, corner = (torch.rand(3) < 0.5).tolist()
    x, y, width, height = boxes.unbind(-1)
    if sideways:
        pixels, x = pixels.flip(3), 1 - x
    if upside:
        pixels, y = pixels.flip(2), 1 - y
    if corner:
        pixels, x, y, width, height = pixels.transpose(2, 3), y, x, height, width
    count = len(pixels)
    pixels = pixels[:, torch.randperm(3)] * (1 + 0.15 * torch.randn(count, 1, 1, 1)) + 0.15 * torch.randn(
        count, 3, 1, 1
    )
    return pixels.contiguous(), torch.stack([x, y, width, height], -1)
