"""transformers: DETR, an encoder of image tokens and a decoder of object queries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from engine.models.adapter import Adapter, Batch, Inputs
from engine.models.hugging_face import under_sdpa
from engine.models.pixel_mask import checked_mask, valid_cells, valid_grids
from engine.models.relation import Relation, Step, Steps, Stream
from engine.models.timm_vit import image_tensor
from engine.models.tokens import TextTokenizer
from engine.targets import Output


class Detr(Adapter):
    """``DetrForObjectDetection``: the logit of one class at one query is explained over the image tokens."""

    family = "detr"
    library = "transformers"
    task = "detect"
    description = "DETR: every kept query is explained over the tokens of the backbone's feature map"
    example = "hf:facebook/detr-resnet-50"

    def recognises(self, model: nn.Module) -> bool:
        """DetrForObjectDetection."""
        return type(model).__name__ == "DetrForObjectDetection"

    def check(self, model: nn.Module) -> None:
        """Every configuration of the class is understood."""

    def prepare(self, model: nn.Module, inputs: Inputs, tokenizer: TextTokenizer | None) -> Batch:
        """Images [B, 3, H, W], perhaps ``pixel_mask`` [B, H, W] (1 = picture, 0 = padding)."""
        images = image_tensor(model, inputs)
        batch = {"image": images}
        mask = checked_mask(None if isinstance(inputs, Tensor) else inputs.get("pixel_mask"), images)
        if mask is not None:
            batch["pixel_mask"] = mask
        return batch

    def steps(self, model: nn.Module) -> Steps:
        """Encoder self-attentions, then per decoder layer self- and cross-attention: the authors' order."""
        depth = self.layers(model)
        encoder = [(Step("image", "image", f"model.encoder.layers.{i}.self_attn"),) for i in range(depth["image"])]
        decoder = [
            (step,)
            for i in range(depth["queries"])
            for step in (
                Step("queries", "queries", f"model.decoder.layers.{i}.self_attn"),
                Step("queries", "image", f"model.decoder.layers.{i}.encoder_attn"),
            )
        ]
        return (*encoder, *decoder)

    def relation(self, model: nn.Module, batch: Batch, output: Output) -> Relation:
        """Image tokens and queries; the target names the row. 0/0 drops the addition, as in the authors' code."""
        assert output.grid is not None
        cells = self._cells(batch, output.grid)
        valid = cells.flatten(1)
        config: Any = model.config
        queries = torch.ones(len(valid), config.num_queries, dtype=torch.bool, device=valid.device)
        return Relation(
            streams={
                "image": Stream("image", content=valid, valid=valid),
                "queries": Stream("queries", content=queries, valid=queries),
            },
            steps=self.steps(model),
            read="queries",
            row=None,
            grid=output.grid,
            grids=valid_grids(cells) if "pixel_mask" in batch else None,
        )

    def stream_states(self, model: nn.Module) -> dict[str, tuple[str, int]]:
        """The encoder's last layer, and the decoder's."""
        depth = self.layers(model)
        return {
            "image": (f"model.encoder.layers.{depth['image'] - 1}", 0),
            "queries": (f"model.decoder.layers.{depth['queries'] - 1}", 0),
        }

    def forward(self, model: nn.Module, batch: Batch) -> Output:
        """Logits [B, Q, C + 1] and boxes [B, Q, 4]; all queries share this pass."""
        with _feature_grid(model) as grid:
            out = model(pixel_values=batch["image"], pixel_mask=batch.get("pixel_mask"))
        return Output(logits=out.logits, boxes=corners(out.pred_boxes), grid=grid[0])

    def layers(self, model: nn.Module) -> dict[str, int]:
        """Encoder and decoder layers."""
        config: Any = model.config
        return {"image": int(config.encoder_layers), "queries": int(config.decoder_layers)}

    def scope(self, model: nn.Module) -> AbstractContextManager[None]:
        """Attention through sdpa; the library then also makes the masks for it."""
        return under_sdpa(model)

    def _cells(self, batch: Batch, grid: tuple[int, int]) -> Tensor:
        """Image tokens that are not padding, [B, h, w] boolean."""
        if "pixel_mask" in batch:
            return valid_cells(batch["pixel_mask"], grid)
        return torch.ones(len(batch["image"]), *grid, dtype=torch.bool, device=batch["image"].device)


@contextmanager
def _feature_grid(model: nn.Module) -> Iterator[list[tuple[int, int]]]:
    """Yield a list that receives rows and columns of the feature map when the model runs."""
    seen: list[tuple[int, int]] = []

    def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:
        seen.append((int(output.shape[-2]), int(output.shape[-1])))

    handle = model.get_submodule("model.input_projection").register_forward_hook(keep)
    try:
        yield seen
    finally:
        handle.remove()


def corners(boxes: Tensor) -> Tensor:
    """Centre, width, height -> x0, y0, x1, y1; [..., 4]."""
    x, y, w, h = boxes.unbind(-1)
    return torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], dim=-1)
