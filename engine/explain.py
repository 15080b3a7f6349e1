"""The front door: explain a batch of any supported, unmodified model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from engine.capture.interceptor import Handler, Interceptor
from engine.capture.keep import OperandCapture
from engine.capture.pass_through import PassThrough
from engine.capture.record import RecordCapture
from engine.capture.scope import frozen
from engine.capture.states import kept_states
from engine.capture.stream import StreamCapture
from engine.detections import find_detections
from engine.errors import EngineError
from engine.explanation import Explanation
from engine.lrp.relevances import Relevances, settled
from engine.methods import DirectMethod, Method, Random, make_method
from engine.methods.direct import Subject
from engine.models import find_adapter
from engine.models.adapter import Adapter, Batch, Inputs
from engine.models.loading import LoadedModel
from engine.models.tokens import TextTokenizer, as_tokenizer
from engine.models.windows import WindowTower
from engine.reading import Answer, Reading
from engine.relation import Rules
from engine.relation_reading import RelationReading, checked_zero_row
from engine.targets import Output, QueryClass, Target, TargetLike, as_target
from engine.tower_reading import TowerReading
from engine.window_reading import WindowReading

ENGINES = ("auto", "stream", "record")


def explain(
    model: nn.Module | LoadedModel,
    inputs: Inputs,
    *,
    target: TargetLike = None,
    method: str | Method = "gae",
    start_layer: int = 0,
    tokenizer: Any = None,
    engine: str = "auto",
    keep_matrices: bool = False,
    on_zero_row: str = "authors",
) -> Explanation:
    """Explain the score of every sample of a batch; see :func:`explain_targets` for the arguments.

    Args:
        target: None (predicted class; pair logit for image-text models), a class index, one index per sample [B], a
            name ("predicted", "clip-logit", "clip-score", "class:NAME", "contrast:A,B") or a target of
            ``engine.targets``.
    """
    return explain_targets(
        model,
        inputs,
        [target],
        method=method,
        start_layer=start_layer,
        tokenizer=tokenizer,
        engine=engine,
        keep_matrices=keep_matrices,
        on_zero_row=on_zero_row,
    )[0]


def explain_targets(
    model: nn.Module | LoadedModel,
    inputs: Inputs,
    targets: Sequence[TargetLike],
    *,
    method: str | Method = "gae",
    start_layer: int = 0,
    tokenizer: Any = None,
    engine: str = "auto",
    keep_matrices: bool = False,
    on_zero_row: str = "authors",
) -> list[Explanation]:
    """Explain several targets of the same batch; they share one forward pass.

    The model is left exactly as it was found (hooks, flags, gradients, mode, ``requires_grad``), also after an error.
    Samples of a batch do not influence each other.

    Args:
        model: a supported model (timm, open_clip, transformers), or what ``load_model`` returned.
        inputs: images [B, 3, H, W] as the model wants them, or ``{"image": ..., "text": texts or ids [B, T]}``.
        targets: what to explain, see :func:`explain`.
        method: name of a method (``list_methods()``) or a method object.
        start_layer: first layer that takes part; negative counts from the end. Ignored by methods that read the last
            map only.
        tokenizer: needed when texts are strings and the model is a bare module.
        engine: "stream" (a row per sample, O(N) state), "record" (whole maps), or "auto" (stream where possible).
        keep_matrices: also return the full R; forces "record".
        on_zero_row: what models with several streams make of a row of zeros in eq. 8-9, where it is 0/0: "authors", as
            their code (DETR: the addition of that layer is dropped; LXMERT: NaN), or "identity", the row stays as it
            was. ``Explanation.zero_rows`` counts how often it mattered.

    Raises:
        EngineError: unsupported model, unknown name, or inputs that do not fit; the message is one line.
    """
    request = _Request.make(model, inputs, method, start_layer, tokenizer, engine, keep_matrices, on_zero_row)
    wanted = [as_target(t, request.adapter.task == "pair", request.class_names) for t in targets]
    with request.scope():
        return _explain(request, lambda output: wanted)


def explain_detections(
    model: nn.Module | LoadedModel,
    inputs: Inputs,
    *,
    threshold: float = 0.7,
    most: int = 20,
    method: str | Method = "gae",
    start_layer: int = 0,
    on_zero_row: str = "authors",
    engine: str = "auto",
    keep_matrices: bool = False,
) -> list[Explanation]:
    """Explain what a detector found; all detections of a batch share one forward pass.

    Args:
        threshold: smallest probability of a detection.
        most: detections per picture, the most confident ones.

    Returns:
        Entry k explains the k-th most confident detection of every sample ("detection:k"); ``kept`` [B] says which
        samples have one, the numbers of the others mean nothing. Empty when no sample has any.

    Raises:
        EngineError: the model is no detector, or as in :func:`explain_targets`.
    """
    request = _Request.make(model, inputs, method, start_layer, None, engine, keep_matrices, on_zero_row)
    if request.adapter.task != "detect":
        raise EngineError(f"{type(request.module).__name__} is no detector; use explain or explain_targets")
    with request.scope():
        return _explain(request, lambda output: find_detections(output, threshold, most))


@dataclass(frozen=True)
class _Request:
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
    bf16: bool
    keep_matrices: bool
    on_zero_row: str

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
    ) -> _Request:
        loaded = model if isinstance(model, LoadedModel) else None
        module = loaded.model if loaded else model
        if not isinstance(module, nn.Module):
            raise EngineError(f"explain needs a torch module or what load_model returned, not {type(module).__name__}")
        adapter = find_adapter(module)
        chosen = make_method(method)
        tokens = loaded.tokenizer if loaded else None
        if tokenizer is not None:
            tokens = as_tokenizer(tokenizer, adapter.text_limits(module)[1] if "text" in adapter.modalities else None)
        batch = {k: v.clone() if v.is_inference() else v for k, v in adapter.prepare(module, inputs, tokens).items()}
        return cls(
            module=module,
            adapter=adapter,
            method=chosen,
            engine=_choose_engine(engine, chosen, keep_matrices),
            start_layer=start_layer,
            batch=batch,
            reading=_reading(adapter, module, batch, chosen, start_layer, checked_zero_row(on_zero_row)),
            tokenizer=tokens,
            class_names=loaded.class_names if loaded else None,
            bf16=loaded is not None and loaded.precision == "bf16",
            keep_matrices=keep_matrices,
            on_zero_row=on_zero_row,
        )

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Everything that the model must be put into for the capture, put back on exit."""
        with torch.inference_mode(False), frozen(self.module), self.adapter.scope(self.module):
            yield

    def autocast(self) -> AbstractContextManager[Any]:
        """bf16 where the model was loaded so; relevancies are accumulated in float32 in any case."""
        device = next(iter(self.batch.values())).device.type
        return torch.autocast(device, torch.bfloat16) if self.bf16 else nullcontext()

    def relevances(self, output: Output) -> Relevances:
        """LRP of this batch."""
        return Relevances(self.module, self.adapter, self.batch, self.reading.sites, output=output)

    @property
    def conserving(self) -> bool:
        """Variant of the LRP rules: partial LRP takes the classic ones where the read-out row alone is read."""
        if self.method.lrp != "partial" or not isinstance(self.reading, TowerReading):
            return True
        return any(tower.whole_map for tower in self.reading.towers)

    def forward(self, handler: Handler) -> tuple[Output, dict[str, Tensor]]:
        """Run the model under the interceptor; returns its output and the last token states per stream."""
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
    adapter: Adapter, module: nn.Module, batch: Batch, method: Method, start_layer: int, on_zero_row: str
) -> Reading:
    steps = adapter.steps(module)
    if steps is None:
        towers = adapter.towers(module, batch)
        if isinstance(towers[0], WindowTower):
            return WindowReading(towers[0], method, start_layer)
        return TowerReading(towers, method, start_layer)
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
    )


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


