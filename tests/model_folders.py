"""Tiny models on disk, in each library's own folder format."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import torch
import zoo
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
    RobertaConfig,
    Siglip2Tokenizer,
    VisualBertConfig,
    VisualBertForQuestionAnswering,
    ViTConfig,
    ViTForImageClassification,
)

WORDS = ["<pad>", "a", "the", "red", "blue", "boat", "house", "tree", "sea", "on", "of", "photo", "two", "<s>", "</s>"]
VOCABULARY = 15
END = 14


def timm_folder(
    folder: Path, names: list[str] | None = None, architecture: str = "vit_tiny_patch16_224", **options: object
) -> Path:
    """A timm local-dir folder: config.json and model.safetensors."""
    import timm

    arguments = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 3, **options}
    arguments = {name: value for name, value in arguments.items() if value is not None}
    classes = len(names) if names else 5
    torch.manual_seed(0)
    model = timm.create_model(architecture, num_classes=classes, **arguments)
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "architecture": architecture,
        "num_classes": classes,
        "model_args": arguments,
        "pretrained_cfg": {
            "input_size": [3, 32, 32], "interpolation": "bicubic", "crop_pct": 0.9, "num_classes": classes,
            "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "first_conv": "patch_embed.proj", "classifier": "head",
            **({"label_names": names} if names else {}),
            **({"classifier": ["head", "head_dist"]} if "distilled" in architecture else {}),
        },
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    save_file(model.state_dict(), folder / "model.safetensors")
    return folder


def fast_tokenizer(size: int = VOCABULARY) -> PreTrainedTokenizerFast:
    """Words of a handful of captions; start and end token last of ``size``; unknown words are padding."""
    words = [*WORDS[:-2], *(f"word{i}" for i in range(size - VOCABULARY)), *WORDS[-2:]]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", size - 2), ("</s>", size - 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>", model_max_length=9
    )


TEXT_TOWER = {"context_length": 9, "vocab_size": VOCABULARY, "width": 24, "heads": 3, "layers": 2}
OWN_TOKENIZER = {"hf_tokenizer_name": "local", "tokenizer_kwargs": {"strip_sep_token": False}}


def open_clip_folder(folder: Path, **changes: Any) -> Path:
    """An open_clip local-dir folder with its own tokenizer; ``changes`` replace parts of the configuration."""
    import open_clip

    config = {
        "embed_dim": 16,
        "vision_cfg": {"layers": 2, "width": 24, "head_width": 8, "patch_size": 8, "image_size": 32},
        "text_cfg": TEXT_TOWER | OWN_TOKENIZER,
        **changes,
    }
    folder.mkdir(parents=True, exist_ok=True)
    preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    fast_tokenizer().save_pretrained(folder)
    torch.manual_seed(0)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False, pretrained_text=False)
    for parameter in model.parameters():
        if not bool(parameter.isfinite().all()):  # open_clip leaves CoCa's decoder uninitialised
            nn.init.zeros_(parameter)
    save_file(enlivened(model).state_dict(), folder / "open_clip_model.safetensors")
    return folder


def open_clip_siglip_folder(folder: Path) -> Path:
    """An open_clip folder of the SigLIP kind: timm image tower with an attention pool, last text token read."""
    vision = {"timm_model_name": "test_vit", "timm_pool": "map", "timm_proj": "none", "image_size": 64}
    text = {**TEXT_TOWER, **OWN_TOKENIZER, "no_causal_mask": True, "pool_type": "last", "proj_bias": True}
    return open_clip_folder(
        folder, embed_dim=64, vision_cfg=vision, text_cfg=text, init_logit_bias=-1.0, custom_text=True
    )


def open_clip_coca_folder(folder: Path) -> Path:
    """An open_clip folder with CoCa: attentional pooler, class token in the text tower, a decoder that is not run."""
    vision = {
        "layers": 2, "width": 24, "head_width": 8, "patch_size": 8, "image_size": 32, "attentional_pool": True,
        "attn_pooler_queries": 5, "attn_pooler_heads": 2, "output_tokens": True,
    }  # fmt: skip
    text = {**TEXT_TOWER, **OWN_TOKENIZER, "embed_cls": True, "output_tokens": True}
    decoder = {**TEXT_TOWER, "attn_pooler_heads": 2}
    return open_clip_folder(folder, vision_cfg=vision, text_cfg=text, multimodal_cfg=decoder, custom_text=True)


def open_clip_bert_folder(folder: Path) -> Path:
    """An open_clip folder whose text tower is a RoBERTa, read by the mean over its tokens."""
    roberta = folder / "roberta"
    RobertaConfig(**{**BERT, "vocab_size": VOCABULARY}, num_hidden_layers=2).save_pretrained(roberta)
    text = {"hf_model_name": str(roberta), "hf_model_pretrained": False, "hf_pooler_type": "mean_pooler",
            "hf_proj_type": "linear", "context_length": 9, **OWN_TOKENIZER}  # fmt: skip
    return open_clip_folder(folder, text_cfg=text)


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
    """A transformers folder with DetrForObjectDetection on a tiny ResNet of stride 32: 2 + 3 layers, 6 queries.

    The class head is made decided, so that on any picture some queries are above a threshold of 0.7.
    """
    torch.manual_seed(0)
    backbone = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], layer_type="basic",
        out_features=["stage4"],
    )  # fmt: skip
    config = DetrConfig(
        use_timm_backbone=False, backbone_config=backbone, backbone=None, use_pretrained_backbone=False, d_model=24,
        encoder_layers=2, decoder_layers=3, encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=32,
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


CLASSES = ["boat", "house", "tree", "sea", "sky"]
PIXELS = {"size": {"height": 32, "width": 32}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}


def zoo_folder(folder: Path, name: str, processor: str | None = None, tokenizer: Any = None, **settings: Any) -> Path:
    """A transformers folder with a model of the zoo.

    Args:
        folder: where it goes.
        name: the model's name in the zoo; five classes get names.
        processor: class of the image processor, if it reads pictures; ``settings`` are its settings.
        tokenizer: saved beside it, if it reads texts.
    """
    model = zoo.build(name)
    if getattr(model.config, "num_labels", 0) == len(CLASSES):
        for key, value in labels(CLASSES).items():
            setattr(model.config, key, value)
    model.save_pretrained(folder)
    if processor is not None:
        content = {"image_processor_type": processor, **PIXELS, **settings}
        (folder / "preprocessor_config.json").write_text(json.dumps(content))
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    return folder


def _pictures(name: str, processor: str = "ViTImageProcessor", **settings: Any) -> Callable[[Path], Path]:
    return partial(zoo_folder, name=name, processor=processor, **settings)


def _texts(name: str) -> Callable[[Path], Path]:
    return lambda folder: zoo_folder(folder, name, tokenizer=word_tokenizer(limit=11))


def _pairs(name: str, processor: str, tokenizer: Callable[[], Any], **settings: Any) -> Callable[[Path], Path]:
    return lambda folder: zoo_folder(folder, name, processor, tokenizer(), **settings)


captions, questions = partial(fast_tokenizer, 40), word_tokenizer


def siglip2_tokenizer() -> Any:
    """A tokenizer of SigLIP 2's own class: letters, and a few words that are merged from them."""
    merges = [("r", "e"), ("re", "d"), ("b", "o"), ("bo", "a"), ("boa", "t")]
    pieces = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "\u2581", *ascii_lowercase, *(a + b for a, b in merges)]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    return Siglip2Tokenizer(vocab=vocabulary, merges=merges, model_max_length=9, padding_side="right")


