"""The rules of AttnLRP (Achtibat et al., ICML 2024) on the same tape."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.capture.kernel import wide
from engine.lrp.propagate import Propagation
from engine.lrp.tape import Node, Value

EPSILON = 1e-6
"""The default of the authors' library."""


def ratio(relevance: Tensor, z: Tensor) -> Tensor:
    """R / (z + eps * sign(z)), the sign of zero being plus: the epsilon rule's quotient."""
    return relevance / (z + EPSILON * torch.where(z < 0, -1.0, 1.0))


def linear_epsilon(relevance: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Linear layer, epsilon rule: the bias takes its share."""
    z = x @ weight if bias is None else x @ weight + bias
    return x * (ratio(relevance, z) @ weight.mT)


def product_epsilon(relevance: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Matrix product of two activations: epsilon rule and uniform rule, half to each (proposition 3.3)."""
    share = ratio(relevance, 2 * (a @ b))
    return a * (share @ b.mT), b * (a.mT @ share)


def softmax_taylor(relevance: Tensor, scores: Tensor, attention: Tensor) -> Tensor:
    """Softmax by its Taylor expansion at the scores: x * (R - s * sum R) (proposition 3.1); nothing where s is zero."""
    total = relevance.sum(dim=-1, keepdim=True)
    return torch.where(attention > 0, scores * (relevance - attention * total), 0.0)


def layer_norm_linear(
    relevance: Tensor, x: Tensor, y: Tensor, weight: Tensor | None, deviation: Tensor, axes: tuple[int, ...]
) -> Tensor:
    """Layer norm as the linear map (x - mean) / std * weight + bias with the std held fixed (proposition 3.4).

    Args:
        relevance: R of the output.
        x: input.
        y: output, bias included.
        weight: gain, or None.
        deviation: standard deviation, broadcasting to x.
        axes: normalised axes.
    """
    share = ratio(relevance, y) / deviation
    if weight is not None:
        share = share * weight
    return x * (share - share.mean(dim=axes, keepdim=True))


class AttnPropagation(Propagation):
    """Epsilon rule for everything linear, Taylor rule for softmax, uniform halves for products, identity elsewhere."""

    def clone(self, relevances: Sequence[Tensor], x: Tensor) -> Tensor:
        """Consumers add up."""
        return torch.stack(list(relevances)).sum(dim=0)

    def linear(self, node: Node, relevance: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Epsilon rule."""
        return linear_epsilon(relevance, x, weight, bias)

    def add(self, node: Node, relevance: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Epsilon rule; an operand that is zero, as most of a mask, shares nothing and absorbs nothing."""
        share = ratio(relevance, a + b)
        of_a = torch.where((b == 0) & (a != 0), relevance, a * share)
        return of_a, torch.where((a == 0) & (b != 0), relevance, b * share)

    def product(self, relevance: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Epsilon and uniform rule."""
        return product_epsilon(relevance, a, b)

    def mean(self, relevance: Tensor, x: Tensor, total: Tensor) -> Tensor:
        """Epsilon rule."""
        return x * ratio(relevance, total)

    def dot(self, relevance: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """Epsilon rule, the other embedding being the weights."""
        return a * b * ratio(relevance, (a * b).sum(dim=-1, keepdim=True))

    def softmax(self, relevance: Tensor, scores: Tensor, attention: Tensor) -> Tensor:
        """Taylor rule."""
        return softmax_taylor(relevance, scores, attention)

    def layer_norm(self, node: Node, relevance: Tensor) -> Tensor:
        """Standard deviation held fixed."""
        x, shape, weight, _, epsilon = (*node.args, None, None)[:5]
        values, y = wide(x.tensor), node.outputs[0]
        assert y is not None
        axes = tuple(range(values.dim() - len(shape), values.dim()))
        deviation = (values.var(dim=axes, keepdim=True, correction=0) + (epsilon or 0.0)).sqrt()
        gain = None if weight is None else wide(weight.tensor)
        return layer_norm_linear(relevance, values, wide(y.tensor), gain, deviation, axes)

    def picked(self, relevance: Tensor, chosen: Tensor) -> Tensor:
        """Back to where it was taken from."""
        return relevance

    def weighed(self, back: Tensor, x: Value) -> Tensor:
        """As it is."""
        return back

    def gets_nothing(self, operand: Value, out: Value) -> bool:
        """Every operand counts, but a bias only once."""
        return out in self.with_bias and self.is_bias(operand)  # it takes its share in the linear layer
