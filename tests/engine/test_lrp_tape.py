"""Operations on the LRP tape, one by one: routing against torch's own backward pass, and what a tape remembers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from engine.errors import UnsupportedModel
from engine.lrp.propagate import MixedSamples, Propagation
from engine.lrp.tape import Tape

INDEX = torch.tensor([[2], [0], [1]])
MASK = torch.tensor([True, False, True, True])

ROUTES = {
    "select": lambda x: x[:, 1],
    "slice": lambda x: x[:, 1:3],
    "slice with step": lambda x: x[..., ::2],
    "permute": lambda x: x.permute(2, 0, 1),
    "transpose and view": lambda x: x.transpose(1, 2).reshape(3, 12),
    "flatten to rows": lambda x: x.reshape(9, 4),
    "expand": lambda x: x[:, :, None].expand(3, 3, 5, 4),
    "split": lambda x: torch.cat([x.split(2, dim=2)[1] * 1, x.split(2, dim=2)[0]], dim=2),
    "unbind and stack": lambda x: torch.stack(x.unbind(1)[::-1], dim=1),
    "chunk, one unused": lambda x: x.chunk(2, dim=2)[1],
    "gather": lambda x: x.gather(1, INDEX[:, :, None].expand(3, 1, 4)),
    "index": lambda x: x[torch.arange(3), INDEX[:, 0]],
    "roll": lambda x: x.roll((1, 2), (1, 2)),
    "flip": lambda x: x.flip(1),
    "where": lambda x: torch.where(MASK, x, 7.0),
    "masked_fill": lambda x: x.masked_fill(MASK, float("-inf")),
    "copies": lambda x: x.clone().contiguous(),
    "cat with a constant": lambda x: torch.cat([torch.ones(3, 1, 4, dtype=x.dtype), x], dim=1),
}


def propagated(function, x, relevance=None, conserving=False):
    """Relevance of x under a function, and the function's value."""
    tape = Tape([x], batch=len(x))
    with torch.no_grad(), tape:
        out = function(x)
    root, end = tape.value(x), tape.value(out)
    relevance = torch.ones_like(out) if relevance is None else relevance
    return Propagation(tape, [root], conserving=conserving).run({end: relevance})[root], out


@pytest.mark.parametrize("name", ROUTES)
def test_routing_is_that_of_the_backward_pass(name):
    """Where elements only move, relevance goes where a gradient would."""
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(3, 3, 4, generator=generator, dtype=torch.float64)
    leaf = x.clone().requires_grad_()
    out = ROUTES[name](leaf)
    relevance = torch.randn(out.shape, generator=generator, dtype=torch.float64)
    (expected,) = torch.autograd.grad(out, leaf, relevance)
    found, _ = propagated(ROUTES[name], x, relevance)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)


POINTWISE = {
    "gelu": F.gelu,
    "relu": F.relu,
    "tanh": torch.tanh,
    "quick gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "gelu written out": lambda x: 0.5 * x * (1 + torch.tanh(0.79788456 * (x + 0.044715 * torch.pow(x, 3)))),
    "layer scale": lambda x: x * torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64),
    "layer norm": lambda x: F.layer_norm(x, (4,)),
    "rms norm": lambda x: F.rms_norm(x, (4,)),
    "softmax": lambda x: x.softmax(-1),
    "division by a norm": lambda x: x / x.norm(dim=-1, keepdim=True),
}


@pytest.mark.parametrize("name", POINTWISE)
def test_activations_and_norms_pass_relevance_on(name):
    generator = torch.Generator().manual_seed(4)
    x, relevance = (torch.randn(3, 3, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    found, _ = propagated(POINTWISE[name], x, relevance)
    torch.testing.assert_close(found, relevance)


def test_gates_take_half():
    """A product of two different functions of the features: half to each, as for a matrix product."""
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(3, 8, generator=generator, dtype=torch.float64)
    relevance = torch.ones(3, 4, dtype=torch.float64)
    found, _ = propagated(lambda x: F.silu(x[:, :4]) * x[:, 4:], x, relevance)
    torch.testing.assert_close(found, torch.full_like(x, 0.5), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("conserving", [True, False])
def test_a_linear_layer_by_any_route(conserving):
    """torch computes the same layer in different ways, depending on how its input lies in memory."""
    generator = torch.Generator().manual_seed(6)
    weight = torch.randn(5, 4, generator=generator, dtype=torch.float64)
    bias = torch.randn(5, generator=generator, dtype=torch.float64)
    x = torch.randn(2, 3, 4, generator=generator, dtype=torch.float64)
    turned = x.transpose(1, 2).contiguous()  # its transpose has the same numbers in another order of memory
    relevance = torch.randn(2, 3, 5, generator=generator, dtype=torch.float64)
    plain, _ = propagated(lambda x: F.linear(x, weight, bias), x, relevance, conserving)
    strided, _ = propagated(lambda x: F.linear(x.transpose(1, 2), weight, bias), turned, relevance, conserving)
    product, _ = propagated(lambda x: x @ weight.T + bias, x, relevance, conserving)
    torch.testing.assert_close(strided.transpose(1, 2), plain)
    torch.testing.assert_close(product, plain)


def test_token_major_tensors_keep_their_samples_apart():
    """[N, B, D] and [B, N, D] give the same: sums run over a sample wherever it lies."""
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(3, 5, 4, generator=generator, dtype=torch.float64)
    relevance = torch.randn(3, 5, 4, generator=generator, dtype=torch.float64)

    def token_major(x):
        y = x.transpose(0, 1).contiguous()
        return (y + F.gelu(y).roll(1, 0)).transpose(0, 1)

    together, _ = propagated(token_major, x, relevance, conserving=True)
    alone = [propagated(token_major, x[i : i + 1], relevance[i : i + 1], conserving=True)[0] for i in range(3)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-9, atol=1e-12)


def test_mixed_samples_are_noticed():
    x = torch.randn(3, 4, dtype=torch.float64)
    with pytest.raises(MixedSamples):
        propagated(lambda x: x[:3] + torch.tanh(x[:3]).roll(1, 1), x, conserving=True)


def test_a_partial_write_is_refused_rather_than_forgotten():
    """A value whose memory was changed through a view has no rule; it must not pass for the old one."""

    def overwrite(x):
        y = x * 2
        y[:, 0].add_(x[:, 1])
        return y * 3

    with pytest.raises(UnsupportedModel, match="overwritten"):
        propagated(overwrite, torch.randn(2, 3, dtype=torch.float64))


def test_masks_made_from_the_input_are_constants():
    """Which tokens are padding is read from the ids, but it is no content."""
    ids = torch.tensor([[1, 2, 0]])
    tape = Tape([ids], batch=1)
    with torch.no_grad(), tape:
        mask = (ids != 0).double()
        content = F.embedding(ids, torch.eye(3))
    assert tape.value(mask).constant
    assert not tape.value(content).constant
