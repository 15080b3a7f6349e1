"""Pairs that share pictures and texts: every number is that of ``explain``, and each tower runs once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import zoo
from model_folders import fast_tokenizer
from torch import Tensor, nn
from untouched import assert_same, snapshot

from engine import EngineError, Explanation, LoadedModel, explain, explain_targets
from engine.methods import METHODS
from engine.models import find_adapter
from engine.models.adapter import Tower
from engine.models.tokens import TextTokenizer
from engine.pairs import Pairs, explain_pairs, measure_of
from engine.request import Request
from engine.summaries import top_words
from engine.targets import Change, ClipScore, Output, Predicted, Target, Toward, clip_score
from engine.words import Words

TEXTS = [
    "a red boat on the sea",
    "photo of a house",
    "two tree",
    "the blue sea word3 word4 word5 house tree red",
    "sea",
]
SHARED = torch.tensor([[0, 3], [2, 0], [0, 1], [3, 1], [0, 0], [2, 3], [3, 3]])
"""Picture 1 and the texts 2 and 4 are in no pair; picture 0 and text 3 are in three."""
SEEDS = {"open_clip_bert_cls": 3}  # the others have pairs with a positive cosine as they are
STREAMED = [name for name, method in METHODS.items() if "stream" in method.engines]
THROUGHOUT = [name for name in METHODS if name not in STREAMED]
"""Methods for which relevance flows through the whole model."""
POOLED = {"open_clip_siglip", "open_clip_coca", "hf_siglip"}


def model_of(name: str) -> nn.Module:
    return zoo.build(name, SEEDS.get(name, 0)).double()


def pictures() -> Tensor:
    images = zoo.inputs("open_clip")["image"].double()
    return torch.cat([images, 0.7 * images[:1].flip(-1)])


def tokenizer():
    """Words as pieces; start and end token as the models of the zoo have them."""
    return fast_tokenizer(40)


def same(actual: Tensor, expected: Tensor, tolerance: float = 1e-9) -> None:
    assert actual.shape == expected.shape and actual.dtype == expected.dtype
    assert torch.equal(actual.isnan(), expected.isnan())
    scale = expected.nan_to_num().abs().max().clamp(min=1e-30) if expected.numel() else 1
    if expected.numel():
        assert (actual - expected).nan_to_num().abs().max() / scale < tolerance


def same_explanations(found: Explanation, expected: Explanation) -> None:
    """Every field."""
    assert found.settings == expected.settings and found.grid == expected.grid
    assert set(found.relevancy) == set(found.features) == {"image", "text"}
    for modality in ("image", "text"):
        same(found.relevancy[modality], expected.relevancy[modality])
        same(found.features[modality], expected.features[modality])
    for field in ("score", "logits", "cosine"):
        same(getattr(found, field), getattr(expected, field))
    assert found.tokens == expected.tokens and found.words == expected.words
    assert found.patches is not None and expected.patches is not None
    assert torch.equal(found.patches.tokens, expected.patches.tokens)
    assert torch.equal(found.patches.valid, expected.patches.valid)
    same(found.patches.states, expected.patches.states)
    same(found.patches.rest, expected.patches.rest)
    for field in ("target_index", "kept", "pixels", "zero_rows", "regions", "query"):
        one, other = getattr(found, field), getattr(expected, field)
        assert (one is None) == (other is None), field
        if other is not None:
            same(one, other)


def one_by_one(model: nn.Module, pairs: Tensor, texts: Sequence[str] = TEXTS, **options) -> Explanation:
    """``explain`` on the pairs, each with a picture and a text of its own."""
    both = {"image": pictures()[pairs[:, 0]], "text": [texts[j] for j in pairs[:, 1].tolist()]}
    return explain(model, both, tokenizer=tokenizer(), patches=3, **options)


@pytest.mark.parametrize("method", STREAMED)
@pytest.mark.parametrize("name", zoo.PAIRS)
def test_equals_the_pairs_one_by_one(name: str, method: str) -> None:
    model = model_of(name)
    for target, start_layer in [(t, s) for t in ("clip-logit", "clip-score") for s in (0, -1)]:
        options = {"target": target, "method": method, "start_layer": start_layer}
        expected = one_by_one(model, SHARED, **options)
        found = explain_pairs(model, pictures(), TEXTS, SHARED, tokenizer=tokenizer(), patches=3, **options)
        assert expected.cosine.max() > 0.01 and (expected.cosine.max() - expected.cosine.min()) > 0.01
        if method != "grad_cam":
            assert expected.relevancy["image"].abs().max() > 0 and expected.relevancy["text"].abs().max() > 0
        same_explanations(found.explanation, expected)
        assert found.links == [] and found.link_words == []


def test_a_constant_map_is_nan_as_it_is_one_by_one() -> None:
    """Grad-CAM of a score that is clamped at zero divides 0 by 0: an equality of NaN that must not be empty."""
    model = model_of("open_clip")
    found = explain_pairs(model, pictures(), TEXTS, SHARED, method="grad_cam", tokenizer=tokenizer())
    clamped = found.explanation.cosine < 0
    assert 0 < clamped.sum() < len(SHARED)
    for modality in ("image", "text"):
        assert found.explanation.relevancy[modality][clamped].isnan().any(dim=1).all()
        assert found.explanation.relevancy[modality][~clamped].isfinite().any()


@pytest.mark.parametrize("method", THROUGHOUT)
@pytest.mark.parametrize("name", ["open_clip", "open_clip_siglip", "open_clip_coca", "hf_clip", "hf_siglip"])
def test_methods_that_share_nothing_equal_the_pairs_one_by_one(name: str, method: str) -> None:
    model, options = model_of(name), {"target": "clip-logit", "method": method}
    if method == "legrad" and name in POOLED:
        with pytest.raises(EngineError, match="its attention pool"):
            explain_pairs(model, pictures(), TEXTS, SHARED, tokenizer=tokenizer(), **options)
        return
    if method == "lrp":
        with pytest.raises(EngineError, match=r"^full LRP is defined for ViT image classifiers only, not for"):
            explain_pairs(model, pictures(), TEXTS, SHARED, tokenizer=tokenizer(), **options)
        return
    expected = one_by_one(model, SHARED, **options)
    found = explain_pairs(model, pictures(), TEXTS, SHARED, tokenizer=tokenizer(), patches=3, **options)
    assert expected.relevancy["image"].abs().max() > 0
    same_explanations(found.explanation, expected)
    same_vectors(model, found)


def same_vectors(model: nn.Module, found: Pairs) -> None:
    """Unit vectors of all pictures and texts, the unused too."""
    adapter = find_adapter(model)
    ids = tokenizer()(TEXTS, padding="max_length", truncation=True, max_length=limit(model), return_tensors="pt")
    with torch.no_grad():
        same(found.image_vectors, adapter.embed_images(model, {"image": pictures()}))
        same(found.text_vectors, adapter.embed_texts(model, {"text": ids["input_ids"]}))
    torch.testing.assert_close(found.text_vectors.norm(dim=1), torch.ones(len(TEXTS), dtype=torch.float64))


def limit(model: nn.Module) -> int:
    return find_adapter(model).text_limits(model)[1]


GIVEN = {
    "many texts of one picture": torch.tensor([[2, 0], [2, 1], [2, 2], [2, 3], [2, 4]]),
    "many pictures of one text": torch.tensor([[3, 1], [2, 1], [1, 1], [0, 1]]),
    "one pair": torch.tensor([[1, 3]]),
    "the same pair twice": torch.tensor([[1, 2], [0, 0], [1, 2]]),
    "all": torch.cartesian_prod(torch.arange(4), torch.arange(5)),
}


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("name", ["open_clip", "open_clip_siglip", "open_clip_roberta_mean", "hf_clip", "hf_siglip2"])
def test_pairs_of_any_shape(name: str, given: str) -> None:
    model, pairs = model_of(name), GIVEN[given]
    for method in ("gae", "rollout"):
        options = {"target": "clip-logit", "method": method, "tokenizer": tokenizer()}
        found = explain_pairs(model, pictures(), TEXTS, pairs, patches=3, **options)
        same_explanations(found.explanation, one_by_one(model, pairs, target="clip-logit", method=method))
        same_vectors(model, found)


def test_picture_i_with_text_i_without_pairs() -> None:
    model = model_of("hf_clip")
    found = explain_pairs(model, pictures(), TEXTS[:4], tokenizer=tokenizer(), patches=3)
    same_explanations(found.explanation, one_by_one(model, torch.arange(4)[:, None].expand(-1, 2), target="clip-score"))
    with pytest.raises(EngineError, match=r"^4 images but 5 texts: row i of both must belong together$"):
        explain_pairs(model, pictures(), TEXTS, tokenizer=tokenizer())


@pytest.mark.parametrize("pairs", [[[0, 5]], [[4, 0]], [[-1, 0]], [[0, -1]], [], [[0, 1, 2]], [0, 1]])
def test_pairs_that_are_none(pairs: list) -> None:
    model, given = model_of("open_clip"), torch.tensor(pairs, dtype=torch.long)
    for method in ("gae", "rollout", "partial_lrp"):
        with pytest.raises(EngineError, match=r"^pairs must be \[P, 2\], P > 0, positions among 4 images and 5 texts$"):
            explain_pairs(model, pictures(), TEXTS, given, method=method, tokenizer=tokenizer())


def test_padding_before_the_text() -> None:
    """The pieces of words are counted from the end where a tokenizer pads so."""
    left, pairs = tokenizer(), torch.tensor([[0, 2], [1, 2], [0, 1]])
    left.padding_side = "left"
    model = model_of("hf_siglip")
    both = {"image": pictures()[pairs[:, 0]], "text": [TEXTS[j] for j in pairs[:, 1].tolist()]}
    expected = explain(model, both, target="clip-logit", tokenizer=left, patches=3)
    assert expected.words[0].of_piece[-4:] == (-1, 0, 1, -1)
    found = explain_pairs(model, pictures(), TEXTS, pairs, target="clip-logit", tokenizer=left, patches=3, words=1)
    same_explanations(found.explanation, expected)
    strongest = expected.relevancy["text"][:, :-1].argmax(dim=1)
    assert found.link_words[0].tolist() == [expected.words[k].of_piece[int(i)] for k, i in enumerate(strongest)]


class Counting:
    """Batch sizes of the calls of the first attention of each tower."""

    def __init__(self, model: nn.Module) -> None:
        adapter = find_adapter(model)
        self.image: list[int] = []
        self.text: list[int] = []
        ids = torch.full((1, 9), 39)
        for sizes, tower in (
            (self.image, adapter.image_tower(model, {"image": pictures()[:1]})),
            (self.text, adapter.text_tower(model, {"text": ids})),
        ):
            self._watch(model.get_submodule(tower.layers[0]), tower, sizes)

    def _watch(self, module: nn.Module, tower: Tower, sizes: list[int]) -> None:
        def count(_, args, kwargs, output) -> None:
            states = next(one for one in (*args, *kwargs.values()) if isinstance(one, Tensor) and one.dim() == 3)
            sizes.append(len(states))

        module.register_forward_hook(count, with_kwargs=True)


@pytest.mark.parametrize("method", ["gae", "rollout", "raw_attention", "grad_cam"])
@pytest.mark.parametrize("name", zoo.PAIRS)
def test_each_tower_runs_once(name: str, method: str) -> None:
    model = model_of(name)
    seen = Counting(model)
    explain_pairs(model, pictures(), TEXTS, GIVEN["all"], method=method, tokenizer=tokenizer())
    assert seen.image == [4] and seen.text == [5]


@pytest.mark.parametrize("name", ["open_clip", "hf_siglip"])
def test_a_word_costs_one_more_run_of_the_text_tower(name: str) -> None:
    model = model_of(name)
    seen = Counting(model)
    explain_pairs(model, pictures(), TEXTS, SHARED, words=2, tokenizer=tokenizer())
    assert seen.image == [4] and seen.text[0] == 5 and sum(seen.text[1:]) <= 2 * len(SHARED) and len(seen.text) <= 3


def failing_half_way(model: nn.Module) -> dict[str, tuple[type[Exception], str, Callable[[], Pairs]]]:
    """Errors while the graph of the picture waits: in the texts' ids, in the text tower, in the words."""
    tokens = find_adapter(model), tokenizer()
    wide = TextTokenizer(lambda texts: torch.full((len(texts), 9), 40), str, frozenset(), 9, len)
    long = TextTokenizer(lambda texts: torch.full((len(texts), 30), 39), str, frozenset(), 30, len)

    def broken(*_: object) -> None:
        raise ZeroDivisionError("half way")

    def inside() -> Pairs:
        path = tokens[0].text_tower(model, {"text": torch.full((1, 9), 39)}).layers[-1]
        handle = model.get_submodule(path).register_forward_hook(broken)
        try:
            return explain_pairs(model, pictures(), TEXTS, SHARED, tokenizer=tokens[1])
        finally:
            handle.remove()

    return {
        "ids": (EngineError, "40", lambda: explain_pairs(model, pictures(), TEXTS, SHARED, tokenizer=wide)),
        "length": (EngineError, "30", lambda: explain_pairs(model, pictures(), TEXTS, SHARED, tokenizer=long)),
        "tower": (ZeroDivisionError, "half way", inside),
    }


