"""The demo's classifier: a small timm ViT that learns the planted shortcuts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import timm
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

ARCHITECTURE = "vit_tiny_patch16_224"
WIDTH = 96
MODEL_ARGS: dict[str, Any] = {
    "img_size": INPUT,
    "patch_size": 8,
    "embed_dim": WIDTH,
    "depth": 6,
    "num_heads": 3,
    "mlp_ratio": 3.0,
}
RECIPE = Recipe(examples=7200, epochs=13, batch=64, rate=2e-3)


def build_vit(classes: int = len(CLASSES)) -> Any:
    """An untrained demo classifier."""
    model: Any = timm.create_model(ARCHITECTURE, pretrained=False, num_classes=classes, **MODEL_ARGS)
    with torch.no_grad():
        model.pos_embed[0, 1:] = position_codes(WIDTH)
    return model


def train_vit(examples: Examples, recipe: Recipe, seed: int, report: Callable[[float, int, int], None]) -> Any:
    """Train a demo classifier; the result is in eval mode. The seed fixes weights and order on one machine."""
    torch.manual_seed(seed)
    model, head = build_vit(), nn.Linear(WIDTH, len(CLASSES) + 1)
    images, labels = torch.from_numpy(examples.images), torch.from_numpy(examples.labels)
    cells = cell_classes(labels, torch.from_numpy(examples.objects).flatten(1))

    def loss_of(chosen: Tensor) -> Tensor:
        states = model._pos_embed(model.patch_embed(vary_light(to_input(images[chosen]))))
        kept, places = thin(states, recipe.keep)
        states = model.norm(model.blocks(kept))
        loss = F.cross_entropy(model.forward_head(states), labels[chosen])
        return loss + recipe.side_task * side_loss(head, states[:, 1:], places, cells[chosen])

    fit([*model.parameters(), *head.parameters()], loss_of, len(labels), recipe, report)
    return model.eval()


def save_vit(model: nn.Module, folder: Path) -> None:
    """Write a folder that `timm.create_model('local-dir:FOLDER', pretrained=True)` loads; weights in half precision."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: tensor.half().contiguous() for name, tensor in model.state_dict().items()}, folder / "model.safetensors"
    )
    config = {
        "architecture": ARCHITECTURE,
        "num_classes": len(CLASSES),
        "label_names": list(CLASSES),
        "model_args": MODEL_ARGS,
        "pretrained_cfg": {
            "input_size": [3, INPUT, INPUT],
            "fixed_input_size": True,
            "interpolation": "bicubic",
            "crop_pct": 1.0,
            "crop_mode": "center",
            "mean": MEAN,
            "std": STD,
            "num_classes": len(CLASSES),
            "first_conv": "patch_embed.proj",
            "classifier": "head",
        },
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")


@torch.no_grad()
def predict(model: nn.Module, images: np.ndarray) -> np.ndarray:
    """Class indices [N] of pictures [N,96,96,3] uint8."""
    parts = [model(to_input(images[k : k + 128])).argmax(1) for k in range(0, len(images), 128)]
    return torch.cat(parts).numpy()
