"""Sanity checks: similarity of maps beside plain writings, and cascades of random weights that leave nothing behind."""

from __future__ import annotations

import math

import numpy as np
import oracles_faithfulness as plain
import pytest
import torch
import zoo
import zoo_streams
from scipy.stats import spearmanr
from skimage.metrics import structural_similarity
from torch import nn
from untouched import assert_same, snapshot

from engine import explain
from engine.errors import EngineError, UnknownName
from engine.faithfulness import usable
from engine.faithfulness.randomisation import (
    LIMIT,
    StageResult,
    cascade,
    cascade_similarity,
    label_randomisation,
    reacts,
    unchanged,
)
from engine.faithfulness.similarity import (
    Similarity,
    between_methods,
    matrix_of,
    similarity_of,
    spearman,
    spearman_of_magnitudes,
    ssim,
    top_overlap,
)
from engine.faithfulness.stages import Stage, joined, stages_of
from engine.models import find_adapter

STREAMS = ("visual_bert", "lxmert", "detr")


def tied(rows: int, tokens: int, seed: int, levels: int = 5) -> np.ndarray:
    """Maps with many equal values."""
    return np.random.default_rng(seed).integers(-levels, levels, (rows, tokens)) / levels


def found(mean: float, low: float, high: float, n: int = 9) -> Similarity:
    return Similarity(mean, low, high, n, {}, np.full(n, mean))


def built(name: str):
    """A small model, its adapter, what it is asked, and the prepared batch."""
    if name in STREAMS:
        model = zoo_streams.build(name)
        data = zoo_streams.pictures() if name == "detr" else zoo_streams.questions()
    else:
        model, data = zoo.build(name), zoo.inputs(name)
    adapter = find_adapter(model)
    return model, adapter, data, adapter.prepare(model, data, None)


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


# similarity


@pytest.mark.parametrize("seed", range(4))
def test_rank_correlation_equals_scipy_and_a_plain_writing(seed):
    one, other = tied(6, 23, seed), tied(6, 23, seed + 50)
    expected = [spearmanr(a, b).statistic for a, b in zip(one, other, strict=True)]
    np.testing.assert_allclose(spearman(one, other), expected, atol=1e-12)
    np.testing.assert_allclose(expected, [plain.rank_correlation(a, b) for a, b in zip(one, other, strict=True)])
    magnitudes = [plain.rank_correlation(abs(a), abs(b)) for a, b in zip(one, other, strict=True)]
    np.testing.assert_allclose(spearman_of_magnitudes(torch.tensor(one), other), magnitudes, atol=1e-12)


