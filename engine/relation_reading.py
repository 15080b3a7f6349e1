"""Reading of models whose streams look at each other: co-attention, encoder and decoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from engine.capture.kernel import Fold, MapBlock, wide
from engine.errors import CaptureError, EngineError
from engine.methods import LastMap, LayerProduct, Method
from engine.models.readout import one_hot_row
from engine.models.relation import Relation, Steps
from engine.reading import Answer, Maps, Part, Reading, ReadingWalk, make_part
from engine.relation import ON_ZERO_ROW, Pair, Related, Rules
from engine.targets import Output, Target

Describe = Callable[[Output], Relation]


class RelationReading(Reading):
    """Collects head-averaged maps of all steps (or the last maps), then applies the method's rules to them."""

    def __init__(
        self,
        steps: Steps,
        idle: tuple[str, ...],
        states: dict[str, tuple[str, int]],
        method: Method,
        rules: Rules,
        describe: Describe,
        patches: int = 0,
    ) -> None:
        self.method = method
        self.states = states
        self.explained = tuple(step.site for group in steps for step in group)
        self.sites = (*self.explained, *idle)
        self.rules = rules
        self.patches = patches
        self._describe = describe
        self._relation: Relation | None = None

    @property
    def relation(self) -> Relation:
        """The relation, known once the model has run."""
        assert self._relation is not None
        return self._relation

    def ready(self, output: Output, shapes: Mapping[str, torch.Size]) -> None:
        """Describe the streams, and compare their sizes with the maps that were seen."""
        self._relation = self._describe(output)
        for step in self._relation:
            seen, expected = shapes[step.site][2], self._relation.streams[step.query].content.shape[1]
            if seen != expected:
                raise CaptureError(
                    f"{step.site!r} works on {seen} tokens where {expected} were expected "
                    f"for the {step.query} stream; the model is unchanged"
                )

    def walk(self, target: Target, output: Output) -> ReadingWalk:
        """Collect maps, then apply the rules."""
        return _Collecting(self, self.row(target, output))

    def row(self, target: Target, output: Output) -> Tensor:
        """The read-out row, [B, N]: the model's own, or the explained query."""
        if self.relation.row is not None:
            return wide(self.relation.row)
        queries = target.queries(output)
        if queries is None:
            raise EngineError(f"target {target.name!r} names no query; a detector is explained by explain_detections")
        return one_hot_row(queries, self.relation.streams[self.relation.read].content.shape[1], wide(output.logits))

    def recorded(
        self, target: Target, output: Output, attention: Maps, gradient: Maps | None, states: Maps, matrices: bool
    ) -> Answer:
        """Whole matrices, as the paper writes them."""
        collecting = _Collecting(self, self.row(target, output), whole=True)
        for site in self.explained:
            fold = collecting.visit(site)
            if fold is not None:
                block = MapBlock(wide(attention[site]), None if gradient is None else wide(gradient[site]), slice(None))
                fold(slice(None), block)
        return collecting.answer(states, matrices)

    def constant(self, rows: Mapping[str, Tensor], states: Maps) -> Answer:
        """Given rows."""
        return Answer(
            self.parts({(self.relation.read, name): rows[name] for name in self.lengths()}, states, cut=False)
        )

    def lengths(self) -> dict[str, int]:
        """Tokens per modality."""
        streams = (self.relation.streams[name] for _, name in self.relation.answers)
        return {s.name: s.content.shape[1] - s.prefix for s in streams if s.name in ("image", "text")}

    @property
    def grid(self) -> tuple[int, int] | None:
        """Grid of the image stream."""
        return self.relation.grid

    @property
    def grids(self) -> Tensor | None:
        """Valid part of the grid."""
        return self.relation.grids

    def parts(self, rows: Mapping[Pair, Tensor], states: Maps, cut: bool = True) -> tuple[Part, ...]:
        """Relevancy of the modalities among the streams that the answer depends on."""
        parts = []
        for (_, name), row in rows.items():
            stream = self.relation.streams[name]
            if name not in ("image", "text"):
                continue
            shown = slice(stream.prefix, None)
            words = None if stream.words is None else stream.words[:, shown]
            values = row[:, shown] if cut else row
            last, content = states[name][:, shown], stream.content[:, shown]
            parts.append(make_part(name, values, content, words, last, patches=self.patches))
        return tuple(sorted(parts, key=lambda part: part.modality))


