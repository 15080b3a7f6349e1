"""Region features of DETR: the decoder's last state of every query that found something."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from PIL import Image

from engine import load_model
from engine.models.detr import corners
from jobs.errors import JobError
from jobs.extract.detector import Detector, Found, numbers


class DetrQueries(Detector):
    """A DETR of transformers. Its queries are the regions, the most confident ones (no "no object") first."""

    def __init__(self, name: str, checkpoint: Path | None, device: str) -> None:
        loaded = load_model(name, checkpoint=checkpoint, device=device)
        if loaded.task != "detect" or loaded.preprocess is None:
            raise JobError(f"--detector {name}: {type(loaded.model).__name__} is no detector")
        self.name = name
        self.device = device
        self.loaded = loaded
        config: Any = loaded.model.config
        self.width = int(config.d_model)

    @torch.inference_mode()
    def regions(self, picture: Image.Image, most: int) -> Found:
        """The `most` queries that are surest of an object."""
        assert self.loaded.preprocess is not None
        out: Any = self.loaded.model(pixel_values=self.loaded.preprocess(picture)[None].to(self.device))
        confidence, order = out.logits[0].float().softmax(dim=1)[:, :-1].max(dim=1).values.sort(descending=True)
        kept = order[:most]
        return Found(
            numbers(out.last_hidden_state[0, kept]),
            numbers(corners(out.pred_boxes[0, kept].float()).clamp(0, 1)),
            numbers(confidence[:most]),
        )
