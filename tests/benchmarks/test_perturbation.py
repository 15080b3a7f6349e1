"""The benchmark compares like with like: as many pictures, in the same batches, through the same model."""

from __future__ import annotations

import torch
from torch import nn

from benchmarks.perturbation import Evaluation
from engine.faithfulness.baselines import random_maps


class Seen(nn.Module):
    """Notes how many pictures it is given."""

    def __init__(self):
        super().__init__()
        self.batches = []

    def forward(self, pictures):
        self.batches.append(len(pictures))
        return pictures.flatten(2).mean(dim=2)


def test_both_sides_see_as_many_pictures_in_the_same_batches():
    model, maps = Seen(), random_maps((6, 4), range(6)).reshape(2, 3, 4)
    evaluation = Evaluation(model, torch.randn(3, 3, 32, 32), maps, batch=10)
    assert evaluation.evaluate(slice(0, 3)).shape == (2, 3, 10)
    ours, model.batches = model.batches, []
    evaluation.forwards(evaluation.pictures)
    assert ours == model.batches == [10] * 5 + [7]  # 3 pictures, each once whole and nine times under two maps
