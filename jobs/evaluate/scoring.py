"""What is measured of changed inputs of a chunk: accuracy, the probability of the class, or the score of the pair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from engine import Explanation
from engine.faithfulness.scores import SCORES
from engine.models.embedding import encode_images, encode_texts
from engine.models.preprocess import Preprocess
from engine.pairs import measure_of
from jobs.evaluate.subject import Chunk, Subject
from jobs.labels import NONE


class Scorer:
    """Scores changed inputs of the samples of one chunk.

    `kind` is a name of `engine.faithfulness.scores.SCORES`. Accuracy is measured against the label; where a sample has
    none, against what the model says of the whole input. Soft accuracy is that of the answers that people gave, where
    the dataset's column `answers` tells; of other samples accuracy.
    """

    def __init__(self, subject: Subject, chunk: Chunk, explanation: Explanation, kind: str) -> None:
        self.subject, self.chunk = subject, chunk
        self.measure = SCORES[kind]
        said = explanation.logits.argmax(dim=1).cpu().numpy()
        right = np.where(chunk.labels != NONE, chunk.labels, said)
        if kind == "probability":
            right = _explained(explanation, said)
        self.against = torch.from_numpy(right)
        if kind == "soft_accuracy":
            self.against = _credits(right, subject.soft_answers(chunk.ids), explanation.logits.shape[1])

    def of_logits(self, logits: Tensor, rows: np.ndarray) -> Tensor:
        """Scores [n] of class logits [n, C] for changed inputs of the samples `rows` [n] of the chunk."""
        return self.measure(logits, self.against[torch.from_numpy(rows)])

    def of_pictures(self, pictures: Tensor, rows: np.ndarray) -> Tensor:
        """The same of pictures [n, 3, H, W]; the text of each sample stays as it is."""
        inputs: dict[str, Any] = {"image": pictures}
        if self.chunk.texts is not None:
            inputs["text"] = [self.chunk.texts[row] for row in rows]
        return self.of_logits(self.subject.logits(inputs), rows)

    def of_batch(self, batch: dict[str, Tensor], rows: np.ndarray) -> Tensor:
        """The same of what the model's adapter prepared."""
        loaded = self.subject.loaded
        with loaded.autocast():
            return self.of_logits(loaded.adapter.forward(loaded.model, batch).logits.float(), rows)


class PairScorer:
    """Scores changed pictures or changed texts of image-text pairs; the other side is encoded once."""

    def __init__(self, subject: Subject, chunk: Chunk) -> None:
        assert chunk.texts is not None
        self.loaded = subject.loaded
        self.measure = measure_of(subject.loaded, "clip-logit" if subject.target.name == "clip-logit" else "clip-score")
        self.images = encode_images(subject.loaded, chunk.inputs["image"].to(subject.device))
        self.texts = encode_texts(subject.loaded, chunk.texts)

    def of_pictures(self, pictures: Tensor, rows: np.ndarray) -> Tensor:
        """Scores [n] of pictures [n, 3, H, W] with the texts of the samples `rows` [n]."""
        return self._score(encode_images(self.loaded, pictures, len(pictures)), self.texts[torch.from_numpy(rows)])

    def of_texts(self, texts: Sequence[str], rows: np.ndarray) -> Tensor:
        """Scores [n] of texts with the pictures of the samples `rows` [n]."""
        return self._score(self.images[torch.from_numpy(rows)], encode_texts(self.loaded, list(texts), len(texts)))

    def _score(self, images: Tensor, texts: Tensor) -> Tensor:
        return self.measure((images.float() * texts.float()).sum(dim=-1)).float()


def black_of(preprocess: Preprocess) -> Tensor:
    """What a black pixel is in units of the model's input, [3]."""
    height, width = preprocess.edge if not preprocess.varies else (64, 64)
    made = torch.as_tensor(preprocess(Image.new("RGB", (int(width), int(height)))))
    return made[:, made.shape[1] // 2, made.shape[2] // 2]


def _explained(explanation: Explanation, said: np.ndarray) -> np.ndarray:
    """The class that is explained; of a contrast what the model says."""
    return said if explanation.target_index is None else explanation.target_index.cpu().numpy()


def _credits(right: np.ndarray, soft: list[dict[int, float] | None], classes: int) -> Tensor:
    """What every answer is worth, [B, C]."""
    credits = torch.zeros(len(right), classes)
    for row, (number, given) in enumerate(zip(right.tolist(), soft, strict=True)):
        for answer, worth in ({number: 1.0} if given is None else given).items():
            credits[row, answer] = worth
    return credits
