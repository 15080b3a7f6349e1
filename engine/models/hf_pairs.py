"""transformers: CLIPModel, SiglipModel and Siglip2Model."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from engine.errors import UnsupportedModel
from engine.models.adapter import Batch, Tower
from engine.models.hf_vision import Layout, hf_image_tower, picture_inputs
from engine.models.hugging_face import under_sdpa
from engine.models.pairs import PairAdapter, end_positions, text_length, text_stream
from engine.targets import Output

_CLIP_IMAGE = Layout("vision_model.encoder.layers", "self_attn", 1, (0,))
_SIGLIP_IMAGE = Layout("vision_model.encoder.layers", "self_attn", 0, None)
FAMILIES = {
    "CLIPModel": ("clip", "hf:openai/clip-vit-base-patch32"),
    "MetaClip2Model": ("metaclip2", "hf:facebook/metaclip-2-worldwide-huge-quickgelu"),
    "SiglipModel": ("siglip", "hf:google/siglip2-base-patch16-224"),
    "Siglip2Model": ("siglip2-naflex", "hf:google/siglip2-base-patch16-naflex"),
}
"""Class -> family and example."""
LEGACY_END_ID = 2
"""Old CLIP configurations say 2 and the model then takes the largest id as the end token."""


class HFPairs(PairAdapter):
    """``CLIPModel`` (CLS and end-of-text read-out), ``SiglipModel`` and ``Siglip2Model`` (attention pool, last token).

    SigLIP 2 (NaFlex) is given plain pictures too: they are cut into patches here, without padding.
    """

    family = "clip"
    library = "transformers"
    description = "CLIPModel, MetaClip2Model, SiglipModel and Siglip2Model of transformers"
    example = "hf:openai/clip-vit-base-patch32"

    def families(self) -> dict[str, str]:
        """One per class."""
        return dict(FAMILIES.values())

    def family_of(self, model: nn.Module) -> str:
        """By class."""
        return FAMILIES[type(model).__name__][0]

    def recognises(self, model: nn.Module) -> bool:
        """CLIPModel, SiglipModel and Siglip2Model."""
        return type(model).__name__ in FAMILIES

    def check(self, model: nn.Module) -> None:
        """Refuse SigLIP without its pooling head."""
        if _is_siglip(model) and not getattr(model.vision_model, "use_head", False):
            raise UnsupportedModel(f"{type(model).__name__} without its vision pooling head has no read-out to explain")

    def image_tower(self, model: nn.Module, batch: Batch) -> Tower:
        """CLIP's reads its class token, SigLIP's an attention pool."""
        siglip = _is_siglip(model)
        return hf_image_tower(
            model,
            batch["image"],
            _SIGLIP_IMAGE if siglip else _CLIP_IMAGE,
            pool="vision_model.head.attention" if siglip else None,
        )

    def text_tower(self, model: nn.Module, batch: Batch) -> Tower:
        """CLIP's reads the end token, SigLIP's the last one."""
        depth, config = self.layers(model)["text"], _text_config(model)
        blocks = "text_model.encoder.layers"
        return text_stream(
            model,
            tuple(f"{blocks}.{i}.self_attn" for i in range(depth)),
            f"{blocks}.{depth - 1}",
            batch,
            pooling=_pooling(model),
            end_id=config.eos_token_id,
            pad_id=config.pad_token_id,
        )

    def text_ends(self, model: nn.Module, ids: Tensor) -> Tensor | None:
        """Of CLIP's; SigLIP's text tower is not causal."""
        return end_positions(ids, _pooling(model), _text_config(model).eos_token_id)

    def forward(self, model: nn.Module, batch: Batch) -> Output:
        """Cosine of each pair and the model's logit."""
        clip: Any = model
        out = clip(**_texts(batch), **picture_inputs(clip, batch))
        cosine = (out.image_embeds * out.text_embeds).sum(dim=-1)
        return Output(logits=self.pair_logits(model, cosine), cosine=cosine)

    def pair_logits(self, model: nn.Module, cosine: Tensor) -> Tensor:
        """With the bias where there is one (SigLIP)."""
        clip: Any = model
        logits: Tensor = clip.logit_scale.exp() * cosine
        return logits + clip.logit_bias if hasattr(clip, "logit_bias") else logits

    def embed_images(self, model: nn.Module, batch: Batch) -> Tensor:
        """The library's image features, at unit length."""
        clip: Any = model
        return F.normalize(clip.get_image_features(**picture_inputs(clip, batch)).pooler_output, dim=-1)

    def embed_texts(self, model: nn.Module, batch: Batch) -> Tensor:
        """The library's text features, at unit length."""
        clip: Any = model
        found = clip.get_text_features(**_texts(batch))
        return F.normalize(found.pooler_output, dim=-1)

    def layers(self, model: nn.Module) -> dict[str, int]:
        """Blocks of both towers."""
        config: Any = model.config
        return {
            "image": int(config.vision_config.num_hidden_layers),
            "text": int(config.text_config.num_hidden_layers),
        }

    def scope(self, model: nn.Module) -> AbstractContextManager[None]:
        """Attention through sdpa."""
        return under_sdpa(model)

    def text_limits(self, model: nn.Module) -> tuple[int, int]:
        """Vocabulary and context."""
        config = _text_config(model)
        return int(config.vocab_size), int(config.max_position_embeddings)


def _texts(batch: Batch) -> dict[str, Tensor | None]:
    """What the library calls the texts."""
    length, mask = text_length(batch), batch.get("attention_mask")
    return {"input_ids": batch["text"][:, :length], "attention_mask": None if mask is None else mask[:, :length]}


def _pooling(model: nn.Module) -> str:
    """Which token of a text is read, as :func:`text_stream` names it."""
    if _is_siglip(model):
        return "last"
    legacy = _text_config(model).eos_token_id == LEGACY_END_ID and type(model).__name__ == "CLIPModel"
    return "argmax" if legacy else "eos"


def _is_siglip(model: nn.Module) -> bool:
    return type(model).__name__ in ("SiglipModel", "Siglip2Model")


def _text_config(model: nn.Module) -> Any:
    config: Any = model.config
    return config.text_config
