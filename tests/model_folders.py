"""Tiny models on disk, in each library's own folder format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertTokenizer,
    CLIPConfig,
    CLIPModel,
    DetrConfig,
    DetrForObjectDetection,
    LxmertConfig,
    LxmertForQuestionAnswering,
    LxmertTokenizer,
    PreTrainedTokenizerFast,
    ResNetConfig,
    VisualBertConfig,
    VisualBertForQuestionAnswering,
    ViTConfig,
    ViTForImageClassification,
)

WORDS = ["<pad>", "a", "the", "red", "blue", "boat", "house", "tree", "sea", "on", "of", "photo", "two", "<s>", "</s>"]
VOCABULARY = 15
END = 14


def timm_folder(folder: Path, names: list[str] | None = None, **options: object) -> Path:
    """A timm local-dir folder: config.json and model.safetensors."""
    import timm

    arguments = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 3, **options}
    classes = len(names) if names else 5
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", num_classes=classes, **arguments)
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "architecture": "vit_tiny_patch16_224",
        "num_classes": classes,
        "model_args": arguments,
        "pretrained_cfg": {
            "input_size": [3, 32, 32], "interpolation": "bicubic", "crop_pct": 0.9, "num_classes": classes,
            "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "first_conv": "patch_embed.proj", "classifier": "head",
            **({"label_names": names} if names else {}),
        },
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    save_file(model.state_dict(), folder / "model.safetensors")
    return folder


def fast_tokenizer() -> PreTrainedTokenizerFast:
    """Words of a handful of captions; start and end tokens; unknown words are padding."""
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 13), ("</s>", END)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>", model_max_length=9
    )


def open_clip_folder(folder: Path) -> Path:
    """An open_clip local-dir folder with a Hugging Face tokenizer of its own."""
    import open_clip

    config = {
        "embed_dim": 16,
        "vision_cfg": {"layers": 2, "width": 24, "head_width": 8, "patch_size": 8, "image_size": 32},
        "text_cfg": {
            "context_length": 9, "vocab_size": VOCABULARY, "width": 24, "heads": 3, "layers": 2,
            "hf_tokenizer_name": "local", "tokenizer_kwargs": {"strip_sep_token": False},
        },
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    model = open_clip.model.CLIP(
        16,
        open_clip.CLIPVisionCfg(**config["vision_cfg"]),
        open_clip.CLIPTextCfg(**{k: v for k, v in config["text_cfg"].items() if not k.startswith(("hf_", "tok"))}),
    )
    preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    fast_tokenizer().save_pretrained(folder)
    return folder


def hf_vit_folder(folder: Path, names: list[str]) -> Path:
    """A transformers folder with a ViT classifier."""
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=24, intermediate_size=48, num_hidden_layers=2, num_attention_heads=3, image_size=32, patch_size=8,
        id2label=dict(enumerate(names)), label2id={n: i for i, n in enumerate(names)},
    )  # fmt: skip
    ViTForImageClassification(config).save_pretrained(folder)
    processor = {"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}, "resample": 2,
                 "image_mean": [0.5] * 3, "image_std": [0.5] * 3}  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


def hf_clip_folder(folder: Path) -> Path:
    """A transformers folder with a CLIP model and its tokenizer."""
    torch.manual_seed(0)
    vision = {"hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3,
              "image_size": 32, "patch_size": 8}  # fmt: skip
    text = {"vocab_size": VOCABULARY, "hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2,
            "num_attention_heads": 3, "max_position_embeddings": 9, "bos_token_id": 13, "eos_token_id": END,
            "pad_token_id": 0}  # fmt: skip
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)).save_pretrained(folder)
    processor = {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 32}, "do_center_crop": True,
                 "crop_size": {"height": 32, "width": 32}, "resample": 3}  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    fast_tokenizer().save_pretrained(folder)
    return folder


QUESTION_WORDS = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "what", "is", "on", "the", "how", "many", "where", "boat", "house",
    "tree", "sea", "colour", "red", "blue", "a", "this", "good", "bad", "film", "not", "very", "##s", "##ed", "?", ".",
]  # fmt: skip
"""A WordPiece vocabulary of 30 tokens for questions and short reviews."""
BERT = {
    "vocab_size": len(QUESTION_WORDS), "hidden_size": 24, "intermediate_size": 48, "num_attention_heads": 3,
    "max_position_embeddings": 12, "pad_token_id": 0,
}  # fmt: skip
ANSWERS = ["yes", "no", "red", "blue", "two", "boat"]
REGION_WIDTH = 10


def enlivened(model: nn.Module, seed: int = 0, scale: float = 0.15) -> Any:
    """The same model with weights that make attention far from uniform and answers that differ between samples."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() >= 2:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * scale)
    return model.eval()