Find = Callable[[Output], Sequence[Target]]
"""The targets, once the output is known: what a detector is asked about depends on what it found."""


def _explain(request: _Request, find: Find) -> list[Explanation]:
    if isinstance(request.method, Random):
        return _explain_randomly(request, find)
    if isinstance(request.method, DirectMethod):
        return _explain_directly(request, request.method, find)
    if request.engine == "record":
        return _explain_recorded(request, find)
    if request.method.needs_gradient:
        return _explain_streamed(request, find)
    return _explain_forward(request, find)


def _explain_streamed(request: _Request, find: Find) -> list[Explanation]:
    capture = StreamCapture(frozenset(request.reading.explained))
    explanations = []
    with torch.enable_grad():
        output, states = request.forward(capture)
        targets = find(output)
        for i, target in enumerate(targets):
            walk = request.reading.walk(target, output)
            score = target.score(output)
            capture.backward(
                score.float() if request.bf16 else score,
                visit=walk.visit,
                finish=walk.finish,
                keep_graph=i + 1 < len(targets),
            )
            explanations.append(_assemble(request, target, output, walk.answer(states)))
    return explanations


@torch.no_grad()
def _explain_forward(request: _Request, find: Find) -> list[Explanation]:
    capture = OperandCapture(frozenset(request.reading.explained))
    output, states = request.forward(capture)
    explanations = []
    for target in find(output):
        walk = request.reading.walk(target, output)
        for site in reversed(request.reading.explained):
            fold = walk.visit(site)
            if fold is not None:
                capture.show(site, fold)
            walk.finish(site)
        explanations.append(_assemble(request, target, output, walk.answer(states)))
    return explanations