@pytest.mark.parametrize("name", zoo.PAIRS)
def test_the_model_is_left_as_found(name: str) -> None:
    model = model_of(name)
    next(model.parameters()).requires_grad_(False)
    before = snapshot(model)
    for method, words in (("gae", 2), ("rollout", 0), ("grad_cam", 0)):
        explain_pairs(model, pictures(), TEXTS, SHARED, method=method, words=words, tokenizer=tokenizer())
        assert_same(model, before)
    for error, match, call in failing_half_way(model).values():
        with pytest.raises(error, match=match) as caught:
            call()
        assert "\n" not in str(caught.value)
        assert_same(model, before)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_works_inside_no_grad_and_inference_mode() -> None:
    model, options = model_of("open_clip"), {"tokenizer": tokenizer(), "words": 1}
    expected = explain_pairs(model, pictures(), TEXTS, SHARED, **options)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            found = explain_pairs(model, pictures().clone(), TEXTS, SHARED, **options)
            same(found.explanation.relevancy["image"], expected.explanation.relevancy["image"])
            same(found.links[0].relevancy["image"], expected.links[0].relevancy["image"])
    assert not expected.explanation.score.requires_grad and not expected.image_vectors.requires_grad


def test_the_text_tower_may_start_at_a_layer_of_its_own() -> None:
    model, options = model_of("open_clip"), {"tokenizer": tokenizer(), "patches": 2, "target": "clip-logit"}
    images, texts = pictures()[:2], TEXTS[:2]
    both, last, every = (
        explain_pairs(model, images, texts, start_layer=start, text_start_layer=text, **options).explanation
        for start, text in ((-1, 0), (-1, None), (0, None))
    )
    same(both.relevancy["image"], last.relevancy["image"])
    same(both.relevancy["text"], every.relevancy["text"])
    assert not torch.equal(both.relevancy["text"], last.relevancy["text"])
    with pytest.raises(EngineError, match="one start layer for both towers"):
        explain_pairs(model, images, texts, start_layer=-1, text_start_layer=0, method="partial_lrp", **options)


