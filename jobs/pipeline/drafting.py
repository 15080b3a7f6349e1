"""How small a picture may be decoded: a JPEG decodes at 1/2, 1/4 or 1/8 of its size for a fraction of the time.

The model's preprocessing shrinks pictures with an antialiasing filter; what it makes of a copy that is still twice as
large as its result is nearly what it makes of the whole.
"""

from __future__ import annotations

import math

from engine.models.preprocess import Preprocess
from jobs.pictures import Enough

SPARE = 2  # how many times the resized side a copy has to have, at least


def enough_for(preprocess: Preprocess) -> Enough | None:
    """What is enough for a model's preprocessing; None where its result depends on the size of the picture itself."""
    if preprocess.varies or preprocess.stride > 1:
        return None

    def enough(width: int, height: int) -> tuple[int, int]:
        x0, y0, x1, y1 = preprocess.view(width, height)  # the input's share of the resized picture
        columns, rows = preprocess.size[1] / (x1 - x0), preprocess.size[0] / (y1 - y0)
        return math.ceil(SPARE * columns), math.ceil(SPARE * rows)

    return enough