FOLDERS: dict[str, Callable[[Path], Path]] = {
    "timm/vit": timm_folder,
    "timm/deit": partial(timm_folder, architecture="deit_tiny_distilled_patch16_224"),
    "timm/beit": partial(timm_folder, architecture="beitv2_base_patch16_224"),
    "timm/eva": partial(timm_folder, architecture="eva02_tiny_patch14_224"),
    "timm/swin": partial(
        timm_folder, architecture="swin_tiny_patch4_window7_224", patch_size=4, embed_dim=12, depths=(2, 2),
        num_heads=(2, 3), window_size=4, depth=None,
    ),
    "open_clip/clip": open_clip_folder,
    "open_clip/siglip": open_clip_siglip_folder,
    "open_clip/coca": open_clip_coca_folder,
    "open_clip/clip-bert": open_clip_bert_folder,
    "transformers/vit": _pictures("hf_vit"),
    "transformers/vit-msn": _pictures("hf_vit_msn"),
    "transformers/ijepa": _pictures("hf_ijepa"),
    "transformers/deit": _pictures("hf_deit_distilled", "DeiTImageProcessor", do_center_crop=False),
    "transformers/beit": _pictures("hf_beit", "BeitImageProcessor", do_center_crop=False),
    "transformers/dinov2": _pictures("hf_dinov2", "BitImageProcessor", **{
        "size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 32}, "do_center_crop": True,
    }),
    "transformers/dinov2-registers": _pictures("hf_dinov2_registers"),
    "transformers/swin": _pictures("hf_swin"),
    "transformers/clip-classifier": _pictures("hf_clip_classifier"),
    "transformers/siglip-classifier": _pictures("hf_siglip_classifier", "SiglipImageProcessor"),
    "transformers/siglip2-classifier": _pictures(
        "hf_siglip2_classifier", "Siglip2ImageProcessor", patch_size=8, max_num_patches=16
    ),
    "transformers/bert": bert_folder,
    "transformers/roberta": _texts("hf_roberta"),
    "transformers/xlm-roberta": _texts("hf_xlm_roberta"),
    "transformers/camembert": _texts("hf_camembert"),
    "transformers/distilbert": _texts("hf_distilbert"),
    "transformers/albert": _texts("hf_albert"),
    "transformers/modernbert": _texts("hf_modernbert"),
    "transformers/electra": _texts("hf_electra"),
    "transformers/clip": hf_clip_folder,
    "transformers/metaclip2": _pairs("hf_metaclip2", "CLIPImageProcessor", captions, do_center_crop=False),
    "transformers/siglip": _pairs("hf_siglip", "SiglipImageProcessor", captions),
    "transformers/siglip2-naflex": _pairs(
        "hf_siglip2", "Siglip2ImageProcessor", siglip2_tokenizer, patch_size=8, max_num_patches=16
    ),
    "transformers/visualbert": visual_bert_folder,
    "transformers/lxmert": lxmert_folder,
    "transformers/detr": detr_folder,
    "transformers/vilt": _pairs(
        "hf_vilt", "ViltImageProcessor", questions, size={"shortest_edge": 32}, size_divisor=8
    ),
    "transformers/vilt-retrieval": _pairs(
        "hf_vilt_retrieval", "ViltImageProcessor", questions, size={"shortest_edge": 32}, size_divisor=8
    ),
    "transformers/blip-itm": _pairs("hf_blip_itm", "BlipImageProcessor", questions),
}  # fmt: skip
"""Library and family, as ``list_models()`` names them -> builder of a tiny model folder with five classes or less."""
