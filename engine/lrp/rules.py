"""The rules of layer-wise relevance propagation, as pure functions on tensors.

R is the relevance that arrives at an operation's output; each function returns the relevance of its inputs. The rules
are those of Chefer, Gur, Wolf, *Transformer Interpretability Beyond Attention Visualization*, CVPR 2021 ("conserving")
and of Bach et al., PLOS ONE 2015, and Montavon et al., 2017, as their baselines use them ("classic"). ``div`` and its
1e-9 are the authors'.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.grad import conv2d_input

EPSILON = 1e-9


def div(a: Tensor, b: Tensor) -> Tensor:
    """a / (b + 1e-9) where b is not zero, and zero where it is."""
    return torch.where(b != 0, a / torch.where(b != 0, b + EPSILON, 1.0), 0.0)


def linear_conserving(relevance: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """Linear layer, z+ over sign pairs with one denominator; the bias gets nothing.

    Args:
        relevance: R, [..., out].
        x: input, [..., in].
        weight: [in, out], so that the layer computes ``x @ weight``.
    """
    x_pos, x_neg = x.clamp(min=0), x.clamp(max=0)
    w_pos, w_neg = weight.clamp(min=0), weight.clamp(max=0)
    share = div(relevance, x_pos @ w_pos + x_neg @ w_neg)
    return x_pos * (share @ w_pos.mT) + x_neg * (share @ w_neg.mT)


def linear_classic(relevance: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """Linear layer, the two sign pairs with denominators of their own: relevance is not conserved."""
    x_pos, x_neg = x.clamp(min=0), x.clamp(max=0)
    w_pos, w_neg = weight.clamp(min=0), weight.clamp(max=0)
    both = x_pos * (div(relevance, x_pos @ w_pos) @ w_pos.mT)
    return both + x_neg * (div(relevance, x_neg @ w_neg) @ w_neg.mT)


def add_classic(relevance: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Sum of a and b (of one shape): each gets its proportion of every element."""
    share = div(relevance, a + b)
    return a * share, b * share


def add_conserving(relevance: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """As :func:`add_classic`, then each share scaled so that both together sum to R, by their absolute sums.

    All tensors are [outer, B, inner]; sums run over one sample, never over the batch.
    """
    share_a, share_b = add_classic(relevance, a, b)
    sum_a, sum_b, total = (x.sum(dim=(0, 2), keepdim=True) for x in (share_a, share_b, relevance))
    weight = sum_a.abs() + sum_b.abs()
    return (
        share_a * div(div(sum_a.abs(), weight) * total, sum_a),
        share_b * div(div(sum_b.abs(), weight) * total, sum_b),
    )


def clone(relevances: Sequence[Tensor], x: Tensor) -> Tensor:
    """Value that goes to several consumers: x * sum_i R_i / x."""
    return x * sum((div(r, x) for r in relevances), torch.zeros_like(x))


def selected(relevance: Tensor, chosen: Tensor) -> Tensor:
    """What is put back at the place of selected elements, before it is multiplied by x: R / x_selected."""
    return div(relevance, chosen)


def product(relevance: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Matrix product a @ b of two activations: half of the relevance to each operand."""
    share = div(relevance, a @ b)
    return a * (share @ b.mT) / 2, b * (a.mT @ share) / 2


def proportional_mean(relevance: Tensor, x: Tensor, total: Tensor) -> Tensor:
    """Sum or mean over axes: every element gets its proportion; ``total`` (the sum) and R broadcast to x."""
    return x * div(relevance, total)


def dot(relevance: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Dot product over the last axis, read as a linear layer over ``a`` with weight ``b``: R [..., 1] -> [..., d]."""
    positive = (a * b).clamp(min=0)
    return positive * div(relevance, positive.sum(dim=-1, keepdim=True))


def rescaled(result: Tensor, relevance: Tensor) -> Tensor:
    """Scale [outer, B, inner] so that every sample sums to what arrived (DETR's linear layers)."""
    total = relevance.sum(dim=(0, 2), keepdim=True)
    return result * div(total, result.sum(dim=(0, 2), keepdim=True))


def z_box(relevance: Tensor, image: Tensor, weight: Tensor, stride: Sequence[int], padding: Sequence[int]) -> Tensor:
    """Convolution on pixels, z-B rule: lowest and highest value of each image are the bounds; no bias.

    Args:
        relevance: R, [B, out, h, w].
        image: [B, C, H, W].
        weight: [out, C, kh, kw].
        stride: of the convolution.
        padding: of the convolution.
    """
    low = image.amin(dim=(1, 2, 3), keepdim=True).expand_as(image)
    high = image.amax(dim=(1, 2, 3), keepdim=True).expand_as(image)
    parts = ((image, weight, 1.0), (low, weight.clamp(min=0), -1.0), (high, weight.clamp(max=0), -1.0))
    stride, padding = list(stride), list(padding)
    z = sum(sign * torch.conv2d(x, w, None, stride, padding) for x, w, sign in parts)
    assert isinstance(z, Tensor)
    share = relevance / (z + EPSILON)
    out = [sign * x * conv2d_input(image.shape, w, share, stride, padding) for x, w, sign in parts]
    return out[0] + out[1] + out[2]
