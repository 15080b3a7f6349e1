"""open_clip: CLIP, SigLIP and CoCa with native or timm image towers and native or Hugging Face text towers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from open_clip.coca_model import CoCa
from open_clip.hf_model import HFTextEncoder
from open_clip.model import CLIP, CustomTextCLIP
from open_clip.timm_model import TimmModel
from open_clip.transformer import TextTransformer, VisionTransformer
from torch import Tensor, nn

from engine.errors import UnsupportedModel
from engine.models.adapter import Batch, Tower, middle_block
from engine.models.hf_text import bert_limits
from engine.models.hugging_face import under_sdpa
from engine.models.pairs import LENGTH, PairAdapter, end_positions, text_length, text_stream
from engine.models.readout import content_after, mean_row, token_row
from engine.models.timm_vit import TimmViT, check_timm_trunk, timm_image_tower
from engine.targets import Output

HF_BLOCKS = {"bert", "roberta", "xlm-roberta"}
"""Model types of Hugging Face text towers whose blocks are ``encoder.layer.N.attention.self``."""


class OpenClipPairs(PairAdapter):
    """``open_clip.CLIP``, ``open_clip.CustomTextCLIP`` and the contrastive part of ``open_clip.CoCa``.

    CoCa's image tower is read by an attentional pooler (its first query), its text tower from a class token that is
    appended to each text.
    """

    family = "clip"
    library = "open_clip"
    description = "CLIP, SigLIP and CoCa of open_clip: native ViT or timm image tower, native or BERT-like text tower"
    example = "open_clip:ViT-B-32/laion2b_s34b_b79k"

    def families(self) -> dict[str, str]:
        """By the kind of towers."""
        return {
            "clip": self.example,
            "siglip": "open_clip:ViT-B-16-SigLIP/webli",
            "coca": "open_clip:coca_ViT-B-32/laion2b_s13b_b90k",
            "clip-bert": "open_clip:roberta-ViT-B-32/laion2b_s12b_b32k",
        }

    def family_of(self, model: nn.Module) -> str:
        """ "siglip" stands for image towers of timm, "clip-bert" for text towers of transformers."""
        if isinstance(model, CoCa):
            return "coca"
        if isinstance(_text_part(model), HFTextEncoder):
            return "clip-bert"
        return "siglip" if isinstance(_image_part(model), TimmModel) else "clip"

    def recognises(self, model: nn.Module) -> bool:
        """CLIP, CustomTextCLIP and CoCa."""
        return isinstance(model, CLIP | CustomTextCLIP | CoCa)

    def check(self, model: nn.Module) -> None:
        """Refuse convolutional image towers, chained poolers and unknown text towers."""
        visual = _image_part(model)
        if isinstance(visual, TimmModel):
            if not TimmViT().recognises(visual.trunk):
                raise UnsupportedModel(f"open_clip image tower {type(visual.trunk).__name__} (timm) is not supported")
            check_timm_trunk(visual.trunk)
        elif not isinstance(visual, VisionTransformer):
            raise UnsupportedModel(f"open_clip image tower {type(visual).__name__} has no transformer to explain")
        elif visual.attn_pool is not None and (visual.attn_pool_type or visual.pool_type not in ("tok", "avg")):
            raise UnsupportedModel(
                f"open_clip image tower with attentional pool {visual.attn_pool_type or visual.pool_type!r} "
                "is not supported: only the pooler of the published CoCa weights is"
            )
        _check_text(getattr(model, "text", None))

    def forward(self, model: nn.Module, batch: Batch) -> Output:
        """Cosine of each pair and the model's logit, temperature and bias included."""
        cosine = (self.embed_images(model, batch) * self.embed_texts(model, batch)).sum(dim=-1)
        return Output(logits=self.pair_logits(model, cosine), cosine=cosine)

    def pair_logits(self, model: nn.Module, cosine: Tensor) -> Tensor:
        """With the bias where there is one (SigLIP)."""
        clip: Any = model
        logits: Tensor = clip.logit_scale.exp() * cosine
        return logits if clip.logit_bias is None else logits + clip.logit_bias

    def embed_images(self, model: nn.Module, batch: Batch) -> Tensor:
        """Through the image tower."""
        clip: Any = model
        embedded: Tensor = clip.encode_image(batch["image"], normalize=True)
        return embedded

    def embed_texts(self, model: nn.Module, batch: Batch) -> Tensor:
        """Through the text tower."""
        clip: Any = model
        with _cut_to(_text_part(model).transformer, text_length(batch)) if LENGTH in batch else nullcontext():
            embedded: Tensor = clip.encode_text(batch["text"], normalize=True)
        return embedded

    def layers(self, model: nn.Module) -> dict[str, int]:
        """Blocks of both towers."""
        visual: Any = _image_part(model)
        text = _text_part(model).transformer
        blocks = visual.trunk.blocks if isinstance(visual, TimmModel) else visual.transformer.resblocks
        return {"image": len(blocks), "text": len(text.resblocks if hasattr(text, "resblocks") else text.encoder.layer)}

    def scope(self, model: nn.Module) -> AbstractContextManager[None]:
        """Attention of a Hugging Face text tower through sdpa."""
        return under_sdpa(model)

    def text_limits(self, model: nn.Module) -> tuple[int, int]:
        """Vocabulary and context."""
        text = _text_part(model)
        if isinstance(text, HFTextEncoder):
            return bert_limits(text.transformer)
        return int(text.vocab_size), int(text.context_length)

    def image_tower(self, model: nn.Module, batch: Batch) -> Tower:
        """Native or of timm."""
        visual: Any = _image_part(model)
        images = batch["image"]
        if isinstance(visual, TimmModel):
            return timm_image_tower(visual.trunk, images, path="visual.trunk")
        depth, grid = len(visual.transformer.resblocks), tuple(int(n) for n in visual.grid_size)
        count, tokens = len(images), 1 + grid[0] * grid[1]
        pooled = visual.attn_pool is not None
        read = len(visual.attn_pool.query) if pooled else tokens
        mean = visual.pool_type == "avg"
        return Tower(
            modality="image",
            layers=tuple(f"visual.transformer.resblocks.{i}.attn" for i in range(depth)),
            states=f"visual.transformer.resblocks.{depth - 1}",
            start=mean_row(count, read, 1, images) if mean else token_row(count, read, (0,), images),
            content=content_after(count, tokens, 1, images.device),
            prefix=1,
            grid=(grid[0], grid[1]),
            pool="visual.attn_pool.attn" if pooled else None,
            middle=middle_block("visual.transformer.resblocks", depth),
        )

    def text_tower(self, model: nn.Module, batch: Batch) -> Tower:
        """Native or of transformers."""
        text = _text_part(model)
        if isinstance(text, HFTextEncoder):
            return _hf_text(text, batch)
        inside = text is model
        dot, appended = "" if inside else "text.", getattr(text, "cls_emb", None) is not None
        depth = len(text.transformer.resblocks)
        pooling, end_id = _pooling(text, inside)
        tower = text_stream(
            model,
            tuple(f"{dot}transformer.resblocks.{i}.attn" for i in range(depth)),
            f"{dot}transformer.resblocks.{depth - 1}",
            batch,
            pooling="last" if appended else pooling,  # a class token takes the place of whatever pooling is configured
            end_id=end_id,
            pad_id=getattr(text, "pad_id", None),
        )
        return _with_class_token(tower) if appended else tower

    def text_ends(self, model: nn.Module, ids: Tensor) -> Tensor | None:
        """Of native towers with a causal mask; a class token that CoCa appends reads all texts to their end."""
        text = _text_part(model)
        if isinstance(text, HFTextEncoder) or text.attn_mask is None or getattr(text, "cls_emb", None) is not None:
            return None
        return end_positions(ids, *_pooling(text, text is model))


