"""Random relevancy, the floor that every method has to beat."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from engine.methods.method import Method


class Random(Method):
    """Independent uniform numbers in [0, 1) per token, seeded by the sample's own content.

    The same sample gets the same numbers in any batch, order and process.
    """

    name = "random"
    paper = "control"
    description = "uniform random numbers, the same for every target"
    needs_gradient = False

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def draw(self, samples: Tensor, tokens: int) -> Tensor:
        """Return [B, tokens] for a batch of inputs [B, ...]."""
        return torch.stack([self._row(sample, tokens) for sample in samples]).to(samples.device)

    def _row(self, sample: Tensor, tokens: int) -> Tensor:
        content = sample.detach().cpu().float().contiguous().numpy().tobytes()
        digest = hashlib.blake2b(content, digest_size=7, salt=self.seed.to_bytes(8, "little")).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest, "little"))
        return torch.rand(tokens, generator=generator)
