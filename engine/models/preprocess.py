"""From an upright RGB picture to the model's input, and back: which part of the picture the token grid covers.

The pixels come from the model's own library, so they are what the model was trained on; only the geometry is ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

SHORTEST, LONGEST, STRETCH = "shortest", "longest", "stretch"


@dataclass(frozen=True)
class Preprocess:
    """A picklable transform and its geometry: resize to cover, to fit into or to fill ``edge``, then centre ``size``.

    Attributes:
        transform: the library's transform, RGB picture -> float tensor [3, H, W].
        size: height and width of the model's input, pixels.
        fit: "shortest" (cover ``edge``, keep the aspect ratio), "longest" (fit into it) or "stretch" (fill it).
        edge: height and width that the picture is resized to, before the centre is cropped or padded to ``size``.
        details: the library's own settings, for the record.
    """

    transform: Callable[[Image.Image], Tensor]
    size: tuple[int, int]
    fit: str
    edge: tuple[int, int]
    details: dict[str, Any] = field(default_factory=dict)

    def __call__(self, image: Image.Image) -> Tensor:
        """Return the model's input for one picture, float32 [3, H, W]."""
        return self.transform(image)

    def view(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Rectangle (x0, y0, x1, y1) of a ``width`` x ``height`` picture that the input shows, as fractions of it.

        (0, 0, 1, 1) is the whole picture; a centre crop lies inside it; padding reaches outside.
        """
        rows, columns = self._resized(width, height)
        x = (columns - self.size[1]) / 2 / columns
        y = (rows - self.size[0]) / 2 / rows
        return (x, y, 1.0 - x, 1.0 - y)

    def describe(self) -> dict[str, Any]:
        """Geometry and library settings, JSON-ready."""
        return {"size": list(self.size), "fit": self.fit, "edge": list(self.edge), **self.details}

    def _resized(self, width: int, height: int) -> tuple[float, float]:
        """Height and width after resizing, before cropping or padding."""
        if self.fit == STRETCH:
            return self.edge
        ratios = (height / self.edge[0], width / self.edge[1])
        ratio = min(ratios) if self.fit == SHORTEST else max(ratios)
        return height / ratio, width / ratio


def timm_preprocess(model: Any) -> Preprocess:
    """The evaluation transform of a timm model."""
    from timm.data import create_transform, resolve_model_data_config

    config = resolve_model_data_config(model)
    height, width = config["input_size"][-2:]
    crop = float(config.get("crop_pct") or 0.875)
    fit = {"squash": STRETCH, "border": LONGEST}.get(config.get("crop_mode") or "center", SHORTEST)
    return Preprocess(
        transform=create_transform(**config, is_training=False),
        size=(height, width),
        fit=fit,
        edge=(math.floor(height / crop), math.floor(width / crop)),
        details=_plain(config),
    )


def open_clip_preprocess(model: Any) -> Preprocess:
    """The evaluation transform of an open_clip model."""
    from open_clip import get_model_preprocess_cfg
    from open_clip.transform import PreprocessCfg, image_transform_v2

    config = PreprocessCfg(**get_model_preprocess_cfg(model))
    size = config.size
    height, width = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
    return Preprocess(
        transform=image_transform_v2(config, is_train=False),
        size=(height, width),
        fit={"squash": STRETCH, "longest": LONGEST}.get(config.resize_mode, SHORTEST),
        edge=(height, width),
        details=_plain(vars(config)),
    )


@dataclass(frozen=True)
class ProcessorTransform:
    """A Hugging Face image processor as a transform of one picture."""

    processor: Any

    def __call__(self, image: Image.Image) -> Tensor:
        """Return float32 [3, H, W]."""
        pixels: Tensor = self.processor(images=image, return_tensors="pt")["pixel_values"][0]
        return pixels


def hf_preprocess(processor: Any) -> Preprocess:
    """The transform of a Hugging Face image processor."""
    size = dict(processor.size)
    crop = dict(processor.crop_size or {}) if getattr(processor, "do_center_crop", False) else {}
    if "shortest_edge" in size:
        edge, fit = (int(size["shortest_edge"]),) * 2, SHORTEST
    else:
        edge, fit = (int(size["height"]), int(size["width"])), STRETCH
    final = (int(crop["height"]), int(crop["width"])) if crop else (edge[0], edge[1])
    names = ("size", "crop_size", "do_center_crop", "image_mean", "image_std", "resample")
    details = {name: getattr(processor, name, None) for name in names}
    return Preprocess(ProcessorTransform(processor), final, fit, (edge[0], edge[1]), _plain(details))


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    """Keep what JSON can hold; sequences become lists, everything else text."""
    return {key: _plain_value(value) for key, value in settings.items() if value is not None}


def _plain_value(value: Any) -> Any:
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain_value(v) for v in value]
    if isinstance(value, dict):
        return _plain(value)
    return str(value)
