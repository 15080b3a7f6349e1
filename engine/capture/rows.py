"""Send the gradient through the rows of the tokens that are read out, where the others get none.

After the last attention each token of a block goes its own way: projection, norm and MLP treat it alone. Where the
answer is read from a few tokens (CLS, end of text), the gradient of all the others is zero there, yet a matrix product
with zeros costs as much as any. The forward pass is left as it is where summaries read the states of all tokens;
otherwise it treats the few alone, too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

MOST = 8
"""More tokens than these are no few."""


def read_rows(start: Tensor) -> Tensor | None:
    """Positions [B, K] of the tokens that a starting row [B, N] reads; None where they are many.

    Samples that read fewer tokens than others name some that they do not read, which harms nothing.
    """
    read = start != 0
    most = int(read.sum(dim=1).max())
    if not 0 < most <= MOST or most == start.shape[1]:
        return None
    return read.to(torch.uint8).topk(most, dim=1).indices


@contextmanager
def gradient_through(chains: Sequence[Sequence[nn.Module]], rows: Tensor, alone: bool = False) -> Iterator[None]:
    """While active, calls of these modules build a graph for some tokens alone; what they return is unchanged.

    Args:
        chains: modules that run one after the other on [B, N, D] and treat each token alone, without trained parameters
            (frozen), outside other threads.
        rows: different tokens [B, K] that keep their gradient; it must be zero for all others.
        alone: nobody reads the other tokens: they are left out of the forward pass, and zero in what is returned.
    """
    with ExitStack() as stack:
        for chain in chains:
            enter, leave = (_few if alone else _hooks)(chain, rows, threading.get_ident())
            stack.callback(chain[0].register_forward_pre_hook(enter).remove)
            stack.callback(chain[-1].register_forward_hook(leave).remove)
        yield


def _hooks(chain: Sequence[nn.Module], rows: Tensor, thread: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    given: list[Tensor] = []  # what came in, between the first module and the last
    again = False  # the few rows are on their way, through the same modules

    def enter(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        tokens = None if again else _tokens(inputs, thread)
        if tokens is None:
            return None
        given.append(tokens)
        return tokens.detach(), *inputs[1:]

    def leave(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor | None:
        nonlocal again
        if again or threading.get_ident() != thread or not given:
            return None
        few = _take(given.pop(), rows)
        again = True
        try:
            for each in chain:
                few = each(few)
        finally:
            again = False
        joined: Tensor = _Joined.apply(output, few, rows)
        return joined

    return enter, leave


def _few(chain: Sequence[nn.Module], rows: Tensor, thread: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    given: list[torch.Size] = []

    def enter(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        tokens = _tokens(inputs, thread)
        if tokens is None:
            return None
        given.append(tokens.shape)
        return _take(tokens, rows), *inputs[1:]

    def leave(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor | None:
        if threading.get_ident() != thread or not given:
            return None
        batch, tokens, _ = given.pop()
        whole = output.new_zeros(batch, tokens, output.shape[-1])
        return whole.scatter(1, rows[..., None].expand_as(output), output)

    return enter, leave


def _tokens(inputs: tuple[Any, ...], thread: int) -> Tensor | None:
    """The tokens [B, N, D] that a module of our own thread was called with, if a gradient is wanted of them."""
    if threading.get_ident() != thread or not inputs:
        return None
    tokens = inputs[0]
    return tokens if isinstance(tokens, Tensor) and tokens.dim() == 3 and tokens.requires_grad else None


def _take(tokens: Tensor, rows: Tensor) -> Tensor:
    """Some tokens of each sample: [B, N, D] and [B, K] -> [B, K, D]."""
    return tokens.gather(1, rows[..., None].expand(-1, -1, tokens.shape[-1]))


class _Joined(torch.autograd.Function):
    """All tokens as they are; their gradient goes to the few, which have the same values."""

    @staticmethod
    def forward(ctx: Any, everything: Tensor, few: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        return everything.view_as(everything)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (rows,) = ctx.saved_tensors
        return None, _take(grads[0], rows), None
