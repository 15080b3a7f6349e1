"""transformers: VisualBERT, one stream of text tokens and region tokens."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from engine.models.adapter import Batch, Tower, middle_block
from engine.models.questions import text_content
from engine.models.readout import one_hot_row
from engine.models.regions import RegionAdapter
from engine.targets import Output

_BLOCKS = "visual_bert.encoder.layer"


class VisualBert(RegionAdapter):
    """``VisualBertForQuestionAnswering``: the classifier reads the last but one text token.

    As in the authors' code the read-out token's own relevancy is set to zero, rollout is not row-normalised, and
    methods that read the last map weigh heads over all of it.
    """

    family = "visualbert"
    library = "transformers"
    description = "VisualBERT: question answering over region features, one stream of words and regions"
    example = "hf:uclanlp/visualbert-vqa"

    def recognises(self, model: nn.Module) -> bool:
        """VisualBertForQuestionAnswering."""
        return type(model).__name__ == "VisualBertForQuestionAnswering"

    def check(self, model: nn.Module) -> None:
        """Every configuration of the class is understood."""

    def towers(self, model: nn.Module, batch: Batch) -> tuple[Tower, ...]:
        """One joint stream, text first."""
        mask, regions = batch["attention_mask"].bool(), batch["region_mask"]
        texts = mask.shape[1]
        valid = torch.cat([mask, regions], dim=1)
        read = mask.sum(dim=1) - 2
        start = one_hot_row(read, valid.shape[1], batch["features"])
        words = torch.cat([text_content(batch), regions], dim=1)
        depth = self.layers(model)["joint"]
        return (
            Tower(
                modality="joint",
                layers=tuple(f"{_BLOCKS}.{i}.attention.self" for i in range(depth)),
                states=f"{_BLOCKS}.{depth - 1}",
                start=start,
                content=words & (start == 0),
                split={"text": (0, texts), "image": (texts, valid.shape[1])},
                words=words,
                valid=valid,
                whole_map=True,
                normalised_rollout=False,
                middle=middle_block(_BLOCKS, depth),
            ),
        )

    def forward(self, model: nn.Module, batch: Batch) -> Output:
        """Answer logits [B, C]."""
        out = model(
            input_ids=batch["text"],
            attention_mask=batch["attention_mask"],
            token_type_ids=batch.get("token_type_ids"),
            visual_embeds=batch["features"],
            visual_attention_mask=batch["region_mask"].to(batch["attention_mask"].dtype),
            visual_token_type_ids=batch.get("visual_token_type_ids"),
        )
        return Output(logits=out.logits)

    def layers(self, model: nn.Module) -> dict[str, int]:
        """Number of layers."""
        config: Any = model.config
        return {"joint": int(config.num_hidden_layers)}

    def explicit(self, model: nn.Module) -> dict[str, str]:
        """Self-attention writes its softmax out."""
        paths = [f"{_BLOCKS}.{i}.attention.self" for i in range(self.layers(model)["joint"])]
        return {path: f"{path}.dropout" for path in paths}

    def region_width(self, model: nn.Module) -> int:
        """``visual_embedding_dim``."""
        config: Any = model.config
        return int(config.visual_embedding_dim)