def _pooling(text: Any, inside: bool) -> tuple[str, int]:
    """Which token a native text tower reads, as :func:`text_stream` names it, and the id of the end token."""
    return str(text.text_pool_type if inside else text.pool_type), int(text.text_eos_id if inside else text.eos_id)


@contextmanager
def _cut_to(transformer: nn.Module, length: int) -> Iterator[None]:
    """Let a text transformer work on the first tokens alone; what embeds them knows one length only."""

    def cut(
        _: nn.Module, given: tuple[Tensor, ...], named: dict[str, Any]
    ) -> tuple[tuple[Tensor, ...], dict[str, Any]]:
        return (given[0][:, :length],), named | {"attn_mask": named["attn_mask"][..., :length, :length]}

    handle = transformer.register_forward_pre_hook(cut, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _check_text(text: Any) -> None:
    if isinstance(text, HFTextEncoder):
        kind, pooler, names = text.config.model_type, type(text.pooler).__name__, ", ".join(sorted(HF_BLOCKS))
        if kind not in HF_BLOCKS:
            raise UnsupportedModel(f"open_clip text tower of type {kind!r} is not supported; {names} are")
        if pooler == "MaxPooler":
            raise UnsupportedModel(
                "open_clip text tower with max pooling is not supported: every channel reads another token"
            )
    elif text is not None and not isinstance(text, TextTransformer):
        raise UnsupportedModel(f"open_clip text tower {type(text).__name__} is not supported")


def _with_class_token(tower: Tower) -> Tower:
    """Append the class token, which is read, to a text stream."""
    content = F.pad(tower.content, (0, 1))
    start = torch.zeros_like(content, dtype=tower.start.dtype)
    start[:, -1] = 1.0
    return replace(tower, start=start, content=content, split={"text": (0, tower.tokens)})


def _hf_text(text: Any, batch: Batch) -> Tower:
    """A BERT-like text tower: padding is masked, the class token or the mean over the other tokens is read."""
    ids, blocks = batch["text"], "text.transformer.encoder.layer"
    valid = ids != text.config.pad_token_id
    like, depth = next(text.parameters()), len(text.transformer.encoder.layer)
    mean = valid.to(like.dtype) / valid.sum(dim=1, keepdim=True)
    first = token_row(len(ids), ids.shape[1], (0,), like)
    return Tower(
        modality="text",
        layers=tuple(f"{blocks}.{i}.attention.self" for i in range(depth)),
        states=f"{blocks}.{depth - 1}",
        start=mean if type(text.pooler).__name__ == "MeanPooler" else first,
        content=valid & ~batch["special"] if "special" in batch else valid,
        valid=valid,
    )


def _image_part(model: nn.Module) -> nn.Module:
    visual = model.visual
    assert isinstance(visual, nn.Module)
    return visual


def _text_part(model: nn.Module) -> Any:
    """The text tower: a module of its own in CustomTextCLIP, spread over the model itself in CLIP."""
    return getattr(model, "text", model)


__all__ = ["OpenClipPairs"]