def labels(names: list[str]) -> dict[str, Any]:
    """Class names as a transformers configuration keeps them."""
    return {"id2label": dict(enumerate(names)), "label2id": {n: i for i, n in enumerate(names)}}


def word_tokenizer(kind: type = BertTokenizer, words: list[str] = QUESTION_WORDS, limit: int = 12) -> Any:
    """A WordPiece tokenizer with [CLS] and [SEP] over a vocabulary of a few words."""
    return kind(vocab={word: i for i, word in enumerate(words)}, model_max_length=limit)


def visual_bert_folder(folder: Path, answers: list[str] = ANSWERS) -> Path:
    """A transformers folder with VisualBertForQuestionAnswering: 2 layers, regions of 10 numbers, 12 tokens at most."""
    torch.manual_seed(0)
    config = VisualBertConfig(**BERT, num_hidden_layers=2, visual_embedding_dim=REGION_WIDTH, **labels(answers))
    enlivened(VisualBertForQuestionAnswering(config)).save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    return folder


def lxmert_folder(folder: Path, answers: list[str] = ANSWERS) -> Path:
    """A transformers folder with LxmertForQuestionAnswering: 2 language, 1 image, 2 cross layers, 10-number regions."""
    torch.manual_seed(0)
    config = LxmertConfig(
        **BERT, l_layers=2, r_layers=1, x_layers=2, visual_feat_dim=REGION_WIDTH, num_qa_labels=len(answers),
        **labels(answers),
    )  # fmt: skip
    enlivened(LxmertForQuestionAnswering(config)).save_pretrained(folder)
    word_tokenizer(LxmertTokenizer).save_pretrained(folder)
    return folder


def detr_folder(folder: Path, names: list[str] | None = None, edge: int = 64) -> Path:
    """A transformers folder with DetrForObjectDetection on a tiny ResNet of stride 32: 2 + 2 layers, 6 queries.

    The class head is made decided, so that on any picture some queries are above a threshold of 0.7.
    """
    torch.manual_seed(0)
    backbone = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], layer_type="basic",
        out_features=["stage4"],
    )  # fmt: skip
    config = DetrConfig(
        use_timm_backbone=False, backbone_config=backbone, backbone=None, use_pretrained_backbone=False, d_model=24,
        encoder_layers=2, decoder_layers=2, encoder_attention_heads=3, decoder_attention_heads=3, encoder_ffn_dim=32,
        decoder_ffn_dim=32, num_queries=6, **labels(names or ["boat", "house", "tree"]),
    )  # fmt: skip
    model = enlivened(DetrForObjectDetection(config))
    with torch.no_grad():
        model.model.query_position_embeddings.weight.mul_(20)
        torch.nn.init.orthogonal_(model.class_labels_classifier.weight, gain=4.0)
        model.class_labels_classifier.bias[-1] = -1.0
    model.save_pretrained(folder)
    size = {"shortest_edge": edge, "longest_edge": 2 * edge}
    processor = {"image_processor_type": "DetrImageProcessor", "size": size, "do_pad": True}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


def bert_folder(folder: Path, names: list[str] | None = None) -> Path:
    """A transformers folder with BertForSequenceClassification: 2 layers, 12 tokens at most."""
    torch.manual_seed(0)
    config = BertConfig(**BERT, num_hidden_layers=2, **labels(names or ["bad", "good"]))
    enlivened(BertForSequenceClassification(config)).save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    return folder
