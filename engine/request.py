"""One call of explain, resolved: model, adapter, method, engine, and how the answer is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engine.capture.interceptor import Handler, Interceptor
from engine.capture.rows import gradient_through, read_rows
from engine.capture.scope import frozen
from engine.capture.states import kept_states
from engine.errors import EngineError
from engine.lrp.relevances import Relevances
from engine.methods import LastMap, LayerProduct, Method, make_method
from engine.models import find_adapter
from engine.models.adapter import Adapter, Batch, Inputs
from engine.models.loading import LoadedModel
from engine.models.pairs import PairAdapter
from engine.models.side import Side
from engine.models.tails import token_wise
from engine.models.tokens import TextTokenizer, as_tokenizer
from engine.models.windows import WindowTower
from engine.precision import PRECISIONS, Precision
from engine.reading import Reading
from engine.relation import Rules
from engine.relation_reading import RelationReading, checked_zero_row
from engine.targets import Output
from engine.tower_reading import TowerReading
from engine.window_reading import WindowReading
from engine.words import Words

ENGINES = ("auto", "stream", "record")


@dataclass(frozen=True)
class Request:
    """One call of explain, resolved."""

    module: nn.Module
    adapter: Adapter
    method: Method
    engine: str
    start_layer: int
    batch: Batch
    reading: Reading
    tokenizer: TextTokenizer | None
    class_names: Sequence[str] | None
    precision: Precision
    keep_matrices: bool
    on_zero_row: str
    features: bool = True
    texts: tuple[str, ...] | None = None
    """The texts of the batch, where they were given as strings."""

    @classmethod
    def make(
        cls,
        model: nn.Module | LoadedModel,
        inputs: Inputs,
        method: str | Method,
        start_layer: int,
        tokenizer: Any,
        engine: str,
        keep_matrices: bool,
        on_zero_row: str,
        patches: int,
        features: bool = True,
    ) -> Request:
        """Find the adapter, prepare the inputs and choose the engine. Raises EngineError for what does not fit."""
        loaded = model if isinstance(model, LoadedModel) else None
        module = loaded.model if loaded else model
        if not isinstance(module, nn.Module):
            raise EngineError(f"explain needs a torch module or what load_model returned, not {type(module).__name__}")
        adapter = loaded.adapter if loaded else find_adapter(module)
        chosen = make_method(method)
        tokens = loaded.tokenizer if loaded else None
        if tokenizer is not None:
            tokens = as_tokenizer(tokenizer, adapter.text_limits(module)[1] if "text" in adapter.modalities else None)
        batch = {k: v.clone() if v.is_inference() else v for k, v in adapter.prepare(module, inputs, tokens).items()}
        if isinstance(chosen, LayerProduct | LastMap) and not chosen.lrp and not keep_matrices:
            batch = adapter.shortened(module, batch)
        return cls(
            module=module,
            adapter=adapter,
            method=chosen,
            engine=_choose_engine(engine, chosen, keep_matrices),
            start_layer=start_layer,
            batch=batch,
            reading=_reading(
                adapter, module, batch, chosen, start_layer, checked_zero_row(on_zero_row), _checked_patches(patches)
            ),
            tokenizer=tokens,
            class_names=loaded.class_names if loaded else None,
            precision=PRECISIONS[loaded.precision if loaded else "fp32"],
            keep_matrices=keep_matrices,
            on_zero_row=on_zero_row,
            features=features,
            texts=_texts(adapter, inputs),
        )

    def words(self, shown: Tensor) -> list[Words] | None:
        """The words of each text, given the tokens that are shown [B, T]; None where texts came as ids."""
        if self.texts is None or self.tokenizer is None or self.tokenizer.places is None:
            return None
        length = (
            None if isinstance(self.adapter, PairAdapter | Side) else shown.shape[1]
        )  # encoded to the context, or padded
        rows = zip(self.texts, shown.tolist(), strict=True)
        return [self.tokenizer.words(text, row, length) for text, row in rows]

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Everything that the model must be put into for the capture, put back on exit."""
        with torch.inference_mode(False), frozen(self.module), self.adapter.scope(self.module):
            yield

    def autocast(self) -> AbstractContextManager[Any]:
        """Half precision where the model was loaded so."""
        return self.precision.autocast(next(iter(self.batch.values())).device.type)

    def relevances(self, output: Output) -> Relevances:
        """LRP of this batch."""
        return Relevances(self.module, self.adapter, self.batch, self.reading.sites, output=output)

    @property
    def conserving(self) -> bool:
        """Variant of the LRP rules: partial LRP takes the classic ones where the read-out row alone is read."""
        if self.method.lrp != "partial" or not isinstance(self.reading, TowerReading):
            return True
        return any(tower.whole_map for tower in self.reading.towers)

    @contextmanager
    def gradient_rows(self) -> Iterator[None]:
        """Below the read-out, let the gradient flow through the tokens that are read alone, where they are few.

        Where nothing is made of the last states of the others, those are not computed either.
        """
        towers = self.reading.towers if isinstance(self.reading, TowerReading) else ()
        with ExitStack() as stack:
            for tower in towers:
                chains = token_wise(self.module.get_submodule(tower.states)) if tower.pool is None else []
                rows = read_rows(tower.start) if chains else None
                if rows is not None:
                    alone = not self.features and (not self.reading.patches or tower.middle is not None)
                    stack.enter_context(gradient_through(chains, rows, alone))
            yield

    def forward(self, handler: Handler) -> tuple[Output, dict[str, Tensor]]:
        """Run the model under the interceptor; returns its output and the token states that the reading wants."""
        reading = self.reading
        with (
            kept_states(self.module, reading.states) as states,
            Interceptor(self.module, reading.sites, handler, self.adapter.explicit(self.module)),
            self.autocast(),
        ):
            output = self.adapter.forward(self.module, self.batch)
        reading.ready(output, handler.shapes)
        return output, states


