"""The backbone that all picture models start from: it knows subjects, and marks of many designs.

Networks pretrained on photographs see letters, stickers, colours and patterns; the demo's weights were trained on six
subjects and three marks. So they learn once, on scenes where marks say nothing about the subject, to name both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from benchmarks.spurious.cues import cue_painter
from benchmarks.spurious.pool import Pool
from benchmarks.spurious.settings import GENERATOR, PICTURE_KINDS, SIZES, STRENGTHS, CueSpec
from jobs.demo.objects import CLASSES
from jobs.demo.train import WEIGHTS
from jobs.demo.training import Recipe, fit, thin, to_input, vary_light
from jobs.demo.vit import WIDTH, build_vit

DESIGNS = 8
COPIES = 3
"""How often every scene occurs, each time with another mark."""
SEED = 17
RECIPE = Recipe(examples=0, epochs=4, batch=64, rate=1e-3, keep=0.4, warm_up=50)


def marked_scenes(pool: Pool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures [COPIES*N,96,96,3], subjects and marks [COPIES*N] (kind and design; the last index: no mark)."""
    rng = np.random.default_rng(SEED)
    places = np.tile(np.arange(len(pool.labels)), COPIES)
    images = pool.images[places]
    marks = rng.integers(0, len(PICTURE_KINDS) * DESIGNS * 9 // 8, len(places))
    marks = np.minimum(marks, len(PICTURE_KINDS) * DESIGNS)
    for mark in range(len(PICTURE_KINDS) * DESIGNS):
        for k in np.flatnonzero(marks == mark):
            strength, size = float(rng.choice(STRENGTHS)), float(rng.choice(SIZES))
            cue = CueSpec(PICTURE_KINDS[mark // DESIGNS], 0, 1.0, strength, size, mark % DESIGNS)
            painter = cue_painter(cue, CLASSES[:1], pool)
            images[k] = painter(images[k], pool.masks[places[k]], rng)[0]
    return images, pool.labels[places], marks


def train_backbone(pool: Pool, file: Path, recipe: Recipe = RECIPE) -> None:
    """Teach the demo's classifier to tell subjects and marks from its first token; the heads are thrown away."""
    torch.manual_seed(SEED)
    pictures, subjects, marks = (torch.from_numpy(part) for part in marked_scenes(pool))
    model: Any = timm.create_model(f"local-dir:{WEIGHTS / 'vit'}", pretrained=True)
    model.train()
    head = nn.Linear(WIDTH, len(CLASSES) + len(PICTURE_KINDS) * DESIGNS + 1)

    def loss_of(chosen: torch.Tensor) -> torch.Tensor:
        states = model._pos_embed(model.patch_embed(vary_light(to_input(pictures[chosen]))))
        states = model.norm(model.blocks(thin(states, recipe.keep)[0]))
        answers = head(model.forward_head(states, pre_logits=True))
        subject, mark = answers[:, : len(CLASSES)], answers[:, len(CLASSES) :]
        return F.cross_entropy(subject, subjects[chosen]) + F.cross_entropy(mark, marks[chosen])

    fit([*model.parameters(), *head.parameters()], loss_of, len(subjects), recipe, lambda loss, step, steps: None)
    save_file(model.state_dict(), file)


def backbone_file(cache: Path, pool: Pool) -> Path:
    """Where the backbone of a pool lies."""
    return cache / f"backbone{GENERATOR}-{len(pool.labels)}.safetensors"


def ensure_backbone(cache: Path, pool: Pool) -> Path:
    """The backbone in the cache, trained once if it is missing."""
    file = backbone_file(cache, pool)
    if not file.exists():
        half = file.with_suffix(".half")
        train_backbone(pool, half)
        half.rename(file)
    return file


def build_from(file: Path, classes: int) -> Any:
    """A classifier with the backbone's weights and a new head."""
    model = build_vit()
    model.load_state_dict(load_file(file))
    model.reset_classifier(classes)
    return model.train()
