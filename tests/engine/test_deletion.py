"""Deletion: what the score of a pair loses without its relevant patches and words, against a plain second writing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import oracles
import pytest
import torch
import torch.nn.functional as F
import zoo
from model_folders import fast_tokenizer
from torch import Tensor
from untouched import assert_same, snapshot

from engine import EngineError, Explanation, LoadedModel, explain
from engine.interventions.fills import fill_blur
from engine.interventions.scores import REMOVALS, Deletion, deletion, random_cells, strongest_cells
from engine.interventions.words import without_span
from engine.models import find_adapter
from engine.models.tokens import as_tokenizer
from engine.pairs import explain_pairs
from engine.words import word_relevancy

TEXTS = ["a red boat on the sea", "two tree", "sea", "", "the blue sea word3 word4 word5 house tree red", "boat, boat!"]
SEEDS = [3, 5, 8, 13, 21, 34]
FIELDS = ("patches_mean", "patches_blur", "patches_random_mean", "patches_random_blur", "word", "word_random")


def loaded_model(name: str, seed: int = 0) -> LoadedModel:
    model = zoo.build(name, seed)
    adapter = find_adapter(model)
    return LoadedModel(
        model, name, adapter, None, as_tokenizer(fast_tokenizer(40), adapter.text_limits(model)[1]), None
    )


def pictures() -> Tensor:
    """Pictures with bright and dark sides, so that a mean colour and a blur are different things."""
    images = torch.cat([zoo.inputs("open_clip")["image"], zoo.inputs("open_clip", seed=7)["image"]])
    return images + torch.linspace(-2, 2, 32)


def explained(loaded: LoadedModel, target: str = "clip-logit", rows: Sequence[int] = range(6)) -> Explanation:
    given = {"image": pictures()[list(rows)], "text": [TEXTS[k] for k in rows]}
    return explain(loaded, given, target=target, start_layer=-1)


def deleted(
    loaded: LoadedModel, explanation: Explanation, rows: Sequence[int] = range(6), batch_size: int = 64
) -> Deletion:
    images, texts = pictures()[list(rows)], [TEXTS[k] for k in rows]
    adapter, model = loaded.adapter, loaded.model
    with torch.no_grad(), loaded.autocast():
        seen = adapter.embed_images(model, {"image": images})
        read = adapter.embed_texts(model, {"text": loaded.tokenizer(texts)})
    return deletion(loaded, images, texts, seen, read, explanation, [SEEDS[k] for k in rows], batch_size)


def columns(found: Deletion) -> dict[str, np.ndarray]:
    """All falls by name."""
    patches = {f"patches_{fill}": found.patches[fill] for fill in REMOVALS}
    random = {f"patches_random_{fill}": found.patches_random[fill] for fill in REMOVALS}
    return {**patches, **random, "word": found.word, "word_random": found.word_random}


class Scores:
    """Scores of one pair at a time with the library's own calls."""

    def __init__(self, model: torch.nn.Module, target: str, hf: bool) -> None:
        self.model, self.target, self.hf, self.tokenizer = model, target, hf, fast_tokenizer(40)

    @torch.no_grad()
    def __call__(self, image: np.ndarray, text: str) -> float:
        ids = self.tokenizer(text, padding="max_length", truncation=True, max_length=9, return_tensors="pt")[
            "input_ids"
        ]
        pixels = torch.from_numpy(image)[None].float()
        if self.hf:
            seen = self.model.get_image_features(pixel_values=pixels).pooler_output
            read = self.model.get_text_features(input_ids=ids).pooler_output
        else:
            seen, read = self.model.encode_image(pixels), self.model.encode_text(ids)
        cosine = float(F.cosine_similarity(seen.double(), read.double()))
        if self.target == "clip-score":
            return 2.5 * max(cosine, 0)
        bias = getattr(self.model, "logit_bias", None)
        return float(self.model.logit_scale.exp()) * cosine + (0 if bias is None else float(bias))


@pytest.mark.parametrize("target", ["clip-logit", "clip-score"])
@pytest.mark.parametrize(("name", "seed"), [("open_clip", 1), ("hf_siglip", 0)])
def test_falls_are_those_of_the_plain_writing(name: str, seed: int, target: str) -> None:
    loaded = loaded_model(name, seed)
    explanation = explained(loaded, target)
    found = deleted(loaded, explanation)
    score = Scores(loaded.model, target, name.startswith("hf"))
    assert explanation.grid == (4, 4) and explanation.words is not None
    told = dict.fromkeys(FIELDS, 0)
    for row, text in enumerate(TEXTS):
        words = explanation.words[row]
        strengths = word_relevancy(explanation.relevancy["text"][row].numpy(), words)
        expected = oracles.deletion(
            score, pictures()[row].double().numpy(), text, explanation.relevancy["image"][row].numpy(), (4, 4),
            list(words.spans), list(strengths), SEEDS[row],
        )  # fmt: skip
        assert set(expected) == set(FIELDS)
        for field, values in columns(found).items():
            assert values.dtype == np.float32 and values.shape == (6,)
            np.testing.assert_allclose(values[row], expected[field], rtol=2e-4, atol=2e-5, err_msg=f"{row} {field}")
            told[field] += abs(values[row]) > 1e-3
    assert min(told.values()) >= 2, "falls of nothing would make this test empty"


