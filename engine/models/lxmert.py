"""transformers: LXMERT, two streams with co-attention."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from engine.capture.interceptor import path_of
from engine.errors import EngineError
from engine.models.adapter import Batch, Inputs
from engine.models.questions import text_content
from engine.models.readout import token_row
from engine.models.regions import RegionAdapter
from engine.models.relation import Relation, Step, Steps, Stream
from engine.models.tokens import TextTokenizer
from engine.targets import Output

_ENCODER = "lxmert.encoder"


class Lxmert(RegionAdapter):
    """``LxmertForQuestionAnswering``: language and region layers, then layers of co-attention; read from [CLS].

    One cross-attention module serves both directions: it is called twice per layer, text first.
    """

    family = "lxmert"
    library = "transformers"
    description = "LXMERT: question answering over region features, two streams with co-attention"
    example = "hf:unc-nlp/lxmert-vqa-uncased"

    def recognises(self, model: nn.Module) -> bool:
        """LxmertForQuestionAnswering."""
        return type(model).__name__ == "LxmertForQuestionAnswering"

    def check(self, model: nn.Module) -> None:
        """Every configuration of the class is understood."""

    def prepare(self, model: nn.Module, inputs: Inputs, tokenizer: TextTokenizer | None) -> Batch:
        """As for all region models; boxes are an input of this model."""
        batch = super().prepare(model, inputs, tokenizer)
        if "boxes" not in batch:
            raise EngineError("LXMERT reads the boxes of the regions too (key 'boxes'), [B, K, 4] as fractions 0..1")
        return batch

    def steps(self, model: nn.Module) -> Steps:
        """Language layers, region layers, then per cross layer: both directions at once, text self, region self.

        The order of the authors' code. Of the last cross layer only what can reach [CLS] takes part.
        """
        config: Any = model.config
        text = [(Step("text", "text", f"{_ENCODER}.layer.{i}.attention.self"),) for i in range(config.l_layers)]
        image = [(Step("image", "image", f"{_ENCODER}.r_layers.{i}.attention.self"),) for i in range(config.r_layers)]
        cross: list[tuple[Step, ...]] = []
        for i in range(config.x_layers):
            layer = f"{_ENCODER}.x_layers.{i}"
            from_image = Step("text", "image", f"{layer}.visual_attention.att#0")
            text_self = Step("text", "text", f"{layer}.lang_self_att.self")
            if i == config.x_layers - 1:
                cross += [(from_image,), (text_self,)]
                continue
            from_text = Step("image", "text", f"{layer}.visual_attention.att#1")
            image_self = Step("image", "image", f"{layer}.visn_self_att.self")
            cross += [(from_image, from_text), (text_self,), (image_self,)]
        return (*text, *image, *cross)

    def idle_sites(self, model: nn.Module) -> tuple[str, ...]:
        """The region side of the last cross layer: nothing reads it."""
        config: Any = model.config
        layer = f"{_ENCODER}.x_layers.{config.x_layers - 1}"
        return (f"{layer}.visual_attention.att#1", f"{layer}.visn_self_att.self")

    def relation(self, model: nn.Module, batch: Batch, output: Output) -> Relation:
        """Text and regions, read from [CLS]; 0/0 stays NaN, as in the authors' code."""
        mask, regions = batch["attention_mask"].bool(), batch["region_mask"]
        words = text_content(batch)
        row = token_row(len(mask), mask.shape[1], (0,), batch["features"])
        return Relation(
            streams={
                "text": Stream("text", content=words & (row == 0), valid=mask, words=words),
                "image": Stream("image", content=regions, valid=regions),
            },
            steps=self.steps(model),
            read="text",
            row=row,
            mutual=True,
            clears_read_out=True,
            nan_is_zero=False,
        )

    def stream_states(self, model: nn.Module) -> dict[str, tuple[str, int]]:
        """Both outputs of the last cross layer."""
        config: Any = model.config
        last = f"{_ENCODER}.x_layers.{config.x_layers - 1}"
        return {"text": (last, 0), "image": (last, 1)}

    def forward(self, model: nn.Module, batch: Batch) -> Output:
        """Answer logits [B, C]. Without any region, as when all were taken out, words attend to nothing there."""
        if batch["features"].shape[1] == 0:
            with _attending_to_nothing(model):
                return self._forward(model, _with_a_stand_in(batch))
        return self._forward(model, batch)

    def _forward(self, model: nn.Module, batch: Batch) -> Output:
        out = model(
            input_ids=batch["text"],
            attention_mask=batch["attention_mask"],
            token_type_ids=batch.get("token_type_ids"),
            visual_feats=batch["features"],
            visual_pos=self._positions(model, batch["boxes"]),
            visual_attention_mask=batch["region_mask"].to(batch["features"].dtype),
        )
        return Output(logits=out.question_answering_score)

    def layers(self, model: nn.Module) -> dict[str, int]:
        """Language, region and cross layers."""
        config: Any = model.config
        return {"text": int(config.l_layers), "image": int(config.r_layers), "cross": int(config.x_layers)}

    def explicit(self, model: nn.Module) -> dict[str, str]:
        """All attention modules write their softmax out."""
        sites = [step.site for group in self.steps(model) for step in group] + list(self.idle_sites(model))
        paths = dict.fromkeys(path_of(site) for site in sites)
        return {path: f"{path}.dropout" for path in paths}

    def region_width(self, model: nn.Module) -> int:
        """``visual_feat_dim``."""
        config: Any = model.config
        return int(config.visual_feat_dim)

    def _positions(self, model: nn.Module, boxes: Tensor) -> Tensor:
        """Boxes in the width the model reads: some versions append the area."""
        config: Any = model.config
        width = int(config.visual_pos_dim)
        if boxes.shape[-1] == width:
            return boxes
        area = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
        more = torch.stack([area] * max(0, width - 4), dim=-1) if width > 4 else boxes[..., :0]
        return torch.cat([boxes[..., : min(4, width)], more], dim=-1)


def _with_a_stand_in(batch: Batch) -> Batch:
    """One region of zeros per sample: the library cannot run on none."""
    samples = len(batch["features"])
    return {
        **batch,
        "features": batch["features"].new_zeros(samples, 1, batch["features"].shape[2]),
        "boxes": batch["boxes"].new_zeros(samples, 1, batch["boxes"].shape[2]),
        "region_mask": torch.ones(samples, 1, dtype=torch.bool, device=batch["features"].device),
    }


@contextmanager
def _attending_to_nothing(model: nn.Module) -> Iterator[None]:
    """Let words get nothing from the stand-in: a sum over no regions is zero, as in the authors' code."""
    config: Any = model.config

    def emptied(_: nn.Module, given: tuple[Tensor, ...], result: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        reads_regions = given[1].shape[1] == 1  # every text has [CLS] and [SEP]
        return (torch.zeros_like(result[0]), *result[1:]) if reads_regions else result

    paths = [f"{_ENCODER}.x_layers.{i}.visual_attention.att" for i in range(config.x_layers)]
    hooks = [model.get_submodule(path).register_forward_hook(emptied) for path in paths]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
