"""Pictures before and after a cue is removed, painted with the fills of the test. Pure functions.

The test works on what the model reads; here the same cells of the same part of the picture are filled, at the size of
the page. Cells [h, w] are boolean; pictures are uint8 [H, W, 3].
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from dashboard.overlays import UNSEEN, Floats, View

COMPACT = 0.34  # share of the cells up to which a box around the cue is taken for the cue
BLUR_CELLS = 8  # the blurred picture keeps 8 x 8 cells
TRIES = 40  # places where the control may go

Cells = NDArray[np.bool_]
Pixels = NDArray[np.uint8]


def as_seen(picture: Image.Image, view: View, grid: tuple[int, int], side: int) -> Image.Image:
    """The part of an upright picture that the model sees, its longer side `side` pixels; grey where there was none."""
    width, height = picture.size
    left, top = round(view[0] * width), round(view[1] * height)
    right, bottom = max(round(view[2] * width), left + 1), max(round(view[3] * height), top + 1)
    ground = Image.new("RGB", (right - left, bottom - top), tuple(int(v) for v in UNSEEN))
    ground.paste(picture, (-left, -top))
    scale = side / max(ground.size)
    size = (max(round(ground.width * scale), grid[1]), max(round(ground.height * scale), grid[0]))
    return ground.resize(size, Image.Resampling.LANCZOS)


def pixels_of(cells: Cells, size: tuple[int, int]) -> Cells:
    """Cells [h, w] as pixels [height, width] of a picture of `size`; a pixel is of the cell its centre lies in."""
    rows = ((np.arange(size[1]) + 0.5) * cells.shape[0] // size[1]).astype(int).clip(max=cells.shape[0] - 1)
    columns = ((np.arange(size[0]) + 0.5) * cells.shape[1] // size[0]).astype(int).clip(max=cells.shape[1] - 1)
    return cells[rows][:, columns]


def fill_mean(picture: Image.Image, cells: Cells) -> Image.Image:
    """The cells in the mean colour of what is left of the picture (of all of it, where nothing is left)."""
    removed, pixels = pixels_of(cells, picture.size), np.asarray(picture)
    kept = ~removed if not removed.all() else removed
    return Image.fromarray(np.where(removed[..., None], pixels[kept].mean(axis=0).round(), pixels).astype(np.uint8))


def fill_blur(picture: Image.Image, cells: Cells) -> Image.Image:
    """The cells blurred: rough colours stay, what is depicted goes."""
    coarse = picture.resize((BLUR_CELLS, BLUR_CELLS), Image.Resampling.BOX)
    blurred = np.asarray(coarse.resize(picture.size, Image.Resampling.BICUBIC))
    removed = pixels_of(cells, picture.size)[..., None]
    return Image.fromarray(np.where(removed, blurred, np.asarray(picture)))


def control_of(cells: Cells, seed: int) -> Cells:
    """As many other cells: the same shape elsewhere where it fits (it may go over an edge), else at random."""
    rng = np.random.default_rng(seed)
    for _ in range(TRIES):
        moved = np.roll(cells, (int(rng.integers(cells.shape[0])), int(rng.integers(cells.shape[1]))), axis=(0, 1))
        if not (moved & cells).any():
            return moved
    free = np.flatnonzero(~cells)
    control = np.zeros(cells.size, dtype=bool)
    control[rng.choice(free, min(int(cells.sum()), len(free)), replace=False)] = True
    return control.reshape(cells.shape)


def outlined(picture: Image.Image, cells: Cells) -> Image.Image:
    """The picture with a line in white on black around the cells."""
    drawn = picture.copy()
    pen = ImageDraw.Draw(drawn)
    x = np.linspace(0, picture.width - 1, cells.shape[1] + 1)
    y = np.linspace(0, picture.height - 1, cells.shape[0] + 1)
    padded = np.pad(cells, 1)
    across = np.argwhere(padded[1:, 1:-1] != padded[:-1, 1:-1])
    down = np.argwhere(padded[1:-1, 1:] != padded[1:-1, :-1])
    lines = [(x[c], y[r], x[c + 1], y[r]) for r, c in across] + [(x[c], y[r], x[c], y[r + 1]) for r, c in down]
    for color, width in (((0, 0, 0), 4), ((255, 255, 255), 2)):
        for line in lines:
            pen.line([float(v) for v in line], fill=color, width=width)
    return drawn


def cells_in(box: tuple[float, float, float, float], view: View, grid: tuple[int, int]) -> Cells:
    """Cells whose centre lies in a box (fractions of the picture), for a grid that covers `view`."""
    rows, columns = grid
    x = view[0] + (np.arange(columns) + 0.5) / columns * (view[2] - view[0])
    y = view[1] + (np.arange(rows) + 0.5) / rows * (view[3] - view[1])
    return ((y >= box[1]) & (y <= box[3]))[:, None] & ((x >= box[0]) & (x <= box[2]))[None]


def alike(states: Floats, prototypes: Floats, center: Floats, cut: float) -> NDArray[np.bool_]:
    """Which token states [T, D] show a cue: their mean cosine to one of its looks [P, D] is at least `cut`.

    The test fills less alike cells around them as well, down to a cut that depends on the other pictures.
    """
    seen = np.nan_to_num(np.asarray(states, dtype=np.float64) - center)
    length = np.linalg.norm(seen, axis=1, keepdims=True)
    directions = np.divide(seen, length, out=np.zeros_like(seen), where=length > 0)
    return (directions @ np.asarray(prototypes, dtype=np.float64).T).max(axis=1) >= cut
