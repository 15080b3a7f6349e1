"""What the rivals look at: the model's last embeddings, and relevancy maps."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from benchmarks.spurious.subject import Subject
from engine import explain


@torch.no_grad()
def embed(subject: Subject) -> np.ndarray:
    """What the classifier's head reads of each sample, [N,D] float64."""
    model: Any = subject.model
    parts = []
    for inputs in subject.batches():
        if subject.is_text:
            states = model.bert(input_ids=inputs["text"], attention_mask=inputs["attention_mask"]).last_hidden_state
            parts.append(states[:, 0])
        else:
            parts.append(model.forward_head(model.forward_features(inputs["image"]), pre_logits=True))
    return torch.cat(parts).double().numpy()


def relevancy_maps(subject: Subject, method: str = "gae") -> np.ndarray:
    """Relevancy for the predicted class, each row with sum 1: [N,144] of pictures, [N,V] per word of texts.

    The token grid has 12 x 12 cells, which is what SpRAy pools its maps to. Texts have no places to compare; there
    the relevancy of each word of the vocabulary is summed.
    """
    model: Any = subject.model
    rows = []
    for inputs in subject.batches():
        relevancy = explain(subject.loaded, inputs, method=method).relevancy
        if subject.is_text:
            words = torch.zeros(len(inputs["text"]), int(model.config.vocab_size))
            rows.append(words.scatter_add_(1, inputs["text"], relevancy["text"].float()))
        else:
            rows.append(relevancy["image"].float())
    maps = torch.cat(rows).double().numpy()
    return maps / np.maximum(maps.sum(1, keepdims=True), 1e-12)
