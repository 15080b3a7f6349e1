"""Tiny randomly initialised models of every supported family, built in code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import timm
import torch
from open_clip.coca_model import CoCa
from open_clip.hf_model import HFTextEncoder
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg, CustomTextCLIP
from timm.models.beit import Beit
from timm.models.eva import Eva
from timm.models.swin_transformer import SwinTransformer
from timm.models.swin_transformer_v2 import SwinTransformerV2
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from transformers import (
    AlbertConfig,
    AlbertForSequenceClassification,
    BeitConfig,
    BeitForImageClassification,
    BertConfig,
    BertForSequenceClassification,
    BlipConfig,
    BlipForImageTextRetrieval,
    CamembertConfig,
    CamembertForSequenceClassification,
    CLIPConfig,
    CLIPForImageClassification,
    CLIPModel,
    DeiTConfig,
    DeiTForImageClassification,
    DeiTForImageClassificationWithTeacher,
    Dinov2Config,
    Dinov2ForImageClassification,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersForImageClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    ElectraConfig,
    ElectraForSequenceClassification,
    IJepaConfig,
    IJepaForImageClassification,
    MetaClip2Config,
    MetaClip2Model,
    ModernBertConfig,
    ModernBertForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
    Siglip2Config,
    Siglip2ForImageClassification,
    Siglip2Model,
    SiglipConfig,
    SiglipForImageClassification,
    SiglipModel,
    SwinConfig,
    SwinForImageClassification,
    Swinv2Config,
    Swinv2ForImageClassification,
    ViltConfig,
    ViltForImageAndTextRetrieval,
    ViltForQuestionAnswering,
    ViTConfig,
    ViTForImageClassification,
    ViTMSNConfig,
    ViTMSNForImageClassification,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
)

VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 3, "num_heads": 3, "num_classes": 5}
SWIN = {
    "img_size": 32, "patch_size": 4, "embed_dim": 12, "depths": (2, 2), "num_heads": (2, 3), "window_size": 4,
    "num_classes": 5,
}  # fmt: skip
HF_SWIN = {
    "image_size": 32, "patch_size": 4, "embed_dim": 12, "depths": [2, 2], "num_heads": [2, 3], "window_size": 4,
    "num_labels": 5,
}  # fmt: skip
VISION = {"layers": 3, "width": 24, "head_width": 8, "patch_size": 8, "image_size": 32}
TEXT = {"context_length": 9, "vocab_size": 40, "width": 24, "heads": 3, "layers": 2}
HF_VISION = {
    "hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 3,
    "image_size": 32, "patch_size": 8,
}  # fmt: skip
HF_TEXT = {
    "vocab_size": 40, "hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3,
    "max_position_embeddings": 9, "bos_token_id": 38, "eos_token_id": 39, "pad_token_id": 0,
}  # fmt: skip


def _swin_v2() -> nn.Module:
    model = SwinTransformerV2(**SWIN)
    for block in (b for stage in model.layers for b in stage.blocks):
        nn.init.ones_(block.norm1.weight)  # starts at zero: nothing would depend on the attention
        nn.init.ones_(block.norm2.weight)
    return model


def _siglip_open_clip() -> nn.Module:
    vision = {"timm_model_name": "vit_tiny_patch16_224", "timm_pool": "map", "timm_proj": "none", "image_size": 32}
    text = {**TEXT, "no_causal_mask": True, "pool_type": "last", "proj_bias": True}
    model = CustomTextCLIP(24, CLIPVisionCfg(**vision), CLIPTextCfg(**text), init_logit_bias=-1.0)
    model.visual.trunk = VisionTransformer(**{**VIT, "num_classes": 0}, global_pool="map", class_token=False)
    return model


def _coca(**vision: Any) -> nn.Module:
    image = {**VISION, "attentional_pool": True, "attn_pooler_queries": 5, "attn_pooler_heads": 2, **vision}
    text = {**TEXT, "embed_cls": True, "output_tokens": True}
    decoder = {**TEXT, "attn_pooler_heads": 2}
    model = CoCa(16, multimodal_cfg=decoder, text_cfg=text, vision_cfg={**image, "output_tokens": True})
    nn.init.normal_(model.text_decoder.text_projection)  # open_clip leaves it uninitialised
    return model


def _open_clip_hf_text(config: Any, pooler: str) -> nn.Module:
    """A Hugging Face text tower from a configuration; open_clip itself only builds one by a hub name."""
    model = CustomTextCLIP(16, CLIPVisionCfg(**VISION), CLIPTextCfg(**TEXT))
    model.text = HFTextEncoder("none", 16, config=config, pooler_type=pooler, proj_type="linear")
    return model


def _hf_clip() -> nn.Module:
    return CLIPModel(CLIPConfig(text_config=HF_TEXT, vision_config=HF_VISION, projection_dim=16))


def _hf_siglip() -> nn.Module:
    return SiglipModel(SiglipConfig(text_config={**HF_TEXT, "projection_size": 24}, vision_config=HF_VISION))


HF_SIGLIP2 = {**{k: v for k, v in HF_VISION.items() if k != "image_size"}, "num_patches": 9}


def _hf_siglip2() -> nn.Module:
    return Siglip2Model(Siglip2Config(text_config={**HF_TEXT, "projection_size": 24}, vision_config=HF_SIGLIP2))


CLASSIFIERS: dict[str, Callable[[], nn.Module]] = {
    "vit_cls": lambda: VisionTransformer(**VIT),
    "vit_unfused_training_mode": lambda: _unfused(VisionTransformer(**VIT)),
    "vit_avg": lambda: VisionTransformer(**VIT, global_pool="avg", class_token=False, fc_norm=True),
    "vit_map_pool": lambda: VisionTransformer(**VIT, global_pool="map"),
    "dinov2_registers": lambda: VisionTransformer(**VIT, reg_tokens=4, init_values=1e-1, no_embed_class=True),
    "dinov2_registers_avg": lambda: VisionTransformer(**VIT, reg_tokens=4, global_pool="avg"),
    "deit_distilled": lambda: timm.create_model("deit_tiny_distilled_patch16_224", **VIT),
    "eva": lambda: Eva(**VIT),
    "eva02_rope_cls": lambda: Eva(**VIT, global_pool="token", use_rot_pos_emb=True, swiglu_mlp=True, scale_mlp=True),
    "beit": lambda: Beit(**VIT, use_rel_pos_bias=True),
    "deit3": lambda: timm.create_model("deit3_small_patch16_224", **VIT),
    "beitv2": lambda: timm.create_model("beitv2_base_patch16_224", **VIT),
    "dinov3": lambda: timm.create_model("vit_small_patch16_dinov3", **VIT),
    "siglip_so400m": lambda: timm.create_model("vit_so400m_patch14_siglip_224", **VIT),
    "swin": lambda: SwinTransformer(**SWIN),
    "swin_odd_and_padded": lambda: SwinTransformer(**{**SWIN, "img_size": 28, "window_size": 3}),
    "swin_v2": lambda: _swin_v2(),
    "hf_swin": lambda: SwinForImageClassification(SwinConfig(**HF_SWIN)),
    "hf_swin_v2": lambda: Swinv2ForImageClassification(Swinv2Config(**HF_SWIN)),
    "hf_swin_odd_and_padded": lambda: SwinForImageClassification(
        SwinConfig(**{**HF_SWIN, "image_size": 28, "window_size": 3})
    ),
    "hf_vit_msn": lambda: ViTMSNForImageClassification(ViTMSNConfig(**HF_VISION, num_labels=5)),
    "hf_ijepa": lambda: IJepaForImageClassification(IJepaConfig(**HF_VISION, num_labels=5)),
    "hf_beit": lambda: BeitForImageClassification(
        BeitConfig(**HF_VISION, num_labels=5, use_relative_position_bias=True, layer_scale_init_value=0.3)
    ),
    "hf_beit_cls_shared_bias": lambda: BeitForImageClassification(
        BeitConfig(**HF_VISION, num_labels=5, use_mean_pooling=False, use_shared_relative_position_bias=True)
    ),
    "hf_dinov2": lambda: Dinov2ForImageClassification(Dinov2Config(**HF_VISION, num_labels=5)),
    "hf_dinov2_registers": lambda: Dinov2WithRegistersForImageClassification(
        Dinov2WithRegistersConfig(**HF_VISION, num_labels=5, num_register_tokens=3)
    ),
    "hf_vit": lambda: ViTForImageClassification(ViTConfig(**HF_VISION, num_labels=5)),
    "hf_vit_eager": lambda: _eager(ViTForImageClassification(ViTConfig(**HF_VISION, num_labels=5))),
    "hf_deit": lambda: DeiTForImageClassification(DeiTConfig(**HF_VISION, num_labels=5)),
    "hf_deit_distilled": lambda: DeiTForImageClassificationWithTeacher(DeiTConfig(**HF_VISION, num_labels=5)),
    "hf_clip_classifier": lambda: CLIPForImageClassification(
        CLIPConfig(text_config=HF_TEXT, vision_config=HF_VISION, num_labels=5)
    ),
    "hf_siglip_classifier": lambda: SiglipForImageClassification(
        SiglipConfig(text_config=HF_TEXT, vision_config=HF_VISION, num_labels=5)
    ),
    "hf_siglip2_classifier": lambda: Siglip2ForImageClassification(
        Siglip2Config(text_config=HF_TEXT, vision_config=HF_SIGLIP2, num_labels=5)
    ),
}

HF_BERT = {
    "vocab_size": 40, "hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 3,
    "max_position_embeddings": 12, "pad_token_id": 0, "num_labels": 5,
}  # fmt: skip


def _modernbert(**options: Any) -> ModernBertConfig:
    return ModernBertConfig(
        **HF_BERT, local_attention=4, bos_token_id=1, cls_token_id=1, eos_token_id=2, sep_token_id=2, **options
    )


TEXTS: dict[str, Callable[[], nn.Module]] = {
    "hf_bert": lambda: BertForSequenceClassification(BertConfig(**HF_BERT)),
    "hf_roberta": lambda: RobertaForSequenceClassification(RobertaConfig(**HF_BERT)),
    "hf_xlm_roberta": lambda: XLMRobertaForSequenceClassification(XLMRobertaConfig(**HF_BERT)),
    "hf_camembert": lambda: CamembertForSequenceClassification(CamembertConfig(**HF_BERT)),
    "hf_albert": lambda: AlbertForSequenceClassification(
        AlbertConfig(**{**HF_BERT, "num_hidden_layers": 4}, embedding_size=16, num_hidden_groups=2)
    ),
    "hf_modernbert": lambda: ModernBertForSequenceClassification(_modernbert()),
    "hf_modernbert_mean": lambda: ModernBertForSequenceClassification(_modernbert(classifier_pooling="mean")),
    "hf_electra": lambda: ElectraForSequenceClassification(ElectraConfig(**HF_BERT, embedding_size=16)),
    "hf_distilbert": lambda: DistilBertForSequenceClassification(
        DistilBertConfig(
            vocab_size=40, dim=24, hidden_dim=48, n_layers=3, n_heads=3, max_position_embeddings=12, num_labels=5
        )
    ),
}

PAIRS: dict[str, Callable[[], nn.Module]] = {
    "open_clip": lambda: CLIP(16, CLIPVisionCfg(**VISION), CLIPTextCfg(**TEXT), quick_gelu=True),
    "open_clip_custom_avg": lambda: CustomTextCLIP(16, CLIPVisionCfg(**VISION, pool_type="avg"), CLIPTextCfg(**TEXT)),
    "open_clip_siglip": _siglip_open_clip,
    "open_clip_coca": _coca,
    "open_clip_coca_avg": lambda: _coca(pool_type="avg"),
    "open_clip_roberta_mean": lambda: _open_clip_hf_text(RobertaConfig(**HF_BERT), "mean_pooler"),
    "open_clip_bert_cls": lambda: _open_clip_hf_text(BertConfig(**HF_BERT), "cls_pooler"),
    "hf_clip": _hf_clip,
    "hf_metaclip2": lambda: MetaClip2Model(
        MetaClip2Config(text_config=HF_TEXT, vision_config=HF_VISION, projection_dim=16)
    ),
    "hf_siglip": _hf_siglip,
    "hf_siglip2": _hf_siglip2,
}

VILT = {k: v for k, v in HF_BERT.items() if k != "num_labels"} | {"image_size": 32, "patch_size": 8}

JOINT: dict[str, Callable[[], nn.Module]] = {
    "hf_vilt": lambda: ViltForQuestionAnswering(ViltConfig(**VILT, num_labels=5)),
    "hf_vilt_retrieval": lambda: ViltForImageAndTextRetrieval(ViltConfig(**VILT)),
}

BLIP_TEXT = {
    "vocab_size": 40, "hidden_size": 24, "encoder_hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 3, "max_position_embeddings": 12, "pad_token_id": 0, "bos_token_id": 38, "sep_token_id": 39,
}  # fmt: skip

RELATED: dict[str, Callable[[], nn.Module]] = {
    "hf_blip_itm": lambda: BlipForImageTextRetrieval(
        BlipConfig(text_config=BLIP_TEXT, vision_config=HF_VISION, image_text_hidden_size=16)
    ),
}

ALL = {**CLASSIFIERS, **TEXTS, **PAIRS, **JOINT, **RELATED}


def build(name: str, seed: int = 0) -> nn.Module:
    """Build a model with attention that is far from uniform, so that relevancies are not tiny."""
    torch.manual_seed(seed)
    model = ALL[name]()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() >= 2:
                parameter.add_(torch.randn_like(parameter) * 0.15)
    return model if name.endswith("training_mode") else model.eval()


def inputs(name: str, batch: int = 3, seed: int = 1) -> Any:
    """Random inputs that fit the model: images, or images with token ids that end in the end token."""
    generator = torch.Generator().manual_seed(seed)
    side = 28 if "odd" in name else 32
    images = torch.randn(batch, 3, side, side, generator=generator)
    if name in CLASSIFIERS:
        return images
    if name in {**TEXTS, **JOINT, **RELATED}:
        lengths = 3 + (2 * torch.arange(batch)) % 5
        mask = (torch.arange(9) < lengths[:, None]).long()
        texts = {"text": torch.randint(2, 40, (batch, 9), generator=generator) * mask, "attention_mask": mask}
        if name in JOINT:
            return {**texts, "image": images, "pixel_mask": _pixel_mask(batch)}
        return texts if name in TEXTS else {**texts, "image": images}
    ids = torch.zeros(batch, 9, dtype=torch.long)
    for i in range(batch):
        length = 3 + (2 * i) % 5
        ids[i, 0] = 38
        ids[i, 1 : 1 + length] = torch.randint(1, 38, (length,), generator=generator)
        ids[i, 1 + length] = 39
    return {"image": images, "text": ids}


def _pixel_mask(batch: int) -> torch.Tensor:
    """Every second picture is smaller than the rest: 24 x 16 in the top left corner of 32 x 32."""
    mask = torch.ones(batch, 32, 32, dtype=torch.long)
    mask[1::2, 24:], mask[1::2, :, 16:] = 0, 0
    return mask


def take(data: Any, rows: slice) -> Any:
    """Some samples of what :func:`inputs` returned."""
    return {k: v[rows] for k, v in data.items()} if isinstance(data, dict) else data[rows]


def _unfused(model: nn.Module) -> nn.Module:
    for block in model.blocks:
        block.attn.fused_attn = False
    return model.train()


def _eager(model: nn.Module) -> nn.Module:
    model.set_attn_implementation("eager")
    return model
