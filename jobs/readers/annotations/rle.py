"""COCO's segmentations: polygons and run lengths, as one compressed RLE or as pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from pycocotools import mask as rle

from jobs.errors import JobError
from jobs.readers.annotations.files import is_number

FAR = 10  # sides of the picture: pycocotools takes memory for every pixel along a polygon's edge, wherever that is


def encoded(segmentation: Any, height: int, width: int) -> dict[str, Any]:
    """Polygons, or run lengths of either kind, as one compressed RLE of that size. Raises `JobError`."""
    try:
        if isinstance(segmentation, list):
            if not all(_is_near(polygon, max(height, width)) for polygon in segmentation):
                raise JobError(
                    f"a polygon is not made of numbers in or near a picture of {height} x {width}: "
                    f"{str(segmentation)[:60]}"
                )
            return rle.merge(rle.frPyObjects(segmentation, height, width))
        if list(segmentation["size"]) != [height, width]:
            raise JobError(f"a segmentation is of size {segmentation['size']}, its picture of {[height, width]}")
        if isinstance(segmentation["counts"], list):
            return rle.frPyObjects(segmentation, height, width)
        return {"size": [height, width], "counts": segmentation["counts"]}
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise JobError(f"a segmentation is neither polygons nor run lengths: {str(segmentation)[:60]}") from error


def _is_near(polygon: Any, side: int) -> bool:
    """Whether a polygon is a list of finite coordinates that are not far from its picture."""
    return isinstance(polygon, list) and all(is_number(value) and abs(value) <= FAR * side for value in polygon)


def decoded(segmentation: Any, height: int, width: int) -> np.ndarray:
    """The same as bool [height, width]."""
    try:
        return rle.decode(encoded(segmentation, height, width)).astype(bool)
    except (TypeError, ValueError, OverflowError) as error:
        raise JobError(f"run lengths do not fit a picture of {height} x {width}: {str(segmentation)[:60]}") from error


def packed(mask: np.ndarray) -> dict[str, Any]:
    """A mask bool [height, width] as compressed RLE."""
    return rle.encode(np.asfortranarray(mask.astype(np.uint8)))


def area(encoded_mask: dict[str, Any]) -> float:
    """Pixels of a compressed RLE."""
    return float(rle.area(encoded_mask))


def box(encoded_mask: dict[str, Any]) -> list[float]:
    """x, y, width, height of a compressed RLE."""
    return list(map(float, rle.toBbox(encoded_mask)))
