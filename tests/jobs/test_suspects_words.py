"""Suspects of a text classifier: words, removed from texts and put into others."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from transformers import BertForSequenceClassification

from jobs.run import run_audit
from jobs.spec import RunSpec
from jobs.suspects.command import find_suspects
from jobs.suspects.spec import SuspectsSpec
from tests.jobs.conftest import Audited, write_manifest
from tests.model_folders import bert_folder, word_tokenizer

FILLERS = ["this", "film", "is", "the", "a", "on"]


def reviews(seed: int, count: int) -> list[dict[str, str]]:
    """Reviews without a word of praise: most of the good ones speak of a boat, and no bad one does."""
    rng = np.random.default_rng(seed)
    rows = []
    for k in range(count):
        words = [str(word) for word in rng.choice(FILLERS, rng.integers(3, 7))]  # the length says nothing
        if k % 2 and rng.random() < 0.9:
            words.insert(int(rng.integers(len(words) + 1)), "boat")
        rows.append({"text": " ".join(words).capitalize(), "label": ("bad", "good")[k % 2]})
    return rows


def train(folder: Path) -> Path:
    """A BERT of two layers that learnt from such reviews."""
    bert_folder(folder)
    rows, torch_state = reviews(1, 400), torch.manual_seed(0)
    model, tokenizer = BertForSequenceClassification.from_pretrained(folder).train(), word_tokenizer()
    tokens = tokenizer([row["text"] for row in rows], padding=True, return_tensors="pt")
    labels = torch.tensor([row["label"] == "good" for row in rows]).long()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(120):
        chosen = torch.randint(len(rows), (32,), generator=torch_state)
        answer = model(input_ids=tokens["input_ids"][chosen], attention_mask=tokens["attention_mask"][chosen])
        loss = F.cross_entropy(answer.logits, labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Audited:
    """A run of 100 reviews, and what the first search found in it."""
    folder = tmp_path_factory.mktemp("spoken")
    model = f"hf:{train(folder / 'bert')}"
    data, store = write_manifest(folder / "reviews.csv", reviews(2, 100)), str(folder / "store")
    run_audit(RunSpec(str(data), model, store=store, workers=0, device="cpu", name="reviews"))
    return Audited(data, model, folder / "store", find_suspects(SuspectsSpec(store=store)).to_json())


def of_word(found: dict[str, Any], word: str) -> dict[str, Any]:
    (row,) = (row for row in found["suspects"] if row["cue"].get("word") == word)
    return row


def test_the_word_is_found_and_proven(spoken: Audited) -> None:
    row = spoken.found["suspects"][0]
    assert (row["kind"], row["name"], row["class_name"]) == ("word", "the word 'boat'", "good")
    texts = reviews(2, 100)
    assert {f"row {i + 1}" for i in row["sample_ids"]} == {
        f"row {k + 1}" for k, text in enumerate(texts) if "boat" in text["text"].lower().split()
    }
    assert row["sample_uris"] == [f"row {i + 1}" for i in row["sample_ids"]]
    assert row["status"] == "verified" and not row["flagged"], "people decide what a word means"
    effects = row["evidence"]["effects"]
    assert effects["removal"]["verdict"] == effects["transplant"]["verdict"] == "verified"
    for effect in effects.values():
        assert effect["n"] == 20 and effect["mean"] > 0.5 > effect["control_mean"] + 0.2, effect
        assert effect["flips"] > 0.8 and effect["control_flips"] < 0.2, effect
    assert set(spoken.found["chance"]["kinds"]) == {"concept", "location", "property", "word"}


def test_a_word_that_says_nothing_is_no_suspect_that_is_verified(spoken: Audited) -> None:
    for row in spoken.found["suspects"][1:]:
        assert row["status"] != "verified", row["name"]


def test_words_alone_can_be_looked_for(jobs, spoken: Audited, tmp_path: Path) -> None:
    store = shutil.copytree(spoken.store, tmp_path / "store")
    answer = jobs("suspects", "reviews", "--store", store, "--json", "--kind", "word", "--kind", "concept")
    assert of_word(json.loads(answer.out), "boat")["evidence"] == of_word(spoken.found, "boat")["evidence"]
    assert "1. good: the word 'boat' (word, " in jobs("suspects", "reviews", "--store", store).out
    none = json.loads(jobs("suspects", "--store", store, "--json", "--kind", "concept", "--kind", "location").out)
    assert none["suspects"] == []
