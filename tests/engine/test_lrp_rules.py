"""Every LRP rule against its slow second writing, on random shapes, seeds and types; conservation; sample axes."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
import torch

from engine.lrp import attn, rules
from engine.lrp.sample_axis import after_broadcast, after_permute, after_removal, per_sample

SEEDS = pytest.mark.parametrize("seed", range(4))
TYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


class Numbers:
    """Random tensors of a seed and type, with some exact zeros."""

    def __init__(self, seed, dtype):
        self.generator, self.dtype = torch.Generator().manual_seed(seed), dtype

    def size(self):
        return int(torch.randint(1, 6, (), generator=self.generator))

    def draw(self, *shape, zeros=True):
        values = torch.randn(*shape, generator=self.generator, dtype=torch.float64)
        if zeros:
            values *= torch.rand(*shape, generator=self.generator, dtype=torch.float64) > 0.1
        return values.to(self.dtype)


def check(actual, expected, dtype):
    """float32 loses digits where a rule divides by a small sum: the bound is relative to the largest number."""
    expected = np.asarray(expected, dtype=np.float64)
    assert actual.dtype == dtype
    assert tuple(actual.shape) == expected.shape
    tolerance = 1e-11 if dtype == torch.float64 else 2e-4
    bound = tolerance * max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(actual.double().numpy(), expected, rtol=0, atol=bound)


def exact(tensor):
    return tensor.double().numpy()


def away_from_zero(z, least=0.05):
    """Move small numbers away from zero, where a quotient would amplify the rounding of float32."""
    return torch.where(z.abs() < least, torch.full_like(z, least), z)


@TYPES
@SEEDS
@pytest.mark.parametrize("joint", [True, False])
def test_linear(seed, dtype, joint):
    n = Numbers(seed, dtype)
    rows, inner, outer = n.size(), n.size(), n.size()
    r, x, w = n.draw(rows, outer), n.draw(rows, inner), n.draw(inner, outer)
    rule = rules.linear_conserving if joint else rules.linear_classic
    expected = [oracles.lrp_linear(exact(r[i]), exact(x[i]), exact(w).T, joint) for i in range(rows)]
    check(rule(r, x, w), expected, dtype)


@TYPES
@SEEDS
@pytest.mark.parametrize("conserving", [True, False])
def test_add(seed, dtype, conserving):
    n = Numbers(seed, dtype)
    outer, batch, inner = n.size(), n.size(), n.size()
    a = n.draw(outer, batch, inner)
    b = away_from_zero(n.draw(outer, batch, inner) + a) - a
    r = n.draw(outer, batch, inner)
    if not conserving:
        found = rules.add_classic(r, a, b)
        expected = oracles.lrp_add(exact(r).ravel(), exact(a).ravel(), exact(b).ravel(), False)
        for x, y in zip(found, expected, strict=True):
            check(x.flatten(), y, dtype)
        return
    found = rules.add_conserving(r, a, b)
    for i in range(batch):
        one = [exact(t[:, i]).ravel() for t in (r, a, b)]
        for x, y in zip(found, oracles.lrp_add(*one, True), strict=True):
            check(x[:, i].flatten(), y, dtype)


@TYPES
@SEEDS
def test_clone(seed, dtype):
    n = Numbers(seed, dtype)
    size = 1 + n.size()
    x, rs = n.draw(size), [n.draw(size) for _ in range(3)]
    check(rules.clone(rs, x), oracles.lrp_clone([exact(r) for r in rs], exact(x)), dtype)


@TYPES
@SEEDS
def test_selected(seed, dtype):
    n = Numbers(seed, dtype)
    tokens, width = n.size(), n.size()
    x, r, position = n.draw(tokens, width), n.draw(width), seed % tokens
    back = torch.zeros_like(x)
    back[position] = rules.selected(r, x[position])
    check(back * x, oracles.lrp_select(exact(r), exact(x), position), dtype)


@TYPES
@SEEDS
@pytest.mark.parametrize("method", ["lrp", "attn_lrp"])
def test_product(seed, dtype, method):
    n = Numbers(seed, dtype)
    s, t, d = n.size(), n.size(), n.size()
    a, b, r = n.draw(2, s, t).softmax(dim=-1), n.draw(2, t, d).abs() + 0.05, n.draw(2, s, d)
    rule = rules.product if method == "lrp" else attn.product_epsilon
    second = oracles.lrp_product if method == "lrp" else oracles.attn_lrp_product
    found = rule(r, a, b)
    for h in range(2):
        for x, y in zip(found, second(exact(r[h]), exact(a[h]), exact(b[h])), strict=True):
            check(x[h], y, dtype)


@TYPES
@SEEDS
def test_mean_and_dot(seed, dtype):
    n = Numbers(seed, dtype)
    size = 1 + n.size()
    x, r = n.draw(size).abs() + 0.1, n.draw(1)
    check(rules.proportional_mean(r, x, x.sum()), oracles.lrp_mean(float(r), exact(x)), dtype)
    a, b = n.draw(size), n.draw(size)
    check(rules.dot(r, a, b), oracles.lrp_dot(float(r), exact(a), exact(b)), dtype)


@TYPES
@SEEDS
def test_pixels(seed, dtype):
    n = Numbers(seed, dtype)
    patch, rows, columns, out = 2 + seed % 3, n.size(), n.size(), n.size()
    images = n.draw(2, 3, rows * patch, columns * patch, zeros=False)
    kernel, r = n.draw(out, 3, patch, patch, zeros=False), n.draw(2, out, rows, columns)
    found = rules.z_box(r, images, kernel, (patch, patch), (0, 0))
    for i in range(2):
        check(found[i], oracles.lrp_pixels(exact(r[i]), exact(images[i]), exact(kernel), patch), dtype)


@TYPES
@SEEDS
def test_attn_linear(seed, dtype):
    n = Numbers(seed, dtype)
    rows, inner, outer = n.size(), n.size(), n.size()
    x, w, r = n.draw(rows, inner), n.draw(inner, outer), n.draw(rows, outer)
    bias = away_from_zero(x @ w + n.draw(outer))[0] - (x @ w)[0]
    x, r = x[:1], r[:1]
    check(
        attn.linear_epsilon(r, x, w, bias),
        [oracles.attn_lrp_linear(exact(r[0]), exact(x[0]), exact(w).T, exact(bias))],
        dtype,
    )


@TYPES
@SEEDS
def test_attn_softmax(seed, dtype):
    n = Numbers(seed, dtype)
    x, r = n.draw(3, 5), n.draw(3, 5)
    x[1, 2:] = float("-inf")
    found = attn.softmax_taylor(r, x, x.softmax(dim=-1))
    check(found, [oracles.attn_lrp_softmax(exact(r[i]), exact(x[i])) for i in range(3)], dtype)
    assert (found[1, 2:] == 0).all()


@TYPES
@SEEDS
def test_attn_layer_norm(seed, dtype):
    n = Numbers(seed, dtype)
    width = 2 + n.size()
    x, gain, r = n.draw(3, width, zeros=False), n.draw(width), n.draw(3, width)
    deviation = (x.var(dim=-1, keepdim=True, correction=0) + 1e-5).sqrt()
    plain = (x - x.mean(dim=-1, keepdim=True)) / deviation * gain
    bias = torch.full((width,), float(plain.abs().max()) + 0.5, dtype=dtype)
    found = attn.layer_norm_linear(r, x, plain + bias, gain, deviation, (1,))
    check(
        found,
        [oracles.attn_lrp_norm(exact(r[i]), exact(x[i]), exact(gain), exact(bias), 1e-5) for i in range(3)],
        dtype,
    )


@SEEDS
def test_what_is_conserved(seed):
    """The conserving rules keep every sample's sum; the classic linear rule does not."""
    n = Numbers(seed, torch.float64)
    r, x, w = n.draw(4, 6, zeros=False), n.draw(4, 40, zeros=False), n.draw(40, 6, zeros=False)
    torch.testing.assert_close(rules.linear_conserving(r, x, w).sum(1), r.sum(1), rtol=1e-6, atol=1e-8)
    assert (rules.linear_classic(r, x, w).sum(1) - r.sum(1)).abs().max() > 0.1
    r, a, b = (n.draw(2, 3, 4, zeros=False) for _ in range(3))
    both = sum(share.sum(dim=(0, 2)) for share in rules.add_conserving(r, a, b))
    torch.testing.assert_close(both, r.sum(dim=(0, 2)), rtol=1e-6, atol=1e-8)
    kept = rules.rescaled(n.draw(2, 3, 4), r)
    torch.testing.assert_close(kept.sum(dim=(0, 2)), r.sum(dim=(0, 2)), rtol=1e-6, atol=1e-8)
    r, a, b = n.draw(3, 4), n.draw(3, 5).softmax(-1), n.draw(5, 4, zeros=False)
    of_a, of_b = rules.product(r, a, b)
    torch.testing.assert_close(of_a.sum(), r.sum() / 2, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(of_b.sum(), r.sum() / 2, rtol=1e-6, atol=1e-6)


@SEEDS
def test_add_never_couples_samples(seed):
    n = Numbers(seed, torch.float64)
    r, a, b = (n.draw(2, 3, 4, zeros=False) for _ in range(3))
    together = rules.add_conserving(r, a, b)
    for i in range(3):
        alone = rules.add_conserving(r[:, i : i + 1], a[:, i : i + 1], b[:, i : i + 1])
        for x, y in zip(together, alone, strict=True):
            torch.testing.assert_close(x[:, i : i + 1], y, rtol=1e-11, atol=1e-13)


@SEEDS
def test_samples_are_followed_through_views(seed):
    """Fill a tensor with the number of the sample; after any operation every slice holds one number."""
    n = Numbers(seed, torch.float64)
    batch = 2 + n.size()
    x = torch.arange(batch, dtype=torch.float64)[:, None, None, None].expand(batch, 2, 3, 4)
    outer = 1
    order = torch.randperm(4, generator=n.generator).tolist()
    moved = x.permute(order)
    outer = after_permute(x.shape, outer, order)
    assert_sorted_by_sample(moved, outer, batch)
    flat = moved.reshape(-1, moved.shape[-1]) if order[-1] != 0 else moved.reshape(moved.shape[0], -1)
    assert_sorted_by_sample(flat, outer, batch)
    axis = next(i for i in range(4) if order[i] != 0)
    assert_sorted_by_sample(
        moved.select(axis, 1), after_removal(moved.shape, outer, axis, moved.select(axis, 1).shape), batch
    )
    wide = moved[None] + torch.zeros(5, 1, 1, 1, 1)
    assert_sorted_by_sample(wide, after_broadcast(moved.shape, outer, wide.shape), batch)
    own = order.index(0)
    assert after_removal(moved.shape, outer, own, moved.select(own, 0).shape) is None


def assert_sorted_by_sample(tensor, outer, batch):
    for i, part in enumerate(per_sample(tensor, outer, batch).unbind(1)):
        assert (part == i).all()
