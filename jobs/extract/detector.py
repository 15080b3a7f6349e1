"""What a detector gives for one picture, and the detectors there are by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from jobs.errors import JobError

LIBRARIES = ("torchvision", "hf")


@dataclass(frozen=True)
class Found:
    """The K most confident regions of a picture.

    `features` float32 [K, D], `boxes` float32 [K, 4] as fractions of the picture, `confidence` float32 [K], best first.
    """

    features: np.ndarray
    boxes: np.ndarray
    confidence: np.ndarray


class Detector(ABC):
    """A detector whose regions can be described by vectors of one width."""

    name: str
    width: int

    @abstractmethod
    def regions(self, picture: Image.Image, most: int) -> Found:
        """At most `most` regions of an upright RGB picture."""


def numbers(tensor: Tensor) -> np.ndarray:
    """A tensor as float32 numbers on the CPU."""
    return tensor.float().cpu().numpy()


def make_detector(name: str, *, checkpoint: str | None, device: str) -> Detector:
    """The detector called `torchvision:ARCHITECTURE` or `hf:FOLDER_OR_REPO`. Raises `JobError` or `EngineError`."""
    library, _, rest = name.partition(":")
    if library not in LIBRARIES or not rest:
        raise JobError(f"--detector '{name}': write torchvision:fasterrcnn_resnet50_fpn, or hf:FOLDER_OR_REPO")
    weights = Path(checkpoint) if checkpoint else None
    if weights is not None and not weights.is_file():
        raise JobError(f"--checkpoint {checkpoint}: no such file")
    if library == "torchvision":
        from jobs.extract.torchvision_boxes import TorchvisionBoxes

        return TorchvisionBoxes(name, rest, weights, device)
    from jobs.extract.detr_queries import DetrQueries

    return DetrQueries(name, weights, device)
