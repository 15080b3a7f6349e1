"""The ways to explain a request: streamed, forward only, recorded, directly, at random."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from engine.capture.keep import OperandCapture
from engine.capture.kernel import wide
from engine.capture.pass_through import PassThrough
from engine.capture.record import RecordCapture
from engine.capture.stream import StreamCapture
from engine.explanation import Explanation
from engine.lrp.relevances import settled
from engine.methods import DirectMethod, Random
from engine.methods.direct import Subject
from engine.models.adapter import Batch
from engine.reading import Answer
from engine.request import Request
from engine.targets import Output, QueryClass, Target
from engine.tower_reading import TowerReading

Find = Callable[[Output], Sequence[Target]]
"""The targets, once the output is known: what a detector is asked about depends on what it found."""


def run(request: Request, find: Find) -> list[Explanation]:
    """Explain all targets of a request with its method and engine; the model must be in its scope."""
    if isinstance(request.method, Random):
        return _explain_randomly(request, find)
    if isinstance(request.method, DirectMethod):
        return _explain_directly(request, request.method, find)
    if request.engine == "record":
        return _explain_recorded(request, find)
    if request.method.needs_gradient:
        return _explain_streamed(request, find)
    return _explain_forward(request, find)


def _explain_streamed(request: Request, find: Find) -> list[Explanation]:
    capture = StreamCapture(frozenset(request.reading.explained))
    explanations = []
    with torch.enable_grad():
        with request.gradient_rows():
            output, states = request.forward(capture)
        targets = find(output)
        for i, target in enumerate(targets):
            walk = request.reading.walk(target, output)
            score = target.score(output)
            capture.backward(
                score.float() if request.precision.half else score,
                visit=walk.visit,
                finish=walk.finish,
                keep_graph=i + 1 < len(targets),
                gain=request.precision.gain,
            )
            explanations.append(_assemble(request, target, output, walk.answer(states)))
    return explanations


@torch.no_grad()
def _explain_forward(request: Request, find: Find) -> list[Explanation]:
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


def _explain_recorded(request: Request, find: Find) -> list[Explanation]:
    capture = RecordCapture(frozenset(request.reading.explained))
    explanations = []
    with torch.set_grad_enabled(request.method.needs_gradient):
        output, states = request.forward(capture)
        relevances = request.relevances(output) if request.method.lrp else None
        targets = find(output)
        for i, target in enumerate(targets):
            gradient = None
            if request.method.needs_gradient:
                score, more = target.score(output), i + 1 < len(targets)
                gradient = capture.gradients(score, keep_graph=more, gain=request.precision.gain)
            attention = {site: wide(found) for site, found in capture.attention.items()}
            if relevances is not None:  # R_A stands in for A
                attention = relevances.of_maps(target, request.reading.explained, request.conserving)
            with torch.no_grad():
                answer = request.reading.recorded(target, output, attention, gradient, states, request.keep_matrices)
            explanations.append(_assemble(request, target, output, answer))
    return explanations


def _explain_directly(request: Request, method: DirectMethod, find: Find) -> list[Explanation]:
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
def _explain_randomly(request: Request, find: Find) -> list[Explanation]:
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
def _assemble(request: Request, target: Target, output: Output, answer: Answer) -> Explanation:
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
        words=request.words(text.words) if text else None,
        features={part.modality: part.features for part in answer.parts} if request.features else {},
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
        patches=next((part.patches for part in answer.parts if part.patches is not None), None),
    )