def test_tokens_that_do_not_count_change_nothing():
    one, other = tied(5, 12, 1), tied(5, 12, 2)
    valid = np.arange(12) < np.array([[12], [7], [3], [9], [11]])
    for measure in (spearman, top_overlap):
        short = [float(measure(a[None, v], b[None, v])[0]) for a, b, v in zip(one, other, valid, strict=True)]
        dirty_one, dirty_other = np.where(valid, one, np.nan), np.where(valid, other, 1e9)
        np.testing.assert_allclose(measure(dirty_one, dirty_other, valid), short, atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_top_overlap_is_what_ties_broken_at_random_give(seed):
    one, other = tied(4, 9, seed, levels=2), tied(4, 9, seed + 9, levels=2)
    expected = [plain.expected_overlap(a, b, 2) for a, b in zip(one, other, strict=True)]  # ceil(20 % of 9)
    np.testing.assert_allclose(top_overlap(one, other), expected)


def test_ssim_equals_scikit_image():
    rng = np.random.default_rng(3)
    one, other = rng.random((3, 14 * 12)), rng.random((3, 14 * 12))
    expected = []
    for pair in zip(one, other, strict=True):
        a, b = (((x - x.min()) / (x.max() - x.min())).reshape(14, 12) for x in pair)
        options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
        expected.append(structural_similarity(a, b, full=True, **options)[1].mean())
    np.testing.assert_allclose(ssim(one, other, (14, 12)), expected, atol=1e-9)
    np.testing.assert_allclose(ssim(one, one, (14, 12)), 1.0)


def test_maps_without_an_order_are_counted_and_never_averaged_in():
    one, other = tied(6, 8, 4), tied(6, 8, 5)
    one[0, 3], one[1], other[2], other[3, 0] = np.nan, 0.0, 0.25, np.inf
    result = similarity_of(one, other)
    assert np.isnan(result.values).tolist() == [True] * 4 + [False] * 2
    assert result.skipped == {usable.NAN: 1, usable.ZERO: 1, usable.SAME: 1, usable.INFINITE: 1}
    assert result.n == 2 and result.mean == pytest.approx(result.values[4:].mean())
    assert result.low <= result.mean <= result.high
    nothing = similarity_of(np.zeros((2, 4)), tied(2, 4, 1))
    assert nothing.n == 0 and math.isnan(nothing.mean) and math.isnan(nothing.low) and nothing.skipped[usable.ZERO] == 2


def test_every_two_methods_are_compared_once():
    maps = {"a": tied(5, 9, 1), "b": -tied(5, 9, 1), "c": tied(5, 9, 3)}
    pairs = between_methods(maps)
    assert list(pairs) == [("a", "b"), ("a", "c"), ("b", "c")]
    names, matrix = matrix_of(pairs)
    assert names == ["a", "b", "c"] and matrix[0, 1] == matrix[1, 0] == pytest.approx(-1)
    assert matrix[0, 2] == pytest.approx(-matrix[1, 2]) and np.diag(matrix).tolist() == [1, 1, 1]


def test_maps_that_do_not_fit_are_refused():
    with pytest.raises(EngineError, match=r"\[2, 4\] and \[2, 5\]"):
        spearman(tied(2, 4, 1), tied(2, 5, 1))
    with pytest.raises(UnknownName, match="did you mean 'spearman'"):
        similarity_of(tied(2, 4, 1), tied(2, 4, 1), measure="spearmen")


# stages


ORDERS = {
    "vit_cls": ["head", "blocks.2", "blocks.1", "blocks.0", "embeddings"],
    "swin": ["head", *(f"layers.{s}.blocks.{b}" for s in (1, 0) for b in (1, 0)), "embeddings"],
    "hf_clip": [
        "head",
        *(f"text_model.encoder.layers.{i}" for i in (1, 0)),
        *(f"vision_model.encoder.layers.{i}" for i in (2, 1, 0)),
        "embeddings",
    ],
    "lxmert": [
        "head",
        *(f"lxmert.encoder.{kind}.{i}" for kind in ("x_layers", "r_layers", "layer") for i in (1, 0)),
        "embeddings",
    ],
}


@pytest.mark.parametrize("name", ORDERS)
def test_stages_run_from_the_head_to_the_embeddings(name):
    model, adapter, _, batch = built(name)
    assert [stage.name for stage in stages_of(model, adapter, batch)] == ORDERS[name]


def test_what_lies_outside_the_blocks_goes_with_its_neighbours():
    model, adapter, _, batch = built("hf_clip")
    places = {path: stage.name for stage in stages_of(model, adapter, batch) for path in stage.modules}
    assert places["text_model.final_layer_norm"] == "head"
    assert places["text_model.embeddings.token_embedding"] == "embeddings"
    assert places["vision_model.post_layernorm"] == "vision_model.encoder.layers.2"  # it runs before the text tower


def test_few_stages_hold_everything_in_order():
    stages = [Stage(str(i), (f"m{i}", f"n{i}")) for i in range(11)]
    few = joined(stages, 4)
    assert len(few) == 4 and few[0].name == "0 to 2" and few[-1].name.endswith("to 10")
    assert [path for stage in few for path in stage.modules] == [path for s in stages for path in s.modules]
    assert joined(stages, 11) == joined(stages, 20) == tuple(stages)
    with pytest.raises(EngineError, match="at least 1"):
        joined(stages, 0)


# the cascade


@pytest.mark.parametrize("name", [*zoo.ALL, *STREAMS])
def test_everything_becomes_random_and_comes_back(name):
    model, adapter, _, batch = built(name)
    before, places, first = snapshot(model), [p.data_ptr() for p in model.parameters()], weights(model)
    state = torch.get_rng_state()
    stages = stages_of(model, adapter, batch)
    assert_same(model, before)
    with cascade(model, stages) as steps:
        assert list(steps) == [stage.name for stage in stages]
        same = [n for n, p in model.named_parameters() if torch.equal(p, first[n])]
        assert [n for n in same if first[n].numel() > 1 and first[n].std() > 0] == []
        assert all(p.isfinite().all() for p in model.parameters())
    assert_same(model, before)
    assert [p.data_ptr() for p in model.parameters()] == places
    assert torch.equal(torch.get_rng_state(), state)
    assert list(steps) == []  # a step that is taken too late does nothing
    assert_same(model, before)


def test_weights_below_a_stage_are_as_they_were():
    model, adapter, _, batch = built("vit_cls")
    first, reached = weights(model), 0
    with cascade(model, stages_of(model, adapter, batch)) as steps:
        for name in steps:
            changed = {n for n, p in model.named_parameters() if not torch.equal(p, first[n])}
            assert any(n.startswith("head" if name == "head" else name) for n in changed) or name == "embeddings"
            below = {"head": 3, "blocks.2": 2, "blocks.1": 1, "blocks.0": 0}.get(name, 0)
            assert not any(n.startswith(f"blocks.{i}.") for n in changed for i in range(below))
            assert len(changed) > reached
            reached = len(changed)


def test_a_seed_gives_the_same_weights_and_another_gives_others():
    model, adapter, _, batch = built("hf_vit")
    stages = stages_of(model, adapter, batch)

    def drawn(seed):
        with cascade(model, stages, seed) as steps:
            list(steps)
            return weights(model)

    one, again, other = drawn(1), drawn(1), drawn(2)
    assert all(torch.equal(one[n], again[n]) for n in one)
    assert any(not torch.equal(one[n], other[n]) for n in one)


@pytest.mark.parametrize("name", ["vit_cls", "detr"])
def test_an_error_half_way_leaves_the_model_as_it_was(name):
    model, adapter, _, batch = built(name)
    before, stages = snapshot(model), stages_of(model, adapter, batch)
    with pytest.raises(ZeroDivisionError), cascade(model, stages) as steps:
        next(steps)
        next(steps)
        raise ZeroDivisionError
    assert_same(model, before)


def test_shared_weights_stay_shared_and_are_drawn_once():
    model = nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 7, bias=False))
    model[1].weight = model[0].weight
    kept = model[0].weight.detach().clone()
    with cascade(model, [Stage("head", ("1",)), Stage("embeddings", ("0",))]) as steps:
        next(steps)
        after = model[0].weight.detach().clone()
        next(steps)
        assert model[0].weight is model[1].weight and torch.equal(model[0].weight, after)
    assert not torch.equal(after, kept) and torch.equal(model[1].weight, kept)


