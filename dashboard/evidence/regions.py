"""Which cells of a picture are the cue of a suspect: exactly, or as near as what is stored tells."""

from __future__ import annotations

from typing import cast

import numpy as np

from dashboard import overlays, tiles
from dashboard.data import Row
from dashboard.evidence import removal
from dashboard.evidence.removal import Cells
from dashboard.evidence.subject import Subject
from storage.queries import members as queries

EXAMPLES = 3
MOST = 0.5  # share of the cells from which a box shows the picture, not the cue


def examples(subject: Subject) -> list[int]:
    """The samples that before and after are shown of: tested ones with a small box first, then the strongest."""
    boxes = {int(i): box for i, box in (subject.cue.get("boxes") or {}).items() if str(i).isdecimal()}
    boxed = sorted(boxes, key=lambda i: _area(boxes[i]) > removal.COMPACT)
    return list(dict.fromkeys([*boxed, *subject.members[:EXAMPLES].tolist()]))[:EXAMPLES]


def is_region(subject: Subject) -> bool:
    """Whether the cue is a part of the picture."""
    return bool(subject.cue.get("cells") or subject.cue.get("prototypes") or subject.cue.get("boxes"))


def grid_of(subject: Subject, row: Row) -> tuple[int, int] | None:
    """Rows and columns of the tokens of a sample."""
    return tiles.grid_of(row) or subject.run.grid


def cue_cells(subject: Subject, row: Row) -> tuple[Cells, bool] | None:
    """The cue's cells [h, w] in a sample, and whether they are exactly those of the test; None where nothing is known.

    A place has fixed cells. Of alike patches the store keeps a box around them in the strongest samples, and which of
    the most relevant patches are alike: the box where it is small, else those patches.
    """
    grid = grid_of(subject, row)
    if grid is None:
        return None
    fixed = subject.cue.get("cells")
    if fixed:
        cells = np.zeros(grid[0] * grid[1], dtype=bool)
        cells[[cell for cell in fixed if 0 <= cell < len(cells)]] = True
        return (cells.reshape(grid), True) if cells.any() else None
    box = (subject.cue.get("boxes") or {}).get(str(row["sample_id"]))
    boxed = None if box is None else removal.cells_in(_box(box), tiles.view_of(row), grid)
    if boxed is not None and 0 < boxed.mean() <= removal.COMPACT:
        return boxed, False
    patches = _patches(subject, int(row["sample_id"]), grid)
    found = patches if patches is not None and patches.any() else boxed
    return (found, False) if found is not None and 0 < found.mean() <= MOST else None


def _area(box: list[float]) -> float:
    return max(float(box[2]) - float(box[0]), 0.0) * max(float(box[3]) - float(box[1]), 0.0)


def _box(box: list[float]) -> overlays.View:
    return cast("tuple[float, float, float, float]", tuple(float(edge) for edge in box))


def _patches(subject: Subject, sample: int, grid: tuple[int, int]) -> Cells | None:
    """The stored patches of a sample that are alike to the cue."""
    known = subject.ask(_stored_patches).get(sample)
    prototypes, center = (
        np.asarray(subject.cue.get(name) or [], dtype=np.float64) for name in ("prototypes", "center")
    )
    if known is None or prototypes.ndim != 2 or known[1].shape[1] != prototypes.shape[1] or center.ndim != 1:
        return None
    tokens, states = known
    inside = (tokens >= 0) & (tokens < grid[0] * grid[1])
    cells = np.zeros(grid[0] * grid[1], dtype=bool)
    cells[tokens[inside & removal.alike(states, prototypes, center, float(subject.cue.get("cut") or 1.0))]] = True
    return cells.reshape(grid)


def _stored_patches(subject: Subject) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    return queries.patches_of(subject.run.reader, examples(subject), subject.target)