# --- words ------------------------------------------------------------------------------------------------------------


def test_a_text_with_fewer_words_is_not_kept() -> None:
    model = model_of("open_clip_custom_avg")
    texts, pairs = ["sea", "two tree", "", "!?"], torch.cartesian_prod(torch.arange(2), torch.arange(4))
    found = explain_pairs(model, pictures(), texts, pairs, target="clip-logit", words=2, tokenizer=tokenizer())
    assert found.links[0].kept.tolist() == [True, True, False, False] * 2
    assert found.links[1].kept.tolist() == [False, True, False, False] * 2
    assert (found.link_words[0] >= 0).tolist() == found.links[0].kept.tolist()
    assert found.link_words[1].tolist()[0] == -1 and sorted(found.link_words[k][1] for k in range(2)) == [0, 1]
    for link in found.links:
        assert set(link.relevancy) == {"image"} and link.relevancy["image"].shape == (8, 16)
        assert not link.relevancy["image"][~link.kept].any() and not link.score[~link.kept].any()
        assert link.relevancy["image"][link.kept].any(dim=1).all()


def test_given_words_are_found_in_any_case_and_give_the_maps_of_their_own() -> None:
    images, texts = pictures()[:2], ["a red boat on the sea", "two tree"]
    model, options = model_of("open_clip"), {"tokenizer": tokenizer(), "start_layer": -1}
    given = explain_pairs(model, images, texts, words=["RED", "tree", "house"], **options)
    every = explain_pairs(model, images, texts, words=6, **options)
    assert [places.tolist() for places in given.link_words] == [[1, -1], [-1, 1], [-1, -1]]
    assert [link.kept.tolist() for link in given.links] == [[True, False], [False, True], [False, False]]
    for pair, link, place in ((0, given.links[0], 1), (1, given.links[1], 1)):
        k = next(k for k, places in enumerate(every.link_words) if places[pair] == place)
        same(link.relevancy["image"][pair], every.links[k].relevancy["image"][pair])
        same(link.score[pair], every.links[k].score[pair])


