"""The two models: classes of transformers, unmodified, small, and how they are saved."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import (
    LxmertConfig,
    LxmertForQuestionAnswering,
    VisualBertConfig,
    VisualBertForQuestionAnswering,
)

from benchmarks.questions.features import WIDTH
from benchmarks.questions.kinds import ANSWERS
from benchmarks.questions.words import LONGEST, VOCABULARY, tokenizer

WEIGHTS = Path(__file__).parent / "weights"
_SHARED: dict[str, Any] = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": 96,
    "intermediate_size": 192,
    "num_attention_heads": 4,
    "max_position_embeddings": LONGEST,
    "pad_token_id": 0,
    "hidden_dropout_prob": 0.0,  # the scenes are without end: nothing is learnt by heart
    "attention_probs_dropout_prob": 0.0,
    "initializer_range": 0.08,  # 0.02 is meant for vectors eight times as wide
    "id2label": dict(enumerate(ANSWERS)),
    "label2id": {name: index for index, name in enumerate(ANSWERS)},
}


def visualbert() -> nn.Module:
    """Three layers over words and regions, read from "?"."""
    config = VisualBertConfig(**_SHARED, num_hidden_layers=3, visual_embedding_dim=WIDTH)
    return VisualBertForQuestionAnswering(config)


def lxmert() -> nn.Module:
    """Two layers of words, one of regions, two of both, read from [CLS]."""
    config = LxmertConfig(
        **_SHARED, l_layers=2, r_layers=1, x_layers=2, visual_feat_dim=WIDTH, num_qa_labels=len(ANSWERS)
    )
    return LxmertForQuestionAnswering(config)


MODELS: dict[str, Callable[[], nn.Module]] = {"visualbert": visualbert, "lxmert": lxmert}
"""Name -> builder."""


def save(model: nn.Module, folder: Path) -> None:
    """Write a folder of transformers: configuration (float32), weights in half precision, tokenizer, vocab.txt.

    The library reads the weights back as float32, which is what the configuration names.
    """
    saved: Any = model
    saved.save_pretrained(folder)
    halves = {key: tensor.detach().to(torch.float16).contiguous() for key, tensor in model.state_dict().items()}
    save_file(halves, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer().save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")


def write_card(folder: Path, card: dict[str, Any]) -> None:
    """Write what is known about the weights."""
    (folder / "card.json").write_text(json.dumps(card, indent=1) + "\n")


def read_card(name: str) -> dict[str, Any]:
    """What is known about the committed weights of a model."""
    card: dict[str, Any] = json.loads((WEIGHTS / name / "card.json").read_text())
    return card
