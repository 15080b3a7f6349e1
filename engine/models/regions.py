"""What question answering models share that read region features instead of pixels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from engine.errors import EngineError
from engine.models.adapter import Adapter, Batch, Inputs
from engine.models.questions import check_ids, question_batch
from engine.models.tokens import TextTokenizer


class RegionAdapter(Adapter):
    """A question about regions of a picture: text ids, region features [B, K, D], boxes [B, K, 4] as fractions."""

    task = "answer"
    modalities = ("image", "text")
    reads_regions = True

    def prepare(self, model: nn.Module, inputs: Inputs, tokenizer: TextTokenizer | None) -> Batch:
        """``{"text": questions or ids, "features": [B, K, D], "boxes": [B, K, 4], "region_mask": [B, K]}``.

        The library's own names (``input_ids``, ``visual_embeds``, ``visual_feats``, ``visual_pos``,
        ``visual_attention_mask``, ``token_type_ids``, ``visual_token_type_ids``) are understood too.

        Raises:
            EngineError: something is missing, of the wrong width, not finite, or of another number of samples.
        """
        if isinstance(inputs, Tensor):
            raise EngineError("question answering needs {'text': questions, 'features': region features}, not a tensor")
        parameter = next(model.parameters())
        batch = question_batch(inputs, tokenizer, parameter.device)
        check_ids(batch["text"], self.text_limits(model))
        features = _first(inputs, "features", "visual_embeds", "visual_feats")
        batch["features"] = self._checked(model, features, len(batch["text"])).to(parameter.device, parameter.dtype)
        count = batch["features"].shape[1]
        mask = _first(inputs, "region_mask", "visual_attention_mask")
        ones = torch.ones(len(batch["text"]), count, dtype=torch.bool)
        batch["region_mask"] = (ones if mask is None else torch.as_tensor(mask).bool()).to(parameter.device)
        boxes = _first(inputs, "boxes", "visual_pos")
        if boxes is not None:
            batch["boxes"] = _boxes(boxes, batch["features"]).to(parameter.device, parameter.dtype)
        for name in ("token_type_ids", "visual_token_type_ids"):
            if inputs.get(name) is not None:
                batch[name] = torch.as_tensor(inputs[name]).to(parameter.device)
        return batch

    def _checked(self, model: nn.Module, features: Any, samples: int) -> Tensor:
        width = self.region_width(model)
        if features is None:
            raise EngineError(f"{type(model).__name__} needs region features (key 'features'), [B, K, {width}]")
        tensor = torch.as_tensor(features)
        if tensor.dim() != 3 or len(tensor) != samples or tensor.shape[1] == 0:
            raise EngineError(f"region features must be [B, K, {width}] for {samples} texts, not {tuple(tensor.shape)}")
        if tensor.shape[2] != width:
            raise EngineError(
                f"region features of width {tensor.shape[2]} do not fit: {type(model).__name__} reads width {width}"
            )
        if not bool(torch.isfinite(tensor).all()):
            raise EngineError("region features hold NaN or infinity")
        return tensor

    def regions(self, batch: Batch) -> tuple[Tensor, Tensor] | None:
        """Boxes and mask; None when no boxes were given."""
        return (batch["boxes"], batch["region_mask"]) if "boxes" in batch else None

    def text_limits(self, model: nn.Module) -> tuple[int, int]:
        """Vocabulary and longest text."""
        config: Any = model.config
        return int(config.vocab_size), int(config.max_position_embeddings)


def _first(inputs: Any, *names: str) -> Any:
    return next((inputs[name] for name in names if inputs.get(name) is not None), None)


def _boxes(boxes: Any, features: Tensor) -> Tensor:
    tensor = torch.as_tensor(boxes)
    if tensor.dim() != 3 or tensor.shape[:2] != features.shape[:2] or tensor.shape[2] < 4:
        raise EngineError(f"boxes must be [{features.shape[0]}, {features.shape[1]}, 4], not {tuple(tensor.shape)}")
    return tensor
