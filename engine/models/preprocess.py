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

from engine.errors import EngineError

SHORTEST, LONGEST, STRETCH, WITHIN = "shortest", "longest", "stretch", "within"


@dataclass(frozen=True)
class Preprocess:
    """A picklable transform and its geometry: resize to cover, to fit into or to fill ``edge``, then centre ``size``.

    Attributes:
        transform: the library's transform, RGB picture -> float tensor [3, H, W].
        size: height and width of the model's input, pixels.
        fit: "shortest" (cover ``edge``, keep the aspect ratio), "longest" (fit into it), "stretch" (fill it) or
            "within" (shortest side ``edge[0]``, longest at most ``edge[1]``, nothing cropped or padded: detectors).
        edge: height and width that the picture is resized to, before the centre is cropped or padded to ``size``.
        details: the library's own settings, for the record.
        varies: inputs have different sizes; ``size`` is then a nominal one, and a batch must be padded (right, bottom).
        stride: pixels of the input per token, where the token grid may reach beyond the picture (``fit`` "within").
    """

    transform: Callable[[Image.Image], Tensor]
    size: tuple[int, int]
    fit: str
    edge: tuple[int, int]
    details: dict[str, Any] = field(default_factory=dict)
    varies: bool = False
    stride: int = 1

    def __call__(self, image: Image.Image) -> Tensor:
        """Return the model's input for one picture, float32 [3, H, W]."""
        return self.transform(image)

    def view(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Rectangle (x0, y0, x1, y1) of a ``width`` x ``height`` picture that the input shows, as fractions of it.

        (0, 0, 1, 1) is the whole picture; a centre crop lies inside it; padding reaches outside. A detector's last
        tokens may reach beyond the right and bottom edge: its feature map has ceil(size / stride) rows and columns.
        """
        if self.fit == WITHIN:
            length, breadth = size_within(height, width, self.edge)
            return (0.0, 0.0, _reach(breadth, self.stride), _reach(length, self.stride))
        if self.stride > 1:
            return (0.0, 0.0, _reach(self.size[1], self.stride), _reach(self.size[0], self.stride))
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


def size_within(height: int, width: int, edge: tuple[int, int]) -> tuple[int, int]:
    """Height and width with the shortest side ``edge[0]``, unless the longest would be above ``edge[1]``."""
    from transformers.image_transforms import get_size_with_aspect_ratio

    rows, columns = get_size_with_aspect_ratio((height, width), edge[0], edge[1])
    return int(rows), int(columns)


def _reach(length: int, stride: int) -> float:
    """End of the token grid as a fraction of the input's length."""
    return math.ceil(length / stride) * stride / length


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
    """A Hugging Face image processor as a transform of one picture, never padded."""

    processor: Any

    def __call__(self, image: Image.Image) -> Tensor:
        """Return float32 [3, H, W]."""
        options = {"do_pad": False} if hasattr(self.processor, "do_pad") else {}
        pixels: Tensor = self.processor(images=image, return_tensors="pt", **options)["pixel_values"][0]
        return pixels


@dataclass(frozen=True)
class PatchTransform:
    """A processor that cuts pictures into patches (SigLIP 2): stretched to a square first, put together again after."""

    processor: Any

    @property
    def edge(self) -> int:
        """Side of the largest square that the processor's number of patches covers, pixels."""
        return math.isqrt(int(self.processor.max_num_patches)) * int(self.processor.patch_size)

    def __call__(self, image: Image.Image) -> Tensor:
        """Return float32 [3, H, W]."""
        patch, side = int(self.processor.patch_size), self.edge
        square = image.resize((side, side), Image.Resampling(int(self.processor.resample)))
        out = self.processor(images=square, max_num_patches=(side // patch) ** 2, return_tensors="pt")
        cells: Tensor = out["pixel_values"][0].reshape(side // patch, side // patch, patch, patch, -1)
        return cells.permute(4, 0, 2, 1, 3).reshape(-1, side, side)


def hf_preprocess(processor: Any, stride: int = 1) -> Preprocess:
    """The transform of a Hugging Face image processor.

    Args:
        processor: the image processor.
        stride: pixels per token, for processors that keep the aspect ratio without cropping (detectors).

    Raises:
        EngineError: a processor whose geometry is not known.
    """
    names = ("size", "crop_size", "do_center_crop", "image_mean", "image_std", "resample", "size_divisor", "patch_size")
    details = _plain({name: getattr(processor, name, None) for name in (*names, "max_num_patches")})
    if hasattr(processor, "max_num_patches"):
        transform = PatchTransform(processor)
        square = (transform.edge, transform.edge)
        return Preprocess(transform, square, STRETCH, square, details)
    fit, edge, varies = _geometry(processor)
    crop = dict(processor.crop_size or {}) if getattr(processor, "do_center_crop", False) else {}
    nominal = (edge[0], edge[0]) if fit == WITHIN else edge
    final = (int(crop["height"]), int(crop["width"])) if crop else nominal
    return Preprocess(ProcessorTransform(processor), final, fit, edge, details, varies, stride)


def _geometry(processor: Any) -> tuple[str, tuple[int, int], bool]:
    """How a processor fits a picture, the edge it uses, and whether its results vary in size."""
    size = dict(processor.size)
    if "shortest_edge" in size and "longest_edge" in size:
        return WITHIN, (int(size["shortest_edge"]), int(size["longest_edge"])), True
    if "shortest_edge" in size:
        edge = (int(size["shortest_edge"]),) * 2
        # ViLT rounds both sides to whole patches: its grid always covers the whole picture
        rounded = getattr(processor, "size_divisor", None) is not None
        if not rounded and not getattr(processor, "do_center_crop", False):
            raise EngineError(
                f"{type(processor).__name__} keeps the aspect ratio and crops nothing: pictures would have different "
                "sizes; set do_center_crop, or a height and a width"
            )
        return (STRETCH, edge, True) if rounded else (SHORTEST, edge, False)
    if "height" in size and "width" in size:
        return STRETCH, (int(size["height"]), int(size["width"])), False
    raise EngineError(f"{type(processor).__name__} resizes by {sorted(size)}: that geometry is not supported")


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
