"""transformers: text classifiers of the BERT kind."""

from __future__ import annotations

from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from engine.errors import UnsupportedModel
from engine.models.adapter import Adapter, Batch, Inputs, Tower
from engine.models.hugging_face import check_attention, under_sdpa
from engine.models.questions import check_ids, question_batch, text_content
from engine.models.readout import token_row
from engine.models.tokens import TextTokenizer
from engine.targets import Output


@dataclass(frozen=True)
class TextLayout:
    """Where a class keeps its blocks and the attention inside a block.

    All of these read the first token, ModernBERT the mean where its configuration says so.
    """

    blocks: str
    attention: str
    family: str
    example: str


_BERT_BLOCK = "attention.self"
LAYOUTS = {
    "BertForSequenceClassification": TextLayout(
        "bert.encoder.layer", _BERT_BLOCK, "bert", "hf:textattack/bert-base-uncased-SST-2"
    ),
    "RobertaForSequenceClassification": TextLayout(
        "roberta.encoder.layer", _BERT_BLOCK, "roberta", "hf:cardiffnlp/twitter-roberta-base-sentiment-latest"
    ),
    "XLMRobertaForSequenceClassification": TextLayout(
        "roberta.encoder.layer", _BERT_BLOCK, "xlm-roberta", "hf:papluca/xlm-roberta-base-language-detection"
    ),
    "CamembertForSequenceClassification": TextLayout(
        "roberta.encoder.layer", _BERT_BLOCK, "camembert", "hf:cmarkea/distilcamembert-base-sentiment"
    ),
    "DistilBertForSequenceClassification": TextLayout(
        "distilbert.transformer.layer",
        "attention",
        "distilbert",
        "hf:distilbert/distilbert-base-uncased-finetuned-sst-2-english",
    ),
    "ElectraForSequenceClassification": TextLayout(
        "electra.encoder.layer", _BERT_BLOCK, "electra", "hf:FOLDER of a fine-tuned google/electra-base-discriminator"
    ),
    "AlbertForSequenceClassification": TextLayout(
        "albert.encoder.albert_layer_groups",
        "albert_layers.0.attention",
        "albert",
        "hf:textattack/albert-base-v2-SST-2",
    ),
    "ModernBertForSequenceClassification": TextLayout(
        "model.layers", "attn", "modernbert", "hf:FOLDER of a fine-tuned answerdotai/ModernBERT-base"
    ),
}


_ALBERT = "AlbertForSequenceClassification"


class HFText(Adapter):
    """Text classifiers of transformers: one line of :data:`LAYOUTS` each. Padding gets exactly zero."""

    family = "bert"
    library = "transformers"
    modalities = ("text",)
    description = "text classifiers of transformers: BERT, RoBERTa, DistilBERT, ELECTRA, ALBERT, ModernBERT and kin"
    example = "hf:textattack/bert-base-uncased-SST-2"

    def families(self) -> dict[str, str]:
        """One per class."""
        return {layout.family: layout.example for layout in LAYOUTS.values()}

    def family_of(self, model: nn.Module) -> str:
        """By class."""
        return _layout(model).family

    def recognises(self, model: nn.Module) -> bool:
        """Classes listed in LAYOUTS."""
        return type(model).__name__ in LAYOUTS

    def check(self, model: nn.Module) -> None:
        """Refuse decoders, and a layout that this version of the library no longer has."""
        layout, name = _layout(model), type(model).__name__
        if int(getattr(model.config, "inner_group_num", 1)) != 1:
            raise UnsupportedModel(f"{name} with several layers per group (inner_group_num) is not supported")
        if getattr(model.config, "is_decoder", False):
            raise UnsupportedModel(f"{name} is configured as a decoder: its first token reads nothing but itself")
        check_attention(model, f"{layout.blocks}.0.{layout.attention}")

    def prepare(self, model: nn.Module, inputs: Inputs, tokenizer: TextTokenizer | None) -> Batch:
        """``{"text": texts or ids [B, T], "attention_mask": [B, T]}``, or ids alone; HF names are understood too."""
        given = {"text": inputs} if isinstance(inputs, Tensor) else inputs
        batch = question_batch(given, tokenizer, next(model.parameters()).device)
        check_ids(batch["text"], self.text_limits(model))
        return batch

    def towers(self, model: nn.Module, batch: Batch) -> tuple[Tower, ...]:
        """One text stream, read from its first token."""
        ids, valid = batch["text"], batch["attention_mask"].bool()
        sites, states = _sites(model)
        return (
            Tower(
                modality="text",
                layers=sites,
                states=states,
                start=_start(model, ids, valid),
                content=text_content(batch),
                valid=valid,
            ),
        )

    def forward(self, model: nn.Module, batch: Batch) -> Output:
        """Class logits [B, C]."""
        return Output(logits=model(input_ids=batch["text"], attention_mask=batch["attention_mask"]).logits)

    def layers(self, model: nn.Module) -> dict[str, int]:
        """Number of blocks."""
        return {"text": len(_sites(model)[0])}

    def scope(self, model: nn.Module) -> AbstractContextManager[None]:
        """Attention through sdpa."""
        return under_sdpa(model)

    def text_limits(self, model: nn.Module) -> tuple[int, int]:
        """Vocabulary and context."""
        return bert_limits(model)


def bert_limits(model: nn.Module) -> tuple[int, int]:
    """Vocabulary and longest text of a model of the BERT kind; RoBERTa counts positions from the padding id."""
    config: Any = model.config
    embeddings: Any = model.base_model.embeddings  # type: ignore[union-attr]
    offset = config.pad_token_id + 1 if getattr(embeddings, "padding_idx", None) is not None else 0
    return int(config.vocab_size), int(config.max_position_embeddings) - offset


def _layout(model: nn.Module) -> TextLayout:
    return LAYOUTS[type(model).__name__]


def _sites(model: nn.Module) -> tuple[tuple[str, ...], str]:
    """Sites of the self-attentions, and the path of the last block. ALBERT calls one block several times."""
    layout, config = _layout(model), model.config
    blocks = [name for name, _ in model.get_submodule(layout.blocks).named_children()]
    if type(model).__name__ != _ALBERT:
        paths = tuple(f"{layout.blocks}.{name}.{layout.attention}" for name in blocks)
        return paths, f"{layout.blocks}.{blocks[-1]}"
    depth, calls, sites = int(config.num_hidden_layers), Counter[int](), []  # type: ignore[union-attr, arg-type]
    for i in range(depth):
        group = int(i / (depth / len(blocks)))
        sites.append(f"{layout.blocks}.{group}.{layout.attention}#{calls[group]}")
        calls[group] += 1
    return tuple(sites), f"{layout.blocks}.{len(blocks) - 1}"


def _start(model: nn.Module, ids: Tensor, valid: Tensor) -> Tensor:
    like = next(model.parameters())
    if getattr(model.config, "classifier_pooling", "cls") == "mean":
        return valid.to(like.dtype) / valid.sum(dim=1, keepdim=True)
    return token_row(len(ids), ids.shape[1], (0,), like)
