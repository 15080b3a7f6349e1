"""From the relevancy map of a detector's query to a mask of the picture.

The authors (`DETR/mask_generator.py`, `DETR/models/segmentation.py`) cut the map at its Otsu threshold *on the grid of
tokens*, enlarge the 0/255 result bilinearly to the model's input and keep whatever is above 0, and take that to the
picture by nearest pixels: masks grow by up to one cell. To cut the enlarged map instead is the other, smoother order.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engine.faithfulness.otsu import otsu_mask
from engine.faithfulness.regions import nearest, upsampled

Order = Literal["authors", "picture"]
ORDERS: tuple[Order, ...] = ("authors", "picture")


def query_mask(
    relevancy: NDArray[np.floating],
    size: tuple[int, int],
    order: Order = "authors",
    inputs: tuple[int, int] | None = None,
) -> NDArray[np.bool_]:
    """The mask bool [height, width] = `size` of a map [h, w] over the whole picture.

    Args:
        relevancy: the query's map; cells of padding must not be in it.
        size: of the picture as annotated.
        order: 'authors' cuts on the grid, 'picture' cuts the map enlarged to `size`.
        inputs: rows and columns of the picture as the model read it, for 'authors'; None: as `size`.

    A map without two different finite values gives an empty mask.
    """
    if not np.isfinite(relevancy).all():
        return np.zeros(size, bool)
    if order == "picture":
        return otsu_mask(upsampled(relevancy, size))
    grid = otsu_mask(relevancy).astype(np.float32)
    return nearest(upsampled(grid, inputs or size) > 0, size)
