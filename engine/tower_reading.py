"""Reading of models whose streams do not look at each other: towers of self-attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from engine.capture.kernel import Fold
from engine.errors import CaptureError
from engine.methods import Method
from engine.models.adapter import Tower
from engine.reading import MIDDLE, Answer, Maps, Part, Reading, ReadingWalk, make_part
from engine.recorded import recorded_answer
from engine.targets import Output, Target
from engine.walk import Walk, explained_sites, start_walk


class TowerReading(Reading):
    """One walk per tower."""

    def __init__(self, towers: Sequence[Tower], method: Method, start_layer: int, patches: int = 0) -> None:
        self.towers = tuple(towers)
        self.method = method
        self.of_tower = {t.modality: explained_sites(t, method, start_layer) for t in towers}
        self.sites = tuple(site for t in towers for site in (*t.layers, *((t.pool,) if t.pool else ())))
        self.explained = tuple(site for group in self.of_tower.values() for site in group)
        self.patches = patches
        self.states = {t.modality: (t.states, 0) for t in towers}
        if patches:
            self.states.update((MIDDLE, (t.middle, 0)) for t in towers if t.middle is not None)

    def ready(self, output: Output, shapes: Mapping[str, torch.Size]) -> None:
        """Compare the number of tokens with what the adapter announced."""
        for tower in self.towers:
            seen = shapes[tower.layers[0]][2]
            if seen != tower.tokens:
                raise CaptureError(
                    f"{tower.layers[0]!r} works on {seen} tokens where {tower.tokens} were expected "
                    f"for the {tower.modality} tower; the model is unchanged"
                )

    def walk(self, target: Target, output: Output) -> ReadingWalk:
        """One walk per tower."""
        return _TowerWalks(self, [start_walk(tower, self.method) for tower in self.towers])

    def recorded(
        self, target: Target, output: Output, attention: Maps, gradient: Maps | None, states: Maps, matrices: bool
    ) -> Answer:
        """Whole matrices, as the paper writes them."""
        rows, found = [], {}
        for tower in self.towers:
            row, matrix = recorded_answer(tower, self.method, self.of_tower[tower.modality], attention, gradient)
            rows.append(row)
            if matrices and matrix is not None:
                found[tower.modality, tower.modality] = matrix
        return Answer(self.parts(rows, states), found)

    def constant(self, rows: Mapping[str, Tensor], states: Maps) -> Answer:
        """Given rows."""
        whole = []
        for tower in self.towers:
            row = torch.zeros_like(tower.content, dtype=next(iter(rows.values())).dtype)
            for modality, (first, last) in tower.ranges.items():
                row[:, first:last] = rows[modality][:, : last - first]
            whole.append(row)
        return Answer(self.parts(whole, states))

    def lengths(self) -> dict[str, int]:
        """Tokens per modality."""
        return {m: last - first + tower.beyond for tower in self.towers for m, (first, last) in tower.ranges.items()}

    @property
    def grid(self) -> tuple[int, int] | None:
        """Grid of the image tower."""
        return next((t.grid for t in self.towers if t.grid), None)

    @property
    def grids(self) -> Tensor | None:
        """Grid of each picture, where pictures may differ in size."""
        return next((t.grids for t in self.towers if t.grids is not None), None)

    def parts(self, rows: Sequence[Tensor], states: Maps) -> tuple[Part, ...]:
        """Cut the row of each tower, [B, N], into modalities."""
        parts = []
        for tower, row in zip(self.towers, rows, strict=True):
            for modality, (first, last) in tower.ranges.items():
                cut = slice(first, last)
                words = None if tower.words is None else tower.words[:, cut]
                final = states[tower.modality][:, cut]
                middle = states[MIDDLE][:, cut] if self.patches and tower.middle is not None else None
                content = tower.content[:, cut]
                part = make_part(modality, row[:, cut], content, words, final, middle, self.patches)
                parts.append(part.followed_by(tower.beyond))
        return tuple(parts)


class _TowerWalks(ReadingWalk):
    def __init__(self, reading: TowerReading, walks: Sequence[Walk]) -> None:
        self._reading = reading
        self._walks = walks
        self._owner = {site: walk for walk in walks for site in reading.of_tower[walk.tower.modality]}

    def visit(self, site: str) -> Fold:
        return self._owner[site].visit(site)

    def finish(self, site: str) -> None:
        self._owner[site].finish(site)

    @torch.no_grad()
    def answer(self, states: Maps) -> Answer:
        return Answer(self._reading.parts([walk.answer() for walk in self._walks], states))
