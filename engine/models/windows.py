"""Windowed attention (Swin): where the tokens of a stage stand while they attend inside their windows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.models.adapter import Tower

Grid = tuple[int, int]


@dataclass(frozen=True)
class Windows:
    """How one layer cuts its grid into windows.

    Attributes:
        grid: rows and columns of tokens.
        window: rows and columns of a window.
        shift: the grid is rolled up and left by this much first.
        pads_first: the grid is padded before it is rolled (transformers); otherwise after (timm).
    """

    grid: Grid
    window: Grid
    shift: Grid
    pads_first: bool

    @property
    def area(self) -> int:
        """Tokens of a window."""
        return self.window[0] * self.window[1]

    @property
    def padded(self) -> Grid:
        """Rows and columns after padding to whole windows."""
        rows, columns = (-(-n // w) * w for n, w in zip(self.grid, self.window, strict=True))
        return rows, columns

    def cut(self, rows: Tensor) -> Tensor:
        """Tokens [B, h * w] -> windows [B * n, area], a sample's windows one after the other; padding is zero."""
        cells = rows.reshape(len(rows), *self.grid)
        cells = self._rolled(self._pad(cells), -1) if self.pads_first else self._pad(self._rolled(cells, -1))
        (height, width), (a, b) = self.padded, self.window
        parts = cells.reshape(len(rows), height // a, a, width // b, b).transpose(2, 3)
        return parts.reshape(-1, self.area)

    def join(self, windows: Tensor) -> Tensor:
        """Undo :meth:`cut`: windows [B * n, area] -> tokens [B, h * w]; what stands on padding is dropped."""
        (height, width), (a, b) = self.padded, self.window
        parts = windows.reshape(-1, height // a, width // b, a, b).transpose(2, 3)
        cells = parts.reshape(-1, height, width)
        cells = self._crop(self._rolled(cells, 1)) if self.pads_first else self._rolled(self._crop(cells), 1)
        return cells.reshape(len(cells), -1)

    def _pad(self, cells: Tensor) -> Tensor:
        return F.pad(cells, (0, self.padded[1] - self.grid[1], 0, self.padded[0] - self.grid[0]))

    def _crop(self, cells: Tensor) -> Tensor:
        return cells[:, : self.grid[0], : self.grid[1]]

    def _rolled(self, cells: Tensor, sign: int) -> Tensor:
        return torch.roll(cells, (sign * self.shift[0], sign * self.shift[1]), dims=(1, 2))


@dataclass(frozen=True)
class WindowTower(Tower):
    """A token stream whose attention stays inside windows and whose grid is halved between stages.

    ``start`` is a row over the last stage's tokens, ``content`` and ``grid`` are those of the first stage.

    Attributes:
        windows: of every layer, by site.
    """

    windows: Mapping[str, Windows] = field(default_factory=dict)

    @property
    def last_grid(self) -> Grid:
        """Grid of the last stage."""
        return self.windows[self.layers[-1]].grid

    def down(self, row: Tensor, coarse: Grid, fine: Grid) -> Tensor:
        """Hand a row over merged tokens [B, h * w] down to the tokens they were merged from, in equal shares.

        A merged token is a linear map of 2 x 2 tokens (fewer at an odd edge). The sum of the row is kept.
        """
        stages = [fine]
        while stages[-1] != coarse:
            stages.append(_halved(stages[-1]))
        for merged, finer in zip(stages[:0:-1], stages[-2::-1], strict=True):
            cells = row.reshape(len(row), *merged) / _children(merged, finer, row)
            cells = cells.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2)[:, : finer[0], : finer[1]]
            row = cells.reshape(len(row), -1)
        return row

    def up(self, row: Tensor) -> Tensor:
        """Sum a row over the first stage's tokens [B, N] up to the last stage's."""
        assert self.grid is not None
        cells, grid = row.reshape(len(row), *self.grid), self.grid
        while grid != self.last_grid:
            cells = F.pad(cells, (0, grid[1] % 2, 0, grid[0] % 2))
            grid = _halved(grid)
            cells = cells.reshape(len(row), grid[0], 2, grid[1], 2).sum(dim=(2, 4))
        return cells.reshape(len(row), -1)

    def strongest(self, row: Tensor) -> Tensor:
        """Of each of the last stage's tokens, the first stage's token with the largest value of ``row`` [B, N] that was
        merged into it: indices [B, h * w]."""
        assert self.grid is not None
        (rows, columns), (height, width), factor = self.last_grid, self.grid, 1
        while (-(-height // factor), -(-width // factor)) != self.last_grid:
            factor *= 2
        padding = (0, columns * factor - width, 0, rows * factor - height)
        cells = F.pad(row.reshape(len(row), height, width), padding, value=-torch.inf)
        cells = cells.reshape(len(row), rows, factor, columns, factor).transpose(2, 3).flatten(3)
        inside = cells.argmax(dim=-1)
        y = torch.arange(rows, device=row.device)[:, None] * factor + inside // factor
        x = torch.arange(columns, device=row.device) * factor + inside % factor
        return (y * width + x).flatten(1)


def _halved(grid: Grid) -> Grid:
    return (grid[0] + 1) // 2, (grid[1] + 1) // 2


def _children(coarse: Grid, fine: Grid, like: Tensor) -> Tensor:
    """Number of tokens that each merged token was made of, [h, w]."""
    rows, columns = (
        torch.tensor([min(2, n - 2 * i) for i in range(c)], dtype=like.dtype, device=like.device)
        for c, n in zip(coarse, fine, strict=True)
    )
    return rows[:, None] * columns[None, :]