def _explain_recorded(request: _Request, find: Find) -> list[Explanation]:
    capture = RecordCapture(frozenset(request.reading.explained))
    explanations = []
    with torch.set_grad_enabled(request.method.needs_gradient):
        output, states = request.forward(capture)
        relevances = request.relevances(output) if request.method.lrp else None
        targets = find(output)
        for i, target in enumerate(targets):
            gradient = None
            if request.method.needs_gradient:
                gradient = capture.gradients(target.score(output), keep_graph=i + 1 < len(targets))
            attention = capture.attention
            if relevances is not None:  # R_A stands in for A
                attention = relevances.of_maps(target, request.reading.explained, request.conserving)
            with torch.no_grad():
                answer = request.reading.recorded(target, output, attention, gradient, states, request.keep_matrices)
            explanations.append(_assemble(request, target, output, answer))
    return explanations


def _explain_directly(request: _Request, method: DirectMethod, find: Find) -> list[Explanation]:
    with torch.no_grad():
        output, states = request.forward(PassThrough())
    reading, steps = request.reading, request.adapter.steps(request.module)
    subject = Subject(
        module=request.module,
        adapter=request.adapter,
        batch=request.batch,
        sites=reading.sites,
        start_layer=request.start_layer,
        towers=reading.towers if isinstance(reading, TowerReading) else (),
        steps=steps or (),
        output=output,
        lengths=reading.lengths(),
    )
    targets = find(output)
    answers = method.relevances(subject, [settled(target, output) for target in targets])
    return [
        replace(_assemble(request, target, output, reading.constant(found.tokens, states)), pixels=found.pixels)
        for target, found in zip(targets, answers, strict=True)
    ]


@torch.no_grad()
def _explain_randomly(request: _Request, find: Find) -> list[Explanation]:
    assert isinstance(request.method, Random)
    output, states = request.forward(PassThrough())
    contents = _contents(request.batch)
    rows = {m: request.method.draw(contents[m], n) for m, n in request.reading.lengths().items()}
    answer = request.reading.constant(rows, states)
    return [_assemble(request, target, output, answer) for target in find(output)]


def _contents(batch: Batch) -> dict[str, Tensor]:
    """What the noise of a modality is seeded by."""
    pictures = batch["image"] if "image" in batch else batch.get("features", batch.get("text"))
    assert pictures is not None
    return {"image": pictures, "text": batch.get("text", pictures)}


@torch.no_grad()
def _assemble(request: _Request, target: Target, output: Output, answer: Answer) -> Explanation:
    text = next((part for part in answer.parts if part.modality == "text"), None)
    regions = request.adapter.regions(request.batch)
    query = target.queries(output)
    rows = torch.arange(len(output.logits), device=output.logits.device)
    return Explanation(
        relevancy={part.modality: part.relevancy for part in answer.parts},
        score=target.score(output).detach(),
        logits=(output.logits if query is None else output.logits[rows, query]).detach(),
        method=request.method.name,
        target=target.name,
        engine=request.engine,
        start_layer=request.start_layer,
        target_index=target.indices(output),
        cosine=None if output.cosine is None else output.cosine.detach(),
        grid=request.reading.grid,
        tokens=request.tokenizer.pieces(request.batch["text"], text.words) if text and request.tokenizer else None,
        features={part.modality: part.features for part in answer.parts},
        matrices=answer.matrices,
        regions=None if regions is None else regions[0],
        region_mask=None if regions is None else regions[1],
        grids=request.reading.grids,
        query=query,
        query_box=None if query is None or output.boxes is None else output.boxes[rows, query].detach(),
        confidence=target.confidence if isinstance(target, QueryClass) else None,
        kept=target.kept if isinstance(target, QueryClass) else None,
        zero_rows=answer.zero_rows,
        on_zero_row=request.on_zero_row,
    )