class _Collecting(ReadingWalk):
    """Keeps head-averaged maps [B, s, q], or the last maps per head, while they are visited."""

    def __init__(self, reading: RelationReading, row: Tensor, whole: bool = False) -> None:
        self._reading = reading
        self._row = row
        self._whole = whole
        self._averages: dict[str, Tensor] = {}
        self._attention: dict[str, Tensor] = {}
        self._gradient: dict[str, Tensor] = {}
        relation = reading.relation
        self._last = {relation.last(*pair).site for pair in relation.answers if self._has_step(pair)}

    def _has_step(self, pair: Pair) -> bool:
        return any((step.query, step.key) == pair for step in self._reading.relation)

    def visit(self, site: str) -> Fold | None:
        if isinstance(self._reading.method, LastMap):
            return self._fold_last(site) if site in self._last else None
        return self._fold_average(site)

    def finish(self, site: str) -> None:
        """Nothing to close."""

    def _sizes(self, site: str) -> tuple[int, int, int]:
        relation = self._reading.relation
        step = next(step for step in relation if step.site == site)
        query, key = relation.streams[step.query].content, relation.streams[step.key].content
        return len(query), query.shape[1], key.shape[1]

    def _fold_average(self, site: str) -> Fold:
        method = self._reading.method
        assert isinstance(method, LayerProduct)
        out = self._averages[site] = self._row.new_zeros(self._sizes(site))

        def fold(samples: slice, block: MapBlock) -> None:
            out[samples, block.rows] = method.weights(block).mean(dim=1).to(out.dtype)

        return fold

    def _fold_last(self, site: str) -> Fold:
        batch, queries, keys = self._sizes(site)

        def fold(samples: slice, block: MapBlock) -> None:
            shape = (batch, block.attention.shape[1], queries, keys)
            for store, maps in ((self._attention, block.attention), (self._gradient, block.gradient)):
                if maps is not None:
                    whole = store.setdefault(site, self._row.new_zeros(shape))
                    whole[samples, :, block.rows] = maps.to(whole.dtype)

        return fold

    @torch.no_grad()
    def answer(self, states: Maps, matrices: bool = False) -> Answer:
        relation = self._reading.relation
        related = self._related()
        values = {pair: self._cleared(pair, value) for pair, value in related.values.items()}
        rows = {
            pair: value if value.dim() == 2 else (self._row[:, None, :] @ value).squeeze(1)
            for pair, value in values.items()
            if pair in relation.answers
        }
        return Answer(self._reading.parts(rows, states), values if matrices else {}, related.zero_rows)

    def _related(self) -> Related:
        reading, method = self._reading, self._reading.method
        if isinstance(method, LayerProduct):
            for site in reading.explained:  # maps that no gradient reached: the score does not depend on them
                self._averages.setdefault(site, self._row.new_zeros(self._sizes(site)))
            row = None if self._whole else self._row
            return method.related(reading.relation, self._averages, reading.rules, row)
        assert isinstance(method, LastMap)
        values = {}
        for pair in reading.relation.answers:
            if self._has_step(pair):
                values[pair] = self._last_map(method, pair)
        return Related(values)

    def _last_map(self, method: LastMap, pair: Pair) -> Tensor:
        relation = self._reading.relation
        site = relation.last(*pair).site
        if site not in self._attention:
            return self._row.new_zeros(self._sizes(site))
        return method.combine_map(
            self._attention[site], self._gradient.get(site), relation.valid_map(*pair), relation=True
        )

    def _cleared(self, pair: Pair, value: Tensor) -> Tensor:
        """LXMERT's code sets the read-out token's own entry to zero at the very end."""
        relation = self._reading.relation
        if not relation.clears_read_out or pair != (relation.read, relation.read):
            return value
        own = self._row > 0
        return value.masked_fill(own[:, :, None] & own[:, None, :] if value.dim() == 3 else own, 0.0)


def checked_zero_row(on_zero_row: str) -> str:
    """Return the option, or raise EngineError."""
    if on_zero_row not in ON_ZERO_ROW:
        raise EngineError(f"unknown on_zero_row {on_zero_row!r}; available: {', '.join(ON_ZERO_ROW)}")
    return on_zero_row