def test_texts_without_words() -> None:
    loaded = loaded_model("open_clip", 1)
    found = deleted(loaded, explained(loaded))
    assert np.isnan(found.word).tolist() == [False, False, False, True, False, False]
    assert np.isnan(found.word_random).tolist() == [False, False, True, True, False, False]
    assert found.words.tolist()[2:4] == [0, -1] and (found.words[[0, 1, 4, 5]] >= 0).all()
    for values in (*found.patches.values(), *found.patches_random.values()):
        assert np.isfinite(values).all()


def test_a_pair_does_not_depend_on_its_neighbours() -> None:
    loaded = loaded_model("open_clip", 1)
    whole = columns(deleted(loaded, explained(loaded)))
    small = columns(deleted(loaded, explained(loaded), batch_size=2))
    order = [4, 0, 5, 2]
    others = columns(deleted(loaded, explained(loaded, rows=order), order))
    alone = [columns(deleted(loaded, explained(loaded, rows=[k]), [k])) for k in range(6)]
    for field in FIELDS:
        np.testing.assert_allclose(small[field], whole[field], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(others[field], whole[field][order], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(np.concatenate([one[field] for one in alone]), whole[field], rtol=1e-4, atol=1e-5)


def test_the_random_choice_follows_the_seed_alone() -> None:
    loaded = loaded_model("open_clip", 1)
    loaded.model.double()  # in single precision a picture's numbers depend on its place in the batch, by 1e-6
    explanation, rows = explained(loaded, rows=[0, 0, 0]), [0, 0, 0]
    images, texts = pictures()[rows].double(), [TEXTS[0]] * 3
    with torch.no_grad():
        seen = loaded.adapter.embed_images(loaded.model, {"image": images})
        read = loaded.adapter.embed_texts(loaded.model, {"text": loaded.tokenizer(texts)})
    found = deletion(loaded, images, texts, seen, read, explanation, [1, 2, 1])
    for fill in REMOVALS:
        one, other, again = found.patches_random[fill]
        assert one == pytest.approx(again, abs=1e-6) and abs(one - other) > 1e-3
        np.testing.assert_allclose(found.patches[fill], found.patches[fill][0], rtol=1e-4, atol=1e-5)


def test_cells() -> None:
    maps = np.array([[0, 3, 1, 3, 2, 0, 0, 0, 0, 0], [0] * 10, [np.nan, -1, 5, np.nan, 0, 0, 0, 0, 0, 0.5]])
    assert [np.flatnonzero(row).tolist() for row in strongest_cells(maps)] == [[1, 3], [0, 1], [2, 9]]
    for cells, count in ((1, 1), (3, 1), (16, 3), (49, 10), (196, 39)):
        chosen = random_cells((2, cells), [np.random.default_rng(0), np.random.default_rng(1)])
        assert chosen.shape == (2, cells) and chosen.sum(axis=1).tolist() == [count, count]
        assert strongest_cells(np.zeros((1, cells))).sum() == count
    many = random_cells((500, 10), [np.random.default_rng(k) for k in range(500)])
    assert np.abs(many.mean(axis=0) - 0.2).max() < 0.06  # no cell is preferred


@pytest.mark.parametrize("size", [(32, 32), (28, 36), (224, 224)])
def test_the_blur_is_that_of_the_plain_writing(size: tuple[int, int]) -> None:
    picture = torch.randn(1, 1, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = fill_blur(picture, torch.ones(1, *size, dtype=torch.bool))
    np.testing.assert_allclose(found[0, 0].numpy(), oracles.blurred(picture[0, 0].numpy()), atol=1e-12)


def test_words_are_taken_out_with_their_white_space() -> None:
    text = " a  red boat,\ton the sea"
    assert without_span(text, (4, 7)) == "a boat, on the sea"
    assert without_span(text, (8, 12)) == "a red , on the sea"
    assert without_span("sea", (0, 3)) == "" and without_span("\u6d77\u306e\u8239", (1, 2)) == "\u6d77\u8239"


def test_the_model_is_left_as_found_and_gives_no_graph() -> None:
    loaded = loaded_model("hf_siglip")
    before = snapshot(loaded.model)
    deleted(loaded, explained(loaded))
    assert_same(loaded.model, before)


def test_what_removes_nothing_changes_nothing_in_half_precision() -> None:
    """Whole and shorter scores are of one precision: the mean colour of an even picture is the picture."""
    loaded = replace(loaded_model("open_clip", 1), precision="bf16")
    images = torch.linspace(-1, 1, 6)[:, None, None, None].expand(-1, 3, 32, 32).contiguous()
    found = explain_pairs(loaded, images, TEXTS, target="clip-logit", words=1)
    assert found.image_vectors.dtype == torch.bfloat16 and not found.links[0].kept[3]
    assert found.links[0].score[3] == 0 and found.links[0].score.abs().max() > 0.1
    falls = deletion(loaded, images, TEXTS, found.image_vectors, found.text_vectors, found.explanation, SEEDS)
    for values in (*falls.patches.values(), *falls.patches_random.values()):
        assert np.abs(values).max() < 1e-3
    plain = deleted(loaded_model("open_clip", 1), explained(loaded_model("open_clip", 1)))
    half = deleted(loaded, explained(loaded))
    same = half.words == plain.words
    assert same.sum() >= 4
    np.testing.assert_allclose(half.word[same], plain.word[same], atol=0.15)


def test_needs_a_grid_and_words() -> None:
    loaded = loaded_model("open_clip")
    explanation = explained(loaded)
    for lacking in (replace(explanation, grid=None), replace(explanation, words=None)):
        with pytest.raises(EngineError, match=r"^deletion needs a grid of patches and texts as strings$"):
            deleted(loaded, lacking)