def test_running_statistics_and_weights_without_a_reset():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.gamma = nn.Parameter(3 + 0.5 * torch.randn(2000))
            self.temperature = nn.Parameter(torch.tensor(4.6))
            self.norm = nn.BatchNorm1d(4)

    model = Scaled()
    model.norm.running_mean.fill_(5.0)
    state = {n: t.clone() for n, t in model.state_dict().items()}
    with cascade(model, [Stage("head", ("", "norm"))]) as steps:
        next(steps)
        assert not torch.equal(model.gamma, state["gamma"])
        assert model.gamma.mean().item() == pytest.approx(3, abs=0.1)
        assert model.gamma.std().item() == pytest.approx(0.5, abs=0.05)
        assert model.temperature.item() == pytest.approx(4.6) and model.norm.running_mean.eq(0).all()
    assert all(torch.equal(t, state[n]) for n, t in model.state_dict().items())


# what it says


def test_maps_of_the_model_react_and_noise_that_only_reads_the_picture_does_not():
    model, adapter, _, _ = built("vit_cls")
    images = zoo.inputs("vit_cls", batch=12)
    before = snapshot(model)
    told = []

    def maps():
        return {m: explain(model, images, target=1, method=m).relevancy["image"] for m in ("gae", "random")}

    stages = stages_of(model, adapter, {"image": images})
    results = cascade_similarity(model, stages, maps, progress=told.append)
    assert told == [stage.name for stage in stages] == [stage.name for stage in results["gae"]]
    assert reacts(results["gae"]) and results["gae"][-1].similarity.n == 12
    assert not reacts(results["random"]) and results["random"][-1].similarity.mean == pytest.approx(1)
    assert_same(model, before)


def test_texts_react_although_special_tokens_and_padding_stay_as_they_are():
    """Both are 0 whatever the weights are: counted in, they alone would make the maps look alike."""
    model, data = zoo.build("hf_bert"), zoo.inputs("hf_bert", batch=40)
    adapter = find_adapter(model)
    stages = joined(stages_of(model, adapter, adapter.prepare(model, data, None)), 2)

    def maps():
        return {"text": explain(model, data, target=1).relevancy["text"]}

    everything = {"text": torch.ones(40, 9, dtype=torch.bool)}
    words = data["attention_mask"].bool() & data["attention_mask"].roll(-1, 1).bool()
    words[:, 0] = False
    assert not reacts(cascade_similarity(model, stages, maps, valid=everything)["text"])
    named, by_default = (cascade_similarity(model, stages, maps, valid=v)["text"] for v in ({"text": words}, None))
    assert reacts(by_default) and reacts(named)
    assert by_default[-1].similarity.skipped == {usable.ONE_TOKEN: 8}
    assert np.array_equal(by_default[-1].similarity.values, named[-1].similarity.values, equal_nan=True)


def test_only_an_interval_above_the_limit_at_the_last_stage_is_no_reaction():
    still = found(0.9, LIMIT + 0.01, 0.95)
    unsure = found(0.9, LIMIT - 0.01, 0.99)
    none = found(math.nan, math.nan, math.nan, n=0)
    assert unchanged(still) and not unchanged(unsure) and not unchanged(none)
    assert not reacts([StageResult("head", unsure), StageResult("embeddings", still)])
    assert reacts([StageResult("head", still), StageResult("embeddings", unsure)])
    assert reacts([StageResult("embeddings", none)]) and reacts([])


def test_labels_maps_of_two_models_are_compared_sample_by_sample():
    images = zoo.inputs("vit_cls", batch=12)
    true, permuted = (explain(zoo.build("vit_cls", seed=seed), images, target=1).relevancy["image"] for seed in (0, 5))
    result = label_randomisation(true, permuted)
    assert result.mean == pytest.approx(spearman(true, permuted).mean()) and not unchanged(result)
    assert unchanged(label_randomisation(true, true * 3))
