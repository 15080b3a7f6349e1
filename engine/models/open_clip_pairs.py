"""open_clip: CLIP and SigLIP with native or timm image towers and native text towers."""

from __future__ import annotations

from typing import Any

from open_clip.model import CLIP, CustomTextCLIP
from open_clip.timm_model import TimmModel
from open_clip.transformer import TextTransformer, VisionTransformer
from torch import Tensor, nn

from engine.errors import UnsupportedModel
from engine.models.adapter import Batch, Tower
from engine.models.pairs import PairAdapter, text_tower
from engine.models.readout import content_after, mean_row, token_row
from engine.models.timm_vit import TimmViT, check_timm_trunk, timm_image_tower
from engine.targets import Output


class OpenClipPairs(PairAdapter):
    """``open_clip.CLIP`` and ``open_clip.CustomTextCLIP``."""

    family = "clip"
    library = "open_clip"
    description = "CLIP and SigLIP of open_clip: native ViT or timm image tower, causal or bidirectional text tower"
    example = "open_clip:ViT-B-32/laion2b_s34b_b79k"

    def recognises(self, model: nn.Module) -> bool:
        """CLIP and CustomTextCLIP."""
        return isinstance(model, CLIP | CustomTextCLIP)

    def check(self, model: nn.Module) -> None:
        """Refuse convolutional image towers, attentional poolers and Hugging Face text towers."""
        visual = _image_part(model)
        if isinstance(visual, TimmModel):
            if not TimmViT().recognises(visual.trunk):
                raise UnsupportedModel(f"open_clip image tower {type(visual.trunk).__name__} (timm) is not supported")
            check_timm_trunk(visual.trunk)
        elif not isinstance(visual, VisionTransformer):
            raise UnsupportedModel(f"open_clip image tower {type(visual).__name__} has no transformer to explain")
        elif visual.attn_pool is not None:
            raise UnsupportedModel("open_clip image tower with an attentional pooler (CoCa) is not supported yet")
        text = getattr(model, "text", None)
        if text is not None and not isinstance(text, TextTransformer):
            raise UnsupportedModel(f"open_clip text tower {type(text).__name__} is not supported yet")
        if getattr(text, "cls_emb", None) is not None:
            raise UnsupportedModel("open_clip text tower with a class token (CoCa) is not supported yet")

    def towers(self, model: nn.Module, batch: Batch) -> tuple[Tower, ...]:
        """Image and text stream."""
        return self._image(model, batch["image"]), self._text(model, batch)

    def forward(self, model: nn.Module, batch: Batch) -> Output:
        """Cosine of each pair and the model's logit, temperature and bias included."""
        clip: Any = model
        image = clip.encode_image(batch["image"], normalize=True)
        text = clip.encode_text(batch["text"], normalize=True)
        cosine = (image * text).sum(dim=-1)
        logits = clip.logit_scale.exp() * cosine
        if clip.logit_bias is not None:
            logits = logits + clip.logit_bias
        return Output(logits=logits, cosine=cosine)

    def layers(self, model: nn.Module) -> dict[str, int]:
        """Blocks of both towers."""
        visual: Any = _image_part(model)
        blocks = visual.trunk.blocks if isinstance(visual, TimmModel) else visual.transformer.resblocks
        return {"image": len(blocks), "text": len(_text_part(model).transformer.resblocks)}

    def text_limits(self, model: nn.Module) -> tuple[int, int]:
        """Vocabulary and context."""
        text = _text_part(model)
        return int(text.vocab_size), int(text.context_length)

    def _image(self, model: nn.Module, images: Tensor) -> Tower:
        visual: Any = _image_part(model)
        if isinstance(visual, TimmModel):
            return timm_image_tower(visual.trunk, images, path="visual.trunk")
        depth, grid = len(visual.transformer.resblocks), tuple(int(n) for n in visual.grid_size)
        batch, tokens = len(images), 1 + grid[0] * grid[1]
        mean = visual.pool_type == "avg"
        return Tower(
            modality="image",
            layers=tuple(f"visual.transformer.resblocks.{i}.attn" for i in range(depth)),
            states=f"visual.transformer.resblocks.{depth - 1}",
            start=mean_row(batch, tokens, 1, images) if mean else token_row(batch, tokens, (0,), images),
            content=content_after(batch, tokens, 1, images.device),
            prefix=1,
            grid=(grid[0], grid[1]),
        )

    def _text(self, model: nn.Module, batch: Batch) -> Tower:
        text = _text_part(model)
        inside = text is model
        dot = "" if inside else "text."
        depth = len(text.transformer.resblocks)
        return text_tower(
            tuple(f"{dot}transformer.resblocks.{i}.attn" for i in range(depth)),
            f"{dot}transformer.resblocks.{depth - 1}",
            batch,
            pooling=str(text.text_pool_type if inside else text.pool_type),
            end_id=int(text.text_eos_id if inside else text.eos_id),
            pad_id=getattr(text, "pad_id", None),
        )


def _image_part(model: nn.Module) -> nn.Module:
    visual = model.visual
    assert isinstance(visual, nn.Module)
    return visual


def _text_part(model: nn.Module) -> Any:
    """The text tower: a module of its own in CustomTextCLIP, spread over the model itself in CLIP."""
    return getattr(model, "text", model)


__all__ = ["OpenClipPairs"]
