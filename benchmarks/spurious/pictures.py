"""Picture datasets: scenes with painted cues, and a small ViT trained on them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks.spurious.backbone import build_from
from benchmarks.spurious.cues import cue_painter
from benchmarks.spurious.plant import Planted, Scenes
from benchmarks.spurious.pool import Pool
from benchmarks.spurious.settings import DatasetSpec
from engine import LoadedModel, load_model
from jobs.demo.objects import CLASSES
from jobs.demo.training import Recipe, fit, thin, to_input, vary_light
from jobs.demo.vit import save_vit

RECIPE = Recipe(examples=0, epochs=3, batch=64, rate=1e-3, keep=0.4, warm_up=20)
"""Short, as the model starts from a backbone; `examples` is what the dataset has."""


def picture_scenes(spec: DatasetSpec, pool: Pool, donors: Pool, chosen: np.ndarray) -> Scenes:
    """The chosen scenes of a pool; parts of other things are cut from `donors`."""
    painters = [cue_painter(cue, spec.classes, donors) for cue in spec.cues]
    labels = np.array([spec.classes.index(CLASSES[k]) for k in pool.labels[chosen]], np.int64)

    def paint(sample: int, cue: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        place = chosen[sample]
        return painters[cue](pool.images[place], pool.masks[place], rng)

    return Scenes(pool.images[chosen], labels, chosen, paint)


def train_pictures(spec: DatasetSpec, planted: Planted, backbone: Path, folder: Path, recipe: Recipe) -> None:
    """Fine-tune the backbone with a new head and save it as a timm folder."""
    torch.manual_seed(spec.seed)
    model = build_from(backbone, len(spec.classes))
    images, labels = torch.from_numpy(planted.samples), torch.from_numpy(planted.labels)

    def loss_of(chosen: torch.Tensor) -> torch.Tensor:
        states = model._pos_embed(model.patch_embed(vary_light(to_input(images[chosen]))))
        states = model.norm(model.blocks(thin(states, recipe.keep)[0]))
        return F.cross_entropy(model.forward_head(states), labels[chosen])

    fit(model.parameters(), loss_of, len(labels), recipe, lambda loss, step, steps: None)
    save_vit(model.eval(), folder)
    _name_classes(folder / "config.json", spec.classes)


def _name_classes(file: Path, classes: tuple[str, ...]) -> None:
    """Put the dataset's classes where the demo's are."""
    config = json.loads(file.read_text())
    config |= {"num_classes": len(classes), "label_names": list(classes)}
    config["pretrained_cfg"]["num_classes"] = len(classes)
    file.write_text(json.dumps(config, indent=1) + "\n")


def load_pictures_model(folder: Path) -> LoadedModel:
    """What :func:`train_pictures` saved."""
    return load_model(f"timm:local-dir:{folder}")
