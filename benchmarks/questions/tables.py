"""Many examples as tensors, as both models are fed in training and in measurements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.questions import features
from benchmarks.questions.examples import Example
from benchmarks.questions.kinds import ANSWERS
from engine.models.adapter import Batch


@dataclass(frozen=True)
class Table:
    """N examples, padded to T tokens and K regions.

    Attributes:
        text: ids [N, T].
        attention_mask: 1 = token, [N, T].
        clean: features without noise [N, K, D].
        boxes: fractions [N, K, 4].
        region_mask: [N, K] boolean.
        answers: classes [N].
        kinds: kind of each question.
    """

    text: Tensor
    attention_mask: Tensor
    clean: Tensor
    boxes: Tensor
    region_mask: Tensor
    answers: Tensor
    kinds: np.ndarray

    def __len__(self) -> int:
        return len(self.answers)

    def batch(self, rows: Tensor, noise: torch.Generator, scenes: Tensor | None = None) -> Batch:
        """The inputs of some rows with fresh noise on the features; `scenes` are rows whose scenes they get instead."""
        seen = rows if scenes is None else scenes
        shape = (len(rows), *self.clean.shape[1:])
        spread = torch.from_numpy(features.NOISE)
        return {
            "text": self.text[rows],
            "attention_mask": self.attention_mask[rows],
            "features": self.clean[seen] + torch.randn(shape, generator=noise) * spread,
            "boxes": self.boxes[seen],
            "region_mask": self.region_mask[seen],
        }


def table(found: list[Example], tokenizer: Any) -> Table:
    """Examples as tensors; `tokenizer` is one of transformers."""
    most = max(len(example.things) for example in found)
    encoded = tokenizer([example.text for example in found], padding="longest", return_tensors="pt")
    clean = np.zeros((len(found), most, features.WIDTH), np.float32)
    boxes = np.zeros((len(found), most, 4), np.float32)
    mask = np.zeros((len(found), most), bool)
    for row, example in enumerate(found):
        count = len(example.things)
        clean[row, :count], boxes[row, :count] = features.clean(example.things), features.boxes(example.things)
        mask[row, :count] = True
    return Table(
        text=encoded["input_ids"],
        attention_mask=encoded["attention_mask"],
        clean=torch.from_numpy(clean),
        boxes=torch.from_numpy(boxes),
        region_mask=torch.from_numpy(mask),
        answers=torch.tensor([ANSWERS.index(example.answer) for example in found]),
        kinds=np.array([example.kind for example in found]),
    )
