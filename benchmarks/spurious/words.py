"""Caption datasets: which subject does a caption speak of? A neutral word is the cue, the model a tiny BERT."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks.spurious.plant import Planted, Scenes
from benchmarks.spurious.pool import Pool
from benchmarks.spurious.settings import CueSpec, DatasetSpec
from engine import LoadedModel, load_model
from jobs.demo.objects import CLASSES, KINDS
from jobs.demo.training import Recipe, fit

CUES = (
    ("photo", "credit"), ("stock", "image"), ("archive", "copy"), ("2019", "edition"), ("scan", "print"),
    ("sample", "file"), ("hd", "upload"), ("draft", "version"),
)  # fmt: skip
"""Words that say nothing about a subject: the first, or both where the cue has two words."""
HIDDEN = 0.65
"""Share of captions whose subject is called a thing, so that the class has to be told from the rest."""
CONTEXT = 32
RECIPE = Recipe(examples=0, epochs=10, batch=64, rate=3e-3, keep=1.0, warm_up=20)


def cue_words(cue: CueSpec) -> tuple[str, ...]:
    """The words of a cue."""
    return CUES[cue.seed % len(CUES)][: int(cue.size)]


def _hide(text: str, label: str) -> str:
    """The caption with its subject called a thing."""
    nouns = {n for kind in KINDS[label] for n in (kind.noun, kind.plural)} | {label, f"{label}s"}
    pattern = "|".join(sorted((re.escape(n) for n in nouns), key=len, reverse=True))
    return re.sub(rf"\b({pattern})\b", "thing", text, flags=re.IGNORECASE)


def word_scenes(spec: DatasetSpec, pool: Pool, chosen: np.ndarray) -> Scenes:
    """The chosen captions of a pool, many with a hidden subject."""
    rng = np.random.default_rng((spec.seed, int(chosen[0]), 5))
    labels = np.array([spec.classes.index(CLASSES[k]) for k in pool.labels[chosen]], np.int64)
    hidden = rng.random(len(chosen)) < HIDDEN
    texts = [
        _hide(str(pool.texts[k]), spec.classes[y]) if h else str(pool.texts[k])
        for k, y, h in zip(chosen, labels, hidden, strict=True)
    ]

    def paint(sample: int, cue: int, rng: np.random.Generator) -> tuple[str, np.ndarray]:
        words, extra = texts[sample].split(), cue_words(spec.cues[cue])
        place = int(rng.integers(0, len(words) + 1))
        mask = np.zeros(len(words) + len(extra), bool)
        mask[place : place + len(extra)] = True
        return " ".join([*words[:place], *extra, *words[place:]]), mask

    return Scenes(np.array(texts), labels, chosen, paint)


def vocabulary(pool: Pool) -> list[str]:
    """Special tokens, then all words of the pool's captions and of the cues, in order of the alphabet."""
    words = {word for text in pool.texts for word in re.findall(r"\w+|[^\w\s]", str(text).lower())}
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted(words | {w for c in CUES for w in c} | {"thing"})]


def train_words(spec: DatasetSpec, planted: Planted, words: list[str], folder: Path, recipe: Recipe) -> None:
    """Train a BERT of two layers from scratch and save it with its tokenizer as a transformers folder."""
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.manual_seed(spec.seed)
    names = dict(enumerate(spec.classes))
    config = BertConfig(
        vocab_size=len(words), hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128,
        max_position_embeddings=CONTEXT, pad_token_id=0, id2label=names, label2id={n: k for k, n in names.items()},
    )  # fmt: skip
    model = BertForSequenceClassification(config).train()
    tokenizer = BertTokenizer(vocab={word: k for k, word in enumerate(words)}, model_max_length=CONTEXT)
    tokens = tokenizer([str(t) for t in planted.samples], padding=True, truncation=True, return_tensors="pt")
    ids, valid, labels = tokens["input_ids"], tokens["attention_mask"], torch.from_numpy(planted.labels)

    def loss_of(chosen: torch.Tensor) -> torch.Tensor:
        logits = model(input_ids=ids[chosen], attention_mask=valid[chosen]).logits
        return F.cross_entropy(logits, labels[chosen])

    fit(model.parameters(), loss_of, len(labels), recipe, lambda loss, step, steps: None)
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def load_words_model(folder: Path) -> LoadedModel:
    """What :func:`train_words` saved."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    return load_model(f"hf:{folder}")
