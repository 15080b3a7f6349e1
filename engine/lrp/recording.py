"""Run a model once and keep what LRP needs: the tape, and where attention maps and block inputs are on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from engine.capture.calls import AttentionCall, blind_rows
from engine.capture.interceptor import Interceptor
from engine.lrp.conventions import Conventions
from engine.lrp.tape import Tape, Value
from engine.targets import Output


@dataclass(frozen=True)
class Recording:
    """One forward pass.

    Attributes:
        tape: every operation.
        output: what the model returned.
        roots: the inputs that carry relevance.
        maps: the attention map of each site.
        blocks: the input of each block that was asked for.
        states: the outputs that were asked for, by module path and element.
    """

    tape: Tape
    output: Output
    roots: dict[str, Tensor]
    maps: dict[str, Value] = field(default_factory=dict)
    blocks: dict[str, Value] = field(default_factory=dict)
    states: dict[tuple[str, int], Value] = field(default_factory=dict)


class WrittenOut:
    """Attention handler that writes fused attention out as q k^T, scale, mask, softmax and A V, on the tape."""

    def __init__(self, tape: Tape, scaled_query: bool) -> None:
        self._tape, self._scaled_query = tape, scaled_query
        self.maps: dict[str, Value] = {}
        self.shapes: dict[str, torch.Size] = {}

    def __call__(self, call: AttentionCall) -> Tensor:
        """Handle one fused call."""
        keys, scale = call.k.transpose(-2, -1), call.softmax_scale
        scores = (call.q * scale) @ keys if self._scaled_query else (call.q @ keys) * scale
        bias = call.bias()
        if bias is None:
            return self.weights(call.site, scores.softmax(dim=-1)) @ call.v
        scores, blind = scores + bias, blind_rows(bias)
        if not blind.any():
            return self.weights(call.site, scores.softmax(dim=-1)) @ call.v
        attention = scores.masked_fill(blind, 0.0).softmax(dim=-1).masked_fill(blind, 0.0)
        return self.weights(call.site, attention) @ call.v

    def weights(self, site: str, attention: Tensor) -> Tensor:
        """Note which value is the map of a site."""
        self.shapes[site] = attention.shape
        self.maps[site] = self._tape.value(attention)
        return attention


@torch.no_grad()
def record(
    module: nn.Module,
    forward: Callable[[], Output],
    roots: Mapping[str, Tensor],
    sites: Sequence[str],
    explicit: Mapping[str, str],
    conventions: Conventions,
    blocks: Sequence[str] = (),
    states: Sequence[tuple[str, int]] = (),
) -> Recording:
    """Run ``forward`` and record it.

    Args:
        module: the model; unchanged afterwards.
        forward: runs it.
        roots: inputs that carry relevance, by name; samples on axis 0.
        sites: all attention sites of the model.
        explicit: modules that write the softmax out (see ``Interceptor``).
        conventions: of the family.
        blocks: paths of modules whose first input is to be found again.
        states: outputs that are to be found again: module path and element.
    """
    tape = Tape(list(roots.values()), batch=len(next(iter(roots.values()))))
    handler = WrittenOut(tape, conventions.scaled_query)
    inputs: dict[str, Value] = {}
    outputs: dict[tuple[str, int], Value] = {}
    cloned = [(conventions.cloned, 0)] if conventions.cloned else []
    with (
        _seen(module, blocks, tape, inputs),
        _seen_outputs(module, [*states, *cloned], tape, outputs),
        _scopes(module, conventions.clones, tape),
        Interceptor(module, sites, handler, explicit),
        tape,
    ):
        output = forward()
    for place in cloned:
        outputs[place].cloned = True
    return Recording(tape, output, dict(roots), handler.maps, inputs, {place: outputs[place] for place in states})


@contextmanager
def _seen(module: nn.Module, paths: Sequence[str], tape: Tape, inputs: dict[str, Value]) -> Iterator[None]:
    """Note the first input of the modules at ``paths``."""

    def note(path: str) -> Callable[..., None]:
        def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            inputs[path] = tape.value(next(x for x in (*args, *kwargs.values()) if isinstance(x, Tensor)))

        return hook

    with ExitStack() as stack:
        for path in dict.fromkeys(paths):
            handle = module.get_submodule(path).register_forward_pre_hook(note(path), with_kwargs=True)
            stack.callback(handle.remove)
        yield


@contextmanager
def _seen_outputs(
    module: nn.Module, places: Sequence[tuple[str, int]], tape: Tape, outputs: dict[tuple[str, int], Value]
) -> Iterator[None]:
    """Note an element of what modules return: (path, element)."""

    def note(place: tuple[str, int]) -> Callable[..., None]:
        def hook(_: nn.Module, args: Any, output: Any) -> None:
            outputs[place] = tape.value(output if isinstance(output, Tensor) else output[place[1]])

        return hook

    with ExitStack() as stack:
        for place in dict.fromkeys(places):
            stack.callback(module.get_submodule(place[0]).register_forward_hook(note(place)).remove)
        yield


@contextmanager
def _scopes(module: nn.Module, groups: Sequence[Sequence[str]], tape: Tape) -> Iterator[None]:
    """Tell the tape in which call of the named modules it is; see ``Conventions.clones``."""
    calls: Counter[str] = Counter()

    def announce(path: str, label: Hashable, shared: bool) -> list[Any]:
        def enter(*_: object) -> None:
            calls[path] += 1
            tape.scope.append(label if shared else (label, calls[path]))

        def leave(*_: object) -> None:
            tape.scope.pop()

        owner = module.get_submodule(path)
        return [owner.register_forward_pre_hook(enter), owner.register_forward_hook(leave, always_call=True)]

    with ExitStack() as stack:
        for path, _ in module.named_modules():
            for group in groups:
                name = next((n for n in group if path == n or path.endswith(f".{n}")), None)
                if name is not None:
                    for handle in announce(path, (group, path.removesuffix(name)), shared=len(group) > 1):
                        stack.callback(handle.remove)
        yield
