"""transformers: BLIP image-text matching, an image encoder and a text encoder that looks at it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from engine.errors import UnsupportedModel
from engine.models.adapter import Batch
from engine.models.picture_text import PictureTextAdapter
from engine.models.questions import text_content
from engine.models.readout import content_after, token_row
from engine.models.relation import Relation, Step, Steps, Stream
from engine.targets import Output

_IMAGE, _TEXT = "vision_model.encoder.layers", "text_encoder.encoder.layer"
MATCH = 1
"""Column of the matching head that says "they belong together"."""


class BlipMatching(PictureTextAdapter):
    """``BlipForImageTextRetrieval`` with its matching head: the logit of "match", read from the first text token.

    No authors' code explains this model; the rules are those of encoder and decoder (eq. 10, 11), image layers first,
    then self- and cross-attention of each text layer.
    """

    family = "blip-itm"
    task = "pair"
    description = "BLIP: image-text matching score, a text encoder with cross-attention to the image"
    example = "hf:Salesforce/blip-itm-base-coco"

    def recognises(self, model: nn.Module) -> bool:
        """BlipForImageTextRetrieval."""
        return type(model).__name__ == "BlipForImageTextRetrieval"

    def check(self, model: nn.Module) -> None:
        """Refuse a text encoder without cross-attention."""
        config: Any = model.config
        if not config.text_config.is_decoder:
            raise UnsupportedModel("BLIP whose text encoder has no cross-attention (is_decoder=False) cannot match")

    def steps(self, model: nn.Module) -> Steps:
        """Image self-attentions, then per text layer self- and cross-attention."""
        depth = self.layers(model)
        image = [(Step("image", "image", f"{_IMAGE}.{i}.self_attn"),) for i in range(depth["image"])]
        text = [
            (step,)
            for i in range(depth["text"])
            for step in (
                Step("text", "text", f"{_TEXT}.{i}.attention.self"),
                Step("text", "image", f"{_TEXT}.{i}.crossattention.self"),
            )
        ]
        return (*image, *text)

    def relation(self, model: nn.Module, batch: Batch, output: Output) -> Relation:
        """Patches and words, read from the first text token."""
        mask, grid = batch["attention_mask"].bool(), self._grid(model, batch)
        tokens = 1 + grid[0] * grid[1]
        every = torch.ones(len(mask), tokens, dtype=torch.bool, device=mask.device)
        row = token_row(len(mask), mask.shape[1], (0,), batch["image"])
        words = text_content(batch)
        return Relation(
            streams={
                "text": Stream("text", content=words & (row == 0), valid=mask, words=words),
                "image": Stream(
                    "image", content=content_after(len(mask), tokens, 1, mask.device), valid=every, prefix=1
                ),
            },
            steps=self.steps(model),
            read="text",
            row=row,
            grid=grid,
        )

    def stream_states(self, model: nn.Module) -> dict[str, tuple[str, int]]:
        """The last layer of each encoder."""
        depth = self.layers(model)
        return {"image": (f"{_IMAGE}.{depth['image'] - 1}", 0), "text": (f"{_TEXT}.{depth['text'] - 1}", 0)}

    def forward(self, model: nn.Module, batch: Batch) -> Output:
        """Logit of "match" [B]."""
        out = model(input_ids=batch["text"], pixel_values=batch["image"], attention_mask=batch["attention_mask"])
        return Output(logits=out.itm_score[:, MATCH])

    def layers(self, model: nn.Module) -> dict[str, int]:
        """Layers of both encoders."""
        config: Any = model.config
        return {"image": config.vision_config.num_hidden_layers, "text": config.text_config.num_hidden_layers}

    def explicit(self, model: nn.Module) -> dict[str, str]:
        """All attention modules write their softmax out."""
        return {step.site: f"{step.site}.dropout" for group in self.steps(model) for step in group}

    def text_limits(self, model: nn.Module) -> tuple[int, int]:
        """Vocabulary and longest text."""
        config: Any = model.config
        return int(config.text_config.vocab_size), int(config.text_config.max_position_embeddings)

    def grid(self, model: nn.Module, batch: Batch) -> tuple[int, int] | None:
        """Rows and columns of the patches."""
        return self._grid(model, batch)

    def _grid(self, model: nn.Module, batch: Batch) -> tuple[int, int]:
        config: Any = model.config
        patch = int(config.vision_config.patch_size)
        return batch["image"].shape[-2] // patch, batch["image"].shape[-1] // patch