def _reading(
    adapter: Adapter,
    module: nn.Module,
    batch: Batch,
    method: Method,
    start_layer: int,
    on_zero_row: str,
    patches: int,
) -> Reading:
    steps = adapter.steps(module)
    if steps is None:
        towers = adapter.towers(module, batch)
        if isinstance(towers[0], WindowTower):
            return WindowReading(towers[0], method, start_layer, patches)
        return TowerReading(towers, method, start_layer, patches)
    if start_layer != 0:
        raise EngineError(
            f"start layer {start_layer}: the streams of {type(module).__name__} look at each other, "
            "so all layers take part (start layer 0)"
        )
    return RelationReading(
        steps,
        adapter.idle_sites(module),
        adapter.stream_states(module),
        method,
        Rules(on_zero_row=on_zero_row),
        lambda output: adapter.relation(module, batch, output),
        patches,
    )


def _texts(adapter: Adapter, inputs: Inputs) -> tuple[str, ...] | None:
    if isinstance(inputs, Tensor) or "text" not in adapter.modalities:
        return None
    given = inputs.get("text", inputs.get("input_ids"))
    if isinstance(given, Tensor):
        return None
    return (given,) if isinstance(given, str) else tuple(str(text) for text in given)


def _checked_patches(patches: int) -> int:
    if patches < 0:
        raise EngineError(f"patches={patches}: the number of tokens per sample, 0 or more")
    return patches


def _choose_engine(engine: str, method: Method, keep_matrices: bool) -> str:
    if engine not in ENGINES:
        raise EngineError(f"unknown engine {engine!r}; available: {', '.join(ENGINES)}")
    if keep_matrices and engine == "stream":
        raise EngineError("keep_matrices needs engine='record': the stream never forms a whole matrix")
    if engine != "auto" and engine not in method.engines:
        raise EngineError(f"method {method.name!r} needs engine={' or '.join(map(repr, method.engines))}")
    if keep_matrices:
        return "record"
    return method.engines[0] if engine == "auto" else engine
