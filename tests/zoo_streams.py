"""Tiny randomly initialised models whose streams look at each other, or that hold two modalities in one stream."""

from __future__ import annotations

import torch
from transformers import (
    DetrConfig,
    DetrForObjectDetection,
    LxmertConfig,
    LxmertForQuestionAnswering,
    ResNetConfig,
    VisualBertConfig,
    VisualBertForQuestionAnswering,
)

WIDTH = 12  # of a region feature


def visual_bert():
    return VisualBertForQuestionAnswering(
        VisualBertConfig(
            vocab_size=40, hidden_size=24, visual_embedding_dim=WIDTH, num_hidden_layers=3, num_attention_heads=3,
            intermediate_size=48, max_position_embeddings=12, num_labels=6,
        )
    )  # fmt: skip


def lxmert():
    return LxmertForQuestionAnswering(
        LxmertConfig(
            vocab_size=40, hidden_size=24, visual_feat_dim=WIDTH, num_attention_heads=3, intermediate_size=48,
            max_position_embeddings=12, l_layers=2, r_layers=2, x_layers=2, num_qa_labels=6,
        )
    )  # fmt: skip


def detr(**changes):
    backbone = ResNetConfig(
        num_channels=3, embedding_size=6, hidden_sizes=[6, 10], depths=[1, 1], layer_type="basic",
        out_features=["stage2"],
    )  # fmt: skip
    settings = {
        "d_model": 24, "encoder_layers": 2, "decoder_layers": 3, "encoder_attention_heads": 3,
        "decoder_attention_heads": 3, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "num_queries": 7, "num_labels": 5,
    }  # fmt: skip
    return DetrForObjectDetection(DetrConfig(use_timm_backbone=False, backbone_config=backbone, **settings | changes))


BUILDERS = {"visual_bert": visual_bert, "lxmert": lxmert, "detr": detr}


def build(name, seed=0, **changes):
    """A model with attention that is far from uniform."""
    torch.manual_seed(seed)
    model = BUILDERS[name](**changes)
    with torch.no_grad():
        for parameter in model.parameters():  # biases too: with none, DETR's first decoder layer has no values
            parameter.add_(torch.randn_like(parameter) * 0.15)
    return model.eval()


def questions(batch=3, seed=1, texts=9, regions=6):
    """Questions of different lengths about pictures with different numbers of regions, padded."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.zeros(batch, texts, dtype=torch.long)
    mask = torch.zeros(batch, texts, dtype=torch.long)
    region_mask = torch.zeros(batch, regions, dtype=torch.bool)
    for i in range(batch):
        length = texts - 2 * (i % 3)
        ids[i, :length] = torch.randint(3, 38, (length,), generator=generator)
        ids[i, 0], ids[i, length - 1] = 1, 2
        mask[i, :length] = 1
        region_mask[i, : regions - i % 4] = True
    corner = torch.rand(batch, regions, 2, generator=generator) * 0.5
    size = torch.rand(batch, regions, 2, generator=generator) * 0.5
    return {
        "text": ids,
        "attention_mask": mask,
        "features": torch.randn(batch, regions, WIDTH, generator=generator) * region_mask[..., None],
        "boxes": torch.cat([corner, corner + size], dim=-1) * region_mask[..., None],
        "region_mask": region_mask,
    }


def one_question(data, i):
    """Sample ``i`` without its padding."""
    texts, regions = int(data["attention_mask"][i].sum()), int(data["region_mask"][i].sum())
    cut = {"text": texts, "attention_mask": texts, "features": regions, "boxes": regions, "region_mask": regions}
    return {name: data[name][i : i + 1, :length] for name, length in cut.items()}


def pictures(batch=2, seed=1, size=(32, 40)):
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(seed))