def test_words_that_were_cut_off_are_not_taken_out() -> None:
    model = model_of("hf_clip")
    found = explain_pairs(model, pictures(), TEXTS, torch.tensor([[0, 3]]), words=9, tokenizer=tokenizer())
    read = found.explanation.words[0]
    assert read.cut and len(read.spans) == 7
    assert sorted(int(places[0]) for places in found.link_words) == [-1, -1, *range(7)]


@pytest.mark.parametrize("method", METHODS)
def test_words_need_gradients(method: str) -> None:
    model, options = model_of("open_clip"), {"method": method, "words": 1, "tokenizer": tokenizer()}
    if METHODS[method].needs_gradient and method in STREAMED:
        assert len(explain_pairs(model, pictures(), TEXTS, SHARED, **options).links) == 1
        return
    reason = "cannot explain single words|gives the same map for every word"
    with pytest.raises(EngineError, match=rf"^method '{method}' ({reason})[^\n]*$"):
        explain_pairs(model, pictures(), TEXTS, SHARED, **options)


class Against(Target):
    """Minus the cosine."""

    name = "against"

    def score(self, output: Output) -> Tensor:
        return -output.cosine


@pytest.mark.parametrize("name", ["open_clip", "hf_siglip"])
def test_what_holds_the_score_down(name: str) -> None:
    model = model_of(name)
    found = explain_pairs(model, pictures(), TEXTS, SHARED, target="against", tokenizer=tokenizer(), patches=3)
    same_explanations(found.explanation, one_by_one(model, SHARED, target=Against()))
    with pytest.raises(EngineError, match=r"^method 'partial_lrp' cannot explain what holds a score down; gae can$"):
        explain_pairs(model, pictures(), TEXTS, SHARED, target="against", method="partial_lrp", tokenizer=tokenizer())


