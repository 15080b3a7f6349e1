"""The front door: explain a batch of any supported, unmodified model."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engine.capture.interceptor import Handler, Interceptor
from engine.capture.keep import OperandCapture
from engine.capture.kernel import Fold, fold_forward
from engine.capture.record import RecordCapture
from engine.capture.scope import frozen
from engine.capture.states import kept_states
from engine.capture.stream import StreamCapture
from engine.errors import CaptureError, EngineError
from engine.explanation import Explanation
from engine.methods import Method, Random, make_method
from engine.models import find_adapter
from engine.models.adapter import Adapter, Batch, Inputs, Tower
from engine.models.loading import LoadedModel
from engine.models.tokens import TextTokenizer, as_tokenizer
from engine.recorded import recorded_answer
from engine.targets import Output, Target, TargetLike, as_target
from engine.walk import Walk, explained_sites, start_walk

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

    Raises:
        EngineError: unsupported model, unknown name, or inputs that do not fit; the message is one line.
    """
    request = _Request.make(model, inputs, method, start_layer, tokenizer, engine, keep_matrices)
    wanted = [as_target(t, "text" in request.adapter.modalities, request.class_names) for t in targets]
    with torch.inference_mode(False), frozen(request.module), request.adapter.scope(request.module):
        if isinstance(request.method, Random):
            return _explain_randomly(request, wanted)
        if request.engine == "record":
            return _explain_recorded(request, wanted)
        if request.method.needs_gradient:
            return _explain_streamed(request, wanted)
        return _explain_forward(request, wanted)


@dataclass(frozen=True)
class _Request:
    """One call of explain, resolved."""

    module: nn.Module
    adapter: Adapter
    method: Method
    engine: str
    start_layer: int
    batch: Batch
    towers: tuple[Tower, ...]
    tokenizer: TextTokenizer | None
    class_names: Sequence[str] | None
    bf16: bool
    keep_matrices: bool

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
    ) -> _Request:
        loaded = model if isinstance(model, LoadedModel) else None
        module = loaded.model if loaded else model
        if not isinstance(module, nn.Module):
            raise EngineError(f"explain needs a torch module or what load_model returned, not {type(module).__name__}")
        adapter = find_adapter(module)
        chosen = make_method(method)
        tokens = as_tokenizer(tokenizer) if tokenizer is not None else (loaded.tokenizer if loaded else None)
        batch = {k: v.clone() if v.is_inference() else v for k, v in adapter.prepare(module, inputs, tokens).items()}
        return cls(
            module=module,
            adapter=adapter,
            method=chosen,
            engine=_choose_engine(engine, chosen, keep_matrices),
            start_layer=start_layer,
            batch=batch,
            towers=adapter.towers(module, batch),
            tokenizer=tokens,
            class_names=loaded.class_names if loaded else None,
            bf16=loaded is not None and loaded.precision == "bf16",
            keep_matrices=keep_matrices,
        )

    @property
    def sites(self) -> dict[str, tuple[str, ...]]:
        """Explained attention modules per modality, first to last."""
        return {t.modality: explained_sites(t, self.method, self.start_layer) for t in self.towers}

    def autocast(self) -> AbstractContextManager[Any]:
        """bf16 where the model was loaded so; relevancies are accumulated in float32 in any case."""
        device = self.batch["image"].device.type
        return torch.autocast(device, torch.bfloat16) if self.bf16 else nullcontext()

    def forward(self, handler: Handler) -> tuple[Output, dict[str, Tensor]]:
        """Run the model under the interceptor; returns its output and the last token states per modality."""
        every = [site for t in self.towers for site in (*t.layers, *((t.pool,) if t.pool else ()))]
        blocks = [t.states for t in self.towers]
        with (
            kept_states(self.module, blocks) as states,
            Interceptor(self.module, every, handler),
            self.autocast(),
        ):
            output = self.adapter.forward(self.module, self.batch)
        return output, {t.modality: states[t.states] for t in self.towers}


def _choose_engine(engine: str, method: Method, keep_matrices: bool) -> str:
    if engine not in ENGINES:
        raise EngineError(f"unknown engine {engine!r}; available: {', '.join(ENGINES)}")
    if keep_matrices and engine == "stream":
        raise EngineError("keep_matrices needs engine='record': the stream never forms a whole matrix")
    if keep_matrices:
        return "record"
    return method.engines[0] if engine == "auto" else engine


