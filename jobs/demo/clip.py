"""The demo's picture-text model: a small CLIP of open_clip with towers of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from jobs.demo.examples import INPUT, Examples
from jobs.demo.objects import CLASSES
from jobs.demo.training import (
    MEAN,
    STD,
    Recipe,
    cell_classes,
    fit,
    position_codes,
    side_loss,
    thin,
    to_input,
    vary_light,
)
from jobs.demo.vocabulary import CONTEXT, learn_vocabulary

WIDTH = 96
WORDINGS = 6
"""Captions per training picture."""
NAMES = 0.5
"""Weight of telling the class by its bare name: a batch of captions differs in colours and places long before nouns."""
RECIPE = Recipe(examples=9000, epochs=15, batch=128, rate=2e-3, side_task=0.5)


def clip_config(vocabulary: int, end_id: int, pad_id: int) -> dict[str, Any]:
    """open_clip's model configuration."""
    return {
        "embed_dim": WIDTH,
        "vision_cfg": {
            "image_size": INPUT,
            "patch_size": 8,
            "layers": 4,
            "width": WIDTH,
            "head_width": 32,
            "mlp_ratio": 3.0,
        },
        "text_cfg": {
            "context_length": CONTEXT,
            "vocab_size": vocabulary,
            "width": WIDTH,
            "heads": 3,
            "layers": 3,
            "mlp_ratio": 3.0,
            "hf_tokenizer_name": "local",
            "eos_id": end_id,
            "pad_id": pad_id,
            "tokenizer_kwargs": {"clean": "whitespace"},
        },
    }


def build_clip(tokenizer: Any) -> Any:
    """An untrained demo CLIP for a tokenizer of `learn_vocabulary`."""
    from open_clip.model import CLIP

    config = clip_config(len(tokenizer), tokenizer.eos_token_id, tokenizer.pad_token_id)
    model = CLIP(**config)
    with torch.no_grad():
        model.visual.positional_embedding[1:] = position_codes(WIDTH)
    return model


def encode(tokenizer: Any, texts: list[str]) -> Tensor:
    """Token ids [N,32] of captions."""
    ids = tokenizer(texts, padding="max_length", truncation=True, max_length=CONTEXT, return_tensors="pt").input_ids
    return torch.as_tensor(ids)


def _image_states(visual: Any, inputs: Tensor, keep: float) -> tuple[Tensor, Tensor]:
    """Token states [B,1+K,D] after the last block, on a random share of the patches, and the kept positions."""
    kept, places = thin(visual._embeds(inputs), keep)
    return visual.ln_post(visual.transformer(kept)), places


def train_clip(
    examples: Examples, recipe: Recipe, seed: int, report: Callable[[float, int, int], None]
) -> tuple[Any, Any]:
    """Train a demo CLIP and its vocabulary on pictures with several wordings: (model in eval mode, tokenizer)."""
    torch.manual_seed(seed)
    tokenizer = learn_vocabulary(text for texts in examples.texts for text in texts)
    model, head = build_clip(tokenizer), nn.Linear(WIDTH, len(CLASSES) + 1)
    images, told, cells = torch.from_numpy(examples.images), _told_classes(examples), _cells(examples)
    wordings = len(examples.texts[0])
    ids = encode(tokenizer, [text for texts in examples.texts for text in texts]).view(len(told), wordings, CONTEXT)
    nouns = encode(tokenizer, [f"A {name}." for name in CLASSES])

    def loss_of(chosen: Tensor) -> Tensor:
        states, places = _image_states(model.visual, vary_light(to_input(images[chosen])), recipe.keep)
        image = F.normalize(states[:, 0] @ model.visual.proj, dim=-1)
        text = model.encode_text(ids[chosen, torch.randint(wordings, (len(chosen),))], normalize=True)
        scale = model.logit_scale.exp().clamp(max=100)
        logits, right = scale * image @ text.T, torch.arange(len(chosen))
        pairs = (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)) / 2
        names = F.cross_entropy(scale * image @ model.encode_text(nouns, normalize=True).T, told[chosen])
        return pairs + NAMES * names + recipe.side_task * side_loss(head, states[:, 1:], places, cells[chosen])

    fit([*model.parameters(), *head.parameters()], loss_of, len(told), recipe, report)
    return model.eval(), tokenizer


def _told_classes(examples: Examples) -> Tensor:
    """The class that the caption of each picture speaks of, int64 [N]: the banner's, where there is one."""
    names = [plan.word if plan.problem == "overlay" else plan.label for plan in examples.plans]
    return torch.tensor([CLASSES.index(name) for name in names])


def _cells(examples: Examples) -> Tensor:
    """What is to be told from each token cell, int64 [N,144]: the subject, or what the banner over it says."""
    subjects = cell_classes(torch.from_numpy(examples.labels), torch.from_numpy(examples.objects).flatten(1))
    return cell_classes(_told_classes(examples), torch.from_numpy(examples.banners).flatten(1), subjects)


def save_clip(model: nn.Module, tokenizer: Any, folder: Path) -> None:
    """Write a folder that open_clip loads as 'local-dir:FOLDER', tokenizer included; weights in half precision."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: tensor.half().contiguous() for name, tensor in model.state_dict().items()},
        folder / "open_clip_model.safetensors",
    )
    config = {
        "model_cfg": clip_config(len(tokenizer), tokenizer.eos_token_id, tokenizer.pad_token_id),
        "preprocess_cfg": {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"},
    }
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=1) + "\n")
    tokenizer.save_pretrained(folder)


@torch.no_grad()
def similarity(model: Any, tokens: Tensor, images: np.ndarray) -> np.ndarray:
    """Cosines [N,M] of pictures [N,96,96,3] uint8 and tokenised captions [M,32]."""
    parts = [model.encode_image(to_input(images[k : k + 128]), normalize=True) for k in range(0, len(images), 128)]
    return (torch.cat(parts) @ model.encode_text(tokens, normalize=True).T).numpy()
