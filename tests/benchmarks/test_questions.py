"""The small question-answering models: what they are told is true, what they answer is mostly right."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from benchmarks.questions import features
from benchmarks.questions.dataset import write_dataset
from benchmarks.questions.examples import Example, example, examples
from benchmarks.questions.fit import Recipe, accuracy, fit
from benchmarks.questions.kinds import ANSWERS
from benchmarks.questions.measure import measure, on_what_matters
from benchmarks.questions.models import MODELS, WEIGHTS, read_card
from benchmarks.questions.scenes import ATTRIBUTES, Thing
from benchmarks.questions.tables import table
from benchmarks.questions.train import RECIPES, SEED, TEST_SEED
from benchmarks.questions.words import VOCABULARY, tokenizer
from engine import load_model
from jobs.run import run_audit
from jobs.spec import RunSpec
from storage import Store

FRESH = 99


# ---- a second, plain solver: question and scene -> answer and the regions that make it


def matching(things: tuple[Thing, ...], words: str) -> list[int]:
    """Positions of the things that a phrase such as "large red circles" fits."""
    values = [word for names in ATTRIBUTES.values() for word in names if re.search(rf"\b{word}s?\b", words)]
    return [i for i, t in enumerate(things) if set(values) <= {t.shape, t.colour, t.size}]


def solved(things: tuple[Thing, ...], text: str) -> tuple[str, list[int]]:
    if found := re.search(r"what (colour|shape|size) is the (\w+ \w+)", text):
        (only,) = matching(things, found[2])
        return getattr(things[only], found[1]), [only]
    if found := re.search(r"how many (\w+(?: things)?) are there", text):
        fitting = matching(things, found[1])
        return str(len(fitting)), fitting
    if found := re.search(r"is there a (\w+ \w+)", text):
        fitting = matching(things, found[1])
        return ("yes" if fitting else "no"), fitting
    found = re.search(r"is the (\w+ \w+) (left of|right of|above|below) the (\w+ \w+)", text)
    assert found is not None, text
    (one,), (two,) = matching(things, found[1]), matching(things, found[3])
    (x, y), (u, v) = things[one].middle, things[two].middle
    assert (abs(x - u) if found[2] in ("left of", "right of") else abs(y - v)) > 0.1  # nobody has to guess
    true = {"left of": x < u, "right of": x > u, "above": y < v, "below": y > v}[found[2]]
    return ("yes" if true else "no"), sorted([one, two])


def test_answers_and_regions_are_those_of_a_second_solver() -> None:
    found = examples(1500, FRESH)
    assert {e.kind for e in found} == {"colour", "shape", "size", "count", "exists", "relation"}
    for e in found:
        assert solved(e.things, e.text) == (e.answer, list(e.important_regions)), e


def without(e: Example, region: int) -> tuple[Thing, ...]:
    return (*e.things[:region], *e.things[region + 1 :])


def test_only_important_regions_matter() -> None:
    """The answer stands without any other region, and is another, or none, without an important one."""
    for e in examples(300, FRESH):
        for region in range(len(e.things)):
            try:
                left = solved(without(e, region), e.text)[0]
            except ValueError:  # the question asks for what is not there
                left = None
            assert (left == e.answer) == (region not in e.important_regions), (e, region)


def test_important_words_are_attributes_and_what_is_asked() -> None:
    asking = {"colour", "shape", "size", "many", "there", "left", "right", "above", "below"}
    values = {word for names in ATTRIBUTES.values() for word in names}
    for e in examples(300, FRESH):
        marked = {e.words[i] for i in e.important_words}
        assert all(word in asking or word.removesuffix("s") in values for word in marked)
        assert {w for w in e.words if w.removesuffix("s") in values} <= marked
        assert e.words[-1] == "?" and e.text == " ".join(e.words) and len(marked & asking) == 1


def test_examples_depend_on_their_seed_and_position_only() -> None:
    assert examples(5, FRESH)[4] == example(FRESH, 4) != example(FRESH + 1, 4)
    assert np.array_equal(features.noisy(example(1, 0).things, 1, 0), features.noisy(example(1, 0).things, 1, 0))


def test_scenes_and_answers_are_even() -> None:
    found = examples(3000, FRESH)
    for kind in sorted({e.kind for e in found}):
        counts = Counter(e.answer for e in found if e.kind == kind)
        expected = sum(counts.values()) / len(counts)
        assert sum((n - expected) ** 2 / expected for n in counts.values()) < 3 * len(counts) + 8, (kind, counts)
    assert {len(e.things) for e in found} == set(range(8, 13))
    corners = np.concatenate([features.boxes(e.things) for e in found])
    assert corners.min() >= 0 and corners.max() <= 1


def test_the_vocabulary_has_every_word() -> None:
    words = tokenizer()
    ids = table(examples(500, FRESH), words).text
    assert not (ids == VOCABULARY.index("[UNK]")).any() and ids.max() < len(VOCABULARY)
    assert words.tokenize("how many circles ?") == ["how", "many", "circle", "##s", "?"]


# ---- the committed weights


def test_the_weights_are_small() -> None:
    files = [file for file in WEIGHTS.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 3_000_000


@pytest.mark.parametrize("name", list(MODELS))
def test_committed_weights_answer_as_their_card_says(name: str) -> None:
    card, loaded = read_card(name), load_model(str(WEIGHTS / name))
    assert loaded.family == name and loaded.class_names == list(ANSWERS) == card["answers"]
    assert loaded.region_width == features.WIDTH
    built, recipe = MODELS[name]().state_dict(), asdict(RECIPES[name])
    assert {k: v.shape for k, v in built.items()} == {k: v.shape for k, v in loaded.model.state_dict().items()}
    assert card["recipe"] == recipe and card["seed"] == SEED  # the command on the card makes these weights
    assert {p.dtype for p in loaded.model.parameters()} == {torch.float32}
    data = table(examples(300, FRESH), tokenizer())
    assert FRESH not in (SEED, TEST_SEED) and card["accuracy"]["all"] >= 0.8
    assert accuracy(loaded.model, data, FRESH)["all"] == pytest.approx(card["accuracy"]["all"], abs=0.06)
    blind = accuracy(loaded.model, data, FRESH, shuffled=True)["all"]
    assert blind == pytest.approx(card["accuracy_with_other_scenes"]["all"], abs=0.1) and blind < 0.45


@pytest.mark.parametrize("name", list(MODELS))
def test_the_job_reads_the_dataset_and_relevancy_falls_where_it_matters(name: str, tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data", 60, FRESH)
    spec = RunSpec(str(data), str(WEIGHTS / name), store=str(tmp_path / "store"), workers=0, device="cpu")
    result = run_audit(spec)
    assert (result.explained, result.failed, result.labelled) == (60, 0, 60)
    with Store.open(result.store).reader(result.run) as reader:
        samples = reader.query("SELECT * FROM samples ORDER BY sample_id")
        rows = {(row["modality"], row["kind"]): row for row in measure(reader)}
    found = examples(60, FRESH)
    for sample, e in zip(samples, found, strict=True):
        assert (sample["text"], sample["label"], sample["kind"]) == (e.text, e.answer, e.kind)
        assert json.loads(sample["important_regions"]) == list(e.important_regions)
        assert json.loads(sample["important_words"]) == list(e.important_words)
        np.testing.assert_allclose(sample["regions"], features.boxes(e.things).flatten(), atol=1e-6)
    for modality in ("image", "text"):
        row = rows[modality, "all"]
        assert row["share"] > 1.3 * row["chance"] and row["top"] > 1.3 * row["chance"], row


def test_the_dataset_is_the_same_with_and_without_pictures(tmp_path: Path) -> None:
    tables = [pq.read_table(write_dataset(tmp_path / str(p), 5, FRESH, pictures=p)) for p in (True, False)]
    assert tables[0].drop_columns("image").equals(tables[1])
    things = example(FRESH, 3).things
    np.testing.assert_allclose(tables[1]["features"][3].as_py(), features.noisy(things, FRESH, 3), atol=1e-6)
    assert len(list((tmp_path / "True" / "images").glob("*.png"))) == 5


def test_shares_are_counted_as_said() -> None:
    found = on_what_matters(np.array([3.0, 1.0, 0.0, 0.0]), np.array([True, False, True, False]))
    assert found == {"share": 0.75, "top": 1.0, "chance": 0.5}


def test_training_repeats_itself() -> None:
    weights = []
    for _ in range(2):
        torch.manual_seed(1)
        model, losses = MODELS["visualbert"](), list[float]()
        fit(model, Recipe(first=3, second=3, batch=8), 1, tokenizer(), lambda *seen, to=losses: to.append(seen[2]))
        assert len(losses) == 6
        weights.append(torch.cat([p.flatten() for p in model.parameters()]))
    assert torch.equal(*weights)