def test_refusals() -> None:
    model = model_of("open_clip")
    with pytest.raises(EngineError, match=r"^unknown target of pairs 'predicted'; available: clip-logit, clip-score"):
        explain_pairs(model, pictures(), TEXTS, SHARED, target="predicted", tokenizer=tokenizer())
    with pytest.raises(EngineError, match="no tokenizer"):
        explain_pairs(model, pictures(), TEXTS, SHARED)
    for name in ("vit_cls", "hf_vilt_retrieval", "hf_blip_itm"):
        with pytest.raises(EngineError, match=r"has no towers of its own for pictures and texts; use explain$"):
            explain_pairs(zoo.build(name), pictures(), TEXTS, SHARED, tokenizer=tokenizer())


# --- targets and summaries --------------------------------------------------------------------------------------------


def test_scores_toward_vectors_and_their_change() -> None:
    cosines = torch.tensor([-0.5, 0.0, 0.25, 1.0])
    assert clip_score(cosines).tolist() == [0, 0, 0.625, 2.5]
    torch.testing.assert_close(ClipScore().score(Output(cosines, cosines)), clip_score(cosines))
    embeds, vectors, other = (F.normalize(torch.randn(3, 6, generator=g), dim=1) for g in map(seeded, range(3)))
    output = Output(torch.zeros(3), embeds=embeds)
    toward, less = Toward(vectors), Toward(other, lambda cosine: 10 * cosine)
    expected = torch.tensor([2.5 * max(float(a @ b), 0) for a, b in zip(embeds, vectors, strict=True)])
    torch.testing.assert_close(toward.score(output), expected)
    fell = expected - torch.tensor([10 * float(a @ b) for a, b in zip(embeds, other, strict=True)])
    torch.testing.assert_close(Change(toward, less).score(output), fell)
    assert toward.indices(output) is None and Change(toward, less).name == "change"
    with pytest.raises(EngineError, match="target 'clip-score' toward given vectors needs one side"):
        toward.score(Output(cosines, cosines))
    with pytest.raises(EngineError, match="'predicted' needs a classifier"):
        Predicted().score(output)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", zoo.PAIRS)
