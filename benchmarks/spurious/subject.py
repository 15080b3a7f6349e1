"""What an auditor gets to see, and the truth that it does not see."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.spurious.plant import Planted
from benchmarks.spurious.settings import CueSpec
from engine import LoadedModel
from jobs.demo.training import to_input

BATCH = 64


@dataclass(frozen=True)
class Subject:
    """A model and a labelled dataset.

    `samples` are `images` [N,96,96,3] uint8 or texts [N]; `labels` and `predicted` [N] int64, `probabilities` [N,C]
    float32. Nothing in it says where a cue is.
    """

    loaded: LoadedModel
    samples: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    probabilities: np.ndarray

    @property
    def model(self) -> nn.Module:
        """The module, in evaluation mode."""
        return self.loaded.model

    @property
    def is_text(self) -> bool:
        """Whether samples are texts."""
        return self.loaded.modalities == ("text",)

    @property
    def predicted(self) -> np.ndarray:
        """Class of each sample as the model sees it, [N]."""
        return self.probabilities.argmax(1)

    @property
    def images(self) -> np.ndarray:
        """The pictures, [N,96,96,3] uint8."""
        if self.is_text:
            raise TypeError("this dataset has texts, not pictures")
        return self.samples

    @property
    def texts(self) -> list[str]:
        """The texts."""
        if not self.is_text:
            raise TypeError("this dataset has pictures, not texts")
        return [str(text) for text in self.samples]

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self) -> Iterator[dict[str, Tensor]]:
        """Inputs for `engine.explain`, in order, 64 samples each."""
        return batches(self.loaded, self.samples)


@dataclass(frozen=True)
class Truth:
    """`cue_of` [N] index of the cue on each sample (-1 without), the cues, and the masks of what they cover."""

    cue_of: np.ndarray
    cues: tuple[CueSpec, ...]
    masks: list[np.ndarray | None]


def batches(loaded: LoadedModel, samples: np.ndarray) -> Iterator[dict[str, Tensor]]:
    """Inputs of a model for samples, 64 at a time."""
    for k in range(0, len(samples), BATCH):
        if loaded.modalities == ("text",):
            assert loaded.tokenizer is not None
            ids, valid = loaded.tokenizer.padded([str(text) for text in samples[k : k + BATCH]])
            yield {"text": ids, "attention_mask": valid}
        else:
            yield {"image": to_input(samples[k : k + BATCH])}


@torch.no_grad()
def answer(loaded: LoadedModel, samples: np.ndarray) -> np.ndarray:
    """Class probabilities [N,C] float32."""
    parts = []
    for inputs in batches(loaded, samples):
        batch = loaded.adapter.prepare(loaded.model, inputs, loaded.tokenizer)
        logits = loaded.adapter.forward(loaded.model, batch).logits
        parts.append(logits.float().softmax(1).numpy())
    return np.concatenate(parts) if parts else np.zeros((0, loaded.num_classes or 0), np.float32)


def make_subject(loaded: LoadedModel, names: tuple[str, ...], samples: np.ndarray, labels: np.ndarray) -> Subject:
    """Run the model over samples."""
    return Subject(loaded, samples, labels, names, answer(loaded, samples))


def truth_of(planted: Planted, cues: tuple[CueSpec, ...]) -> Truth:
    """What auditors do not see."""
    return Truth(planted.cue_of, cues, planted.masks)
