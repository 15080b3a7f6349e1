"""The detector: transformers' own DETR, unmodified, with a tiny ResNet and few queries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import AutoBackbone, DetrConfig, DetrForObjectDetection, DetrImageProcessor, ResNetConfig

from benchmarks.detection.shapes import CLASSES

WEIGHTS = Path(__file__).parent / "weights"
INPUT = 96
"""Side of the model's input in pixels."""
GRID = 12
"""Side of the feature map in tokens."""
WIDTH = 64
PROCESSOR: dict[str, Any] = {
    "image_processor_type": "DetrImageProcessor",
    "format": "coco_detection",
    "do_resize": True,
    "size": {"shortest_edge": INPUT, "longest_edge": 2 * INPUT},
    "resample": 2,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.25, 0.25, 0.25],
    "do_pad": True,
}


RESNET: dict[str, Any] = {
    "num_channels": 3,
    "embedding_size": 24,
    "hidden_sizes": [32, WIDTH],
    "depths": [1, 3],
    "layer_type": "basic",
    "out_features": ["stage2"],
}


def config() -> DetrConfig:
    """The detector's configuration: 12 x 12 tokens of width 64, 2 encoder and 3 decoder layers, 10 queries."""
    names = dict(enumerate(CLASSES))
    return DetrConfig(
        backbone_config=ResNetConfig(**RESNET),
        d_model=WIDTH,
        encoder_layers=2,
        decoder_layers=3,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=2 * WIDTH,
        decoder_ffn_dim=2 * WIDTH,
        num_queries=10,
        dropout=0.0,
        id2label=names,
        label2id={name: k for k, name in names.items()},
    )


def save_detector(model: DetrForObjectDetection, folder: Path) -> None:
    """Write a folder that transformers (and `load_model`) loads; weights in half precision, run in single."""
    folder.mkdir(parents=True, exist_ok=True)
    model.config.architectures = [type(model).__name__]
    model.config.dtype = torch.float32
    model.config.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR, indent=1) + "\n")
    weights = {name: tensor.half().contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def load_detector(folder: Path = WEIGHTS) -> DetrForObjectDetection:
    """The saved detector in eval mode."""
    return DetrForObjectDetection.from_pretrained(folder).eval()


def to_inputs(images: np.ndarray) -> Tensor:
    """Pictures [B,256,256,3] uint8 as model input [B,3,96,96] float32, by the library's own processor."""
    processor = DetrImageProcessor.from_dict(PROCESSOR)
    pixels: Tensor = processor(images=list(images), return_tensors="pt")["pixel_values"]
    return pixels


def positions(model: DetrForObjectDetection, grid: tuple[int, int]) -> Tensor:
    """The model's own position codes of a feature map of so many rows and columns, [1, rows * columns, WIDTH]."""
    mask = torch.ones(1, *grid, dtype=torch.bool)
    codes: Tensor = model.model.position_embedding(
        shape=torch.Size([1, 1, *grid]), device=mask.device, dtype=torch.float32, mask=mask
    )
    return codes.flatten(2).transpose(1, 2)


class Encoded(NamedTuple):
    """`features` [B, 144, WIDTH] of the backbone, the encoder's `states` [B, 144, WIDTH], `codes` [1, 144, WIDTH]."""

    features: Tensor
    states: Tensor
    codes: Tensor


def backbone_tokens(model: DetrForObjectDetection, pixels: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """What the encoder is given, [B, 144, WIDTH], and rows and columns, for pictures [B,3,96,96] without padding."""
    whole = torch.ones(len(pixels), *pixels.shape[-2:])
    grid, _ = model.model.backbone(pixels, whole)[-1]
    return model.model.input_projection(grid).flatten(2).transpose(1, 2), (grid.shape[-2], grid.shape[-1])


def encode(model: DetrForObjectDetection, pixels: Tensor) -> Encoded:
    """Backbone and encoder for pictures [B,3,96,96] without padding."""
    features, grid = backbone_tokens(model, pixels)
    codes = positions(model, grid)
    states = model.model.encoder(
        inputs_embeds=features, attention_mask=None, spatial_position_embeddings=codes.expand(len(pixels), -1, -1)
    ).last_hidden_state
    return Encoded(features, states, codes)


def decode(model: DetrForObjectDetection, seen: Encoded, queries: Tensor) -> tuple[Tensor, Tensor]:
    """What every decoder layer answers: logits [L, G, B, Q, C + 1] and boxes (cx, cy, w, h) [L, G, B, Q, 4].

    `queries` [G, Q, WIDTH] are G sets of query embeddings, which do not see each other; the model's own is one of
    them (Group DETR, Chen et al. 2023: more sets in training only, so that each object is learnt from more often).
    """
    groups, count, width = queries.shape
    batch, core = len(seen.states), model.model
    own = torch.eye(groups).repeat_interleave(count, 0).repeat_interleave(count, 1).bool()
    embedded = queries.reshape(1, groups * count, width).expand(batch, -1, -1)
    hidden, told = torch.zeros_like(embedded), []
    for layer in core.decoder.layers:
        hidden = layer(hidden, own[None, None], seen.codes.expand(batch, -1, -1), embedded, seen.states)
        told.append(core.decoder.layernorm(hidden))
    return answers(model, torch.stack(told).unflatten(2, (groups, count)).transpose(1, 2))


def answers(model: DetrForObjectDetection, states: Tensor) -> tuple[Tensor, Tensor]:
    """Logits [..., C + 1] and boxes (cx, cy, w, h) [..., 4] that the model's heads read from states [..., WIDTH]."""
    return model.class_labels_classifier(states), model.bbox_predictor(states).sigmoid()


def with_batch_norm(model: DetrForObjectDetection) -> nn.Module:
    """Give a new model a backbone whose batch norms learn; `with_frozen_norm` brings the library's own back."""
    frozen: nn.Module = model.model.backbone.model
    learning = AutoBackbone.from_config(model.config.backbone_config)
    model.model.backbone.model = learning.to(memory_format=torch.channels_last)  # on a CPU a third faster
    return frozen


def with_frozen_norm(model: DetrForObjectDetection, frozen: nn.Module) -> None:
    """Put the learnt backbone's weights and statistics into the frozen one, which computes the same in eval mode."""
    learnt = model.model.backbone.model.state_dict()
    frozen.load_state_dict({name: tensor for name, tensor in learnt.items() if not name.endswith("batches_tracked")})
    model.model.backbone.model = frozen
