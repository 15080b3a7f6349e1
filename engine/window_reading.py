"""Reading of models with windowed attention: a row is carried down the stages, window by window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from engine.capture.kernel import Fold, MapBlock, wide
from engine.errors import CaptureError, EngineError
from engine.methods import LastMap, LayerProduct, Method, Random
from engine.methods.method import project_heads
from engine.models.windows import WindowTower
from engine.patches import Patches, top_patches
from engine.reading import Answer, Maps, Part, ReadingWalk, weighted_mean
from engine.targets import Output, Target
from engine.tower_reading import TowerReading
from engine.walk import Walk


class WindowReading(TowerReading):
    """One row per sample in both engines: a whole R over all tokens is never formed, not by ``record`` either."""

    def __init__(self, tower: WindowTower, method: Method, start_layer: int, patches: int = 0) -> None:
        if method.lrp is not None or not isinstance(method, LayerProduct | LastMap | Random):
            raise EngineError(f"method {method.name!r} is not supported for windowed attention (Swin)")
        super().__init__([tower], method, start_layer, patches)
        self.tower = tower

    def ready(self, output: Output, shapes: Mapping[str, torch.Size]) -> None:
        """Compare the number and the size of windows with the maps that were seen."""
        for site, windows in self.tower.windows.items():
            count = self.tower.start.shape[0] * windows.padded[0] * windows.padded[1] // windows.area
            if (shapes[site][0], shapes[site][2]) != (count, windows.area):
                raise CaptureError(
                    f"{site!r} works on {shapes[site][0]} windows of {shapes[site][2]} tokens where {count} of "
                    f"{windows.area} were expected; the model is unchanged"
                )

    def walk(self, target: Target, output: Output) -> _WindowAnswer:
        """Carry the read-out row down."""
        return _WindowAnswer(self, start_window_walk(self.tower, self.method))

    def recorded(
        self, target: Target, output: Output, attention: Maps, gradient: Maps | None, states: Maps, matrices: bool
    ) -> Answer:
        """The same walk over recorded maps."""
        if matrices:
            raise EngineError("keep_matrices is not supported for windowed attention (Swin): R is never formed")
        walk = start_window_walk(self.tower, self.method)
        for site in reversed(self.explained):
            block = MapBlock(wide(attention[site]), None if gradient is None else wide(gradient[site]), slice(None))
            walk.visit(site)(slice(None), block)
            walk.finish(site)
        return Answer(self.parts([walk.answer()], states))

    def parts(self, rows: Sequence[Tensor], states: Maps) -> tuple[Part, ...]:
        """Relevancy over the first stage's grid; features over the last stage's states, [B, (h, w), D]."""
        row = rows[0].detach()
        last, coarse = states["image"].flatten(1, -2), self.tower.up(row)
        found = self._patches(row, coarse, last) if self.patches else None
        return (Part("image", row, weighted_mean(last, coarse), self.tower.content, found),)

    def _patches(self, row: Tensor, coarse: Tensor, states: Tensor) -> Patches:
        """The most relevant tokens of the last stage [B, (h, w)], each named by the strongest token it was merged from.

        Tokens of the first stage share a state: the strongest of them would give one state several times.
        """
        found = top_patches(coarse, torch.ones_like(coarse, dtype=torch.bool), states, self.patches)
        return replace(found, tokens=self.tower.strongest(row).gather(1, found.tokens))


class _WindowAnswer(ReadingWalk):
    def __init__(self, reading: WindowReading, walk: Walk) -> None:
        self._reading, self._walk = reading, walk

    def visit(self, site: str) -> Fold:
        return self._walk.visit(site)

    def finish(self, site: str) -> None:
        self._walk.finish(site)

    @torch.no_grad()
    def answer(self, states: Maps) -> Answer:
        return Answer(self._reading.parts([self._walk.answer()], states))


class WindowProductWalk(Walk):
    """As ``ProductWalk``, with the row cut into windows for each map and handed down where patches were merged."""

    def __init__(self, tower: WindowTower, method: LayerProduct) -> None:
        super().__init__(tower)
        self._tower, self._method, self._grid = tower, method, tower.last_grid
        self._rest = wide(tower.start)
        self._moved = torch.zeros_like(self._rest)
        self._out = self._moved

    def visit(self, site: str) -> Fold:
        """Fold the attention of one layer's windows."""
        windows, method = self._tower.windows[site], self._method
        self._go_down(windows.grid)
        row = windows.cut(self._rest + self._moved)
        self._out = windows.cut(self._moved) if method.skip else torch.zeros_like(row)
        return method.folded(self._out, row)

    def finish(self, site: str) -> None:
        """Put the windows together; a factor without skip leaves nothing behind."""
        self._moved = self._tower.windows[site].join(self._out)
        if not self._method.skip:
            self._rest = torch.zeros_like(self._moved)

    def answer(self) -> Tensor:
        """What has been moved, over the first stage's tokens."""
        assert self._tower.grid is not None
        self._go_down(self._tower.grid)
        return self._moved

    def _go_down(self, grid: tuple[int, int]) -> None:
        self._rest = self._tower.down(self._rest, self._grid, grid)
        self._moved = self._tower.down(self._moved, self._grid, grid)
        self._grid = grid


class WindowLastMapWalk(Walk):
    """Collects the read-out row of A and dA per head from the last layer's windows."""

    def __init__(self, tower: WindowTower, method: LastMap) -> None:
        super().__init__(tower)
        self._tower, self._method = tower, method
        self._windows = tower.windows[tower.layers[-1]]
        self._row = self._windows.cut(wide(tower.start))
        self._heads: list[Tensor | None] = [None, None]

    def visit(self, site: str) -> Fold:
        """Add up the blocks."""

        def fold(samples: slice, block: MapBlock) -> None:
            for i, maps in enumerate((block.attention, block.gradient)):
                if maps is None:
                    continue
                if self._heads[i] is None:
                    self._heads[i] = self._row.new_zeros(len(self._row), maps.shape[1], maps.shape[3])
                self._heads[i][samples] += project_heads(self._row[samples], block, maps)  # type: ignore[index]

        return fold

    def finish(self, site: str) -> None:
        """Nothing to close."""

    def answer(self) -> Tensor:
        """The method's map of the collected rows, over the first stage's tokens."""
        assert self._tower.grid is not None
        if self._heads[0] is None:  # no query row had a gradient: the score does not depend on the attention
            self._heads = [self._row.new_zeros(len(self._row), 1, self._windows.area)] * 2
        attention, gradient = (None if maps is None else self._joined(maps) for maps in self._heads)
        assert attention is not None
        shown = torch.ones_like(self._tower.start, dtype=torch.bool)
        row = self._method.combine(attention, gradient, shown)
        return self._tower.down(row, self._windows.grid, self._tower.grid)

    def _joined(self, maps: Tensor) -> Tensor:
        """Rows in windows [B * n, H, area] -> [B, H, h * w]."""
        return torch.stack([self._windows.join(head) for head in maps.unbind(dim=1)], dim=1)


def start_window_walk(tower: WindowTower, method: Method) -> Walk:
    """Return the walk that fits the method."""
    if isinstance(method, LayerProduct):
        return WindowProductWalk(tower, method)
    assert isinstance(method, LastMap)
    return WindowLastMapWalk(tower, method)