def test_measures_are_the_model_s_own(name: str) -> None:
    model = model_of(name)
    both = {"image": pictures(), "text": TEXTS[:4]}
    logit, score = explain_targets(model, both, ["clip-logit", "clip-score"], tokenizer=tokenizer())
    request = Request.make(model, both, "gae", 0, tokenizer(), "auto", False, "authors", 0)
    with request.scope():
        output = request.adapter.forward(model, request.batch)
    loaded = as_loaded(model)
    torch.testing.assert_close(measure_of(loaded, "clip-logit")(output.cosine), logit.score, rtol=1e-12, atol=0)
    torch.testing.assert_close(measure_of(loaded, "clip-score")(output.cosine), score.score, rtol=1e-12, atol=0)


def as_loaded(model: nn.Module):
    return LoadedModel(model, "model", find_adapter(model), None, None, None)


def test_top_words() -> None:
    """Pieces add up to words; words of no or negative relevancy are not named; equal ones in the order of the text."""
    text = "unbelievable red boats, red sea"
    words = Words(((0, 12), (13, 16), (17, 22), (24, 27), (28, 31)), (-1, 0, 0, 1, 2, 3, 4, -1), 8, False)
    unknown = [np.nan, 1, np.nan, 0, 3, 0, 0, 0]
    maps = np.array([[9, 1, 1.5, 2, -1, 0, 2, 9], [0, 0, 0, 0, 0, 0, 0, 5], unknown], np.float32)
    found = top_words(maps, [words] * 3, [text] * 3, 2)
    assert found == [["unbelievable", "red"], [], ["boats", "unbelievable"]]
    assert top_words(maps[:1], [words], [text]) == [["unbelievable", "red", "sea"]]
    assert top_words(np.zeros((1, 2), np.float32), [Words((), (-1, -1), 2, False)], [""]) == [[]]