def _explain_streamed(request: _Request, targets: Sequence[Target]) -> list[Explanation]:
    sites = request.sites
    capture = StreamCapture(frozenset(s for group in sites.values() for s in group))
    with torch.enable_grad():
        output, states = request.forward(capture)
        _check_tokens(request.towers, capture.shapes)
        answers = []
        for i, target in enumerate(targets):
            walks = [start_walk(tower, request.method) for tower in request.towers]
            owner = {s: walk for walk in walks for s in sites[walk.tower.modality]}
            capture.backward(
                target.score(output).float() if request.bf16 else target.score(output),
                visit=_visitor(owner),
                finish=lambda site, owner=owner: owner[site].finish(site),  # type: ignore[misc]
                keep_graph=i + 1 < len(targets),
            )
            answers.append([walk.answer() for walk in walks])
    return [_assemble(request, t, output, states, a) for t, a in zip(targets, answers, strict=True)]


def _visitor(owner: dict[str, Walk]) -> Any:
    def visit(site: str) -> Fold:
        return owner[site].visit(site)

    return visit


@torch.no_grad()
def _explain_forward(request: _Request, targets: Sequence[Target]) -> list[Explanation]:
    sites = request.sites
    capture = OperandCapture(frozenset(s for group in sites.values() for s in group))
    output, states = request.forward(capture)
    _check_tokens(request.towers, capture.shapes)
    answers = []
    for tower in request.towers:
        walk = start_walk(tower, request.method)
        for site in reversed(sites[tower.modality]):
            fold_forward(capture.operands[site], walk.visit(site))
            walk.finish(site)
        answers.append(walk.answer())
    return [_assemble(request, t, output, states, answers) for t in targets]


def _explain_recorded(request: _Request, targets: Sequence[Target]) -> list[Explanation]:
    sites = request.sites
    capture = RecordCapture(frozenset(s for group in sites.values() for s in group))
    explanations = []
    with torch.set_grad_enabled(request.method.needs_gradient):
        output, states = request.forward(capture)
        _check_tokens(request.towers, capture.shapes)
        for i, target in enumerate(targets):
            gradient = None
            if request.method.needs_gradient:
                gradient = capture.gradients(target.score(output), keep_graph=i + 1 < len(targets))
            with torch.no_grad():
                answers, matrices = [], {}
                for tower in request.towers:
                    answer, matrix = recorded_answer(
                        tower, request.method, sites[tower.modality], capture.attention, gradient
                    )
                    answers.append(answer)
                    if request.keep_matrices and matrix is not None:
                        matrices[tower.modality, tower.modality] = matrix
            explanations.append(_assemble(request, target, output, states, answers, matrices))
    return explanations


@torch.no_grad()
def _explain_randomly(request: _Request, targets: Sequence[Target]) -> list[Explanation]:
    assert isinstance(request.method, Random)
    output, states = request.forward(lambda call: call.run_fused(call.q, call.k, call.v))
    answers = [request.method.draw(request.batch[t.modality], t.tokens) for t in request.towers]
    return [_assemble(request, t, output, states, answers) for t in targets]


def _check_tokens(towers: Sequence[Tower], shapes: dict[str, torch.Size]) -> None:
    for tower in towers:
        seen = shapes[tower.layers[0]][2]
        if seen != tower.tokens:
            raise CaptureError(
                f"{tower.layers[0]!r} works on {seen} tokens where {tower.tokens} were expected "
                f"for the {tower.modality} tower; the model is unchanged"
            )


@torch.no_grad()
def _assemble(
    request: _Request,
    target: Target,
    output: Output,
    states: dict[str, Tensor],
    answers: Sequence[Tensor],
    matrices: dict[tuple[str, str], Tensor] | None = None,
) -> Explanation:
    relevancy, features = {}, {}
    for tower, answer in zip(request.towers, answers, strict=True):
        shown = torch.where(tower.content, answer, torch.zeros_like(answer))
        relevancy[tower.modality] = shown[:, tower.prefix :].detach()
        features[tower.modality] = _weighted_mean(states[tower.modality], shown)
    text = next((t for t in request.towers if t.modality == "text"), None)
    return Explanation(
        relevancy=relevancy,
        score=target.score(output).detach(),
        logits=output.logits.detach(),
        method=request.method.name,
        target=target.name,
        engine=request.engine,
        start_layer=request.start_layer,
        target_index=target.indices(output),
        cosine=None if output.cosine is None else output.cosine.detach(),
        grid=next((t.grid for t in request.towers if t.grid), None),
        tokens=request.tokenizer.pieces(request.batch["text"], text.content) if text and request.tokenizer else None,
        features=features,
        matrices=matrices or {},
    )


def _weighted_mean(states: Tensor, weights: Tensor) -> Tensor:
    """Mean of token states [B, N, D] by non-negative weights [B, N]; zero where all weights are zero."""
    positive = weights.nan_to_num(0.0).clamp(min=0).to(states.dtype)
    share = positive / positive.sum(dim=1, keepdim=True).clamp(min=torch.finfo(states.dtype).tiny)
    return torch.einsum("bn,bnd->bd", share, states)
