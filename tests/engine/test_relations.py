"""Rules between streams against their plain second writing; models with several streams, padding, and detectors."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
import torch
import untouched
import zoo_streams as zoo

from engine import EngineError, explain, explain_detections
from engine.methods import GAE
from engine.models.relation import Relation, Step, Stream
from engine.relation import Rules, related_matrices, related_rows
from engine.targets import QueryClass

METHODS = ["gae", "raw_attention", "rollout", "grad_cam"]


def relation_of(steps, sizes, read, nan_is_zero=True):
    everything = {n: torch.ones(1, size, dtype=torch.bool) for n, size in sizes.items()}
    streams = {n: Stream(n, content=mask, valid=mask) for n, mask in everything.items()}
    return Relation(streams, steps, read, None, mutual=not nan_is_zero, nan_is_zero=nan_is_zero)


def random_maps(names_and_sizes, seed, zero_rows=()):
    """A and dA [H, s, q] per map; in ``zero_rows`` no gradient is positive."""
    rng = np.random.default_rng(seed)
    heads = int(rng.integers(1, 4))
    a, da = {}, {}
    for name, (s, q) in names_and_sizes.items():
        a[name] = oracles.softmax(rng.normal(size=(heads, s, q)))
        da[name] = rng.normal(size=(heads, s, q))
        if name in zero_rows:
            da[name][:, 1] = -np.abs(da[name][:, 1])
    return a, da


def averages(a, da, dtype=torch.float64):
    return {name: torch.from_numpy(oracles.abar(a[name], da[name])).to(dtype)[None] for name in a}


def lxmert_case(seed, zero_rows=()):
    rng = np.random.default_rng(1000 + seed)
    layers, (t, i) = tuple(int(n) for n in rng.integers(1, 4, size=3)), rng.integers(2, 8, size=2)
    sizes, steps = {}, []
    for n in range(layers[0]):
        sizes[f"lang_{n}"] = (t, t)
        steps.append((Step("text", "text", f"lang_{n}"),))
    for n in range(layers[1]):
        sizes[f"img_{n}"] = (i, i)
        steps.append((Step("image", "image", f"img_{n}"),))
    for n in range(layers[2]):
        sizes |= {f"x{n}_cross_t_from_i": (t, i), f"x{n}_self_t": (t, t)}
        group = [Step("text", "image", f"x{n}_cross_t_from_i")]
        if n < layers[2] - 1:
            sizes |= {f"x{n}_cross_i_from_t": (i, t), f"x{n}_self_i": (i, i)}
            group.append(Step("image", "text", f"x{n}_cross_i_from_t"))
        steps += [tuple(group), (Step("text", "text", f"x{n}_self_t"),)]
        if n < layers[2] - 1:
            steps.append((Step("image", "image", f"x{n}_self_i"),))
    a, da = random_maps(sizes, seed, zero_rows)
    return layers, a, da, relation_of(tuple(steps), {"text": int(t), "image": int(i)}, "text", nan_is_zero=False)


def detr_case(seed, zero_rows=()):
    rng = np.random.default_rng(2000 + seed)
    layers, (q, i) = tuple(int(n) for n in rng.integers(1, 4, size=2)), rng.integers(2, 9, size=2)
    sizes = {f"enc_{n}": (i, i) for n in range(layers[0])}
    steps = [(Step("image", "image", f"enc_{n}"),) for n in range(layers[0])]
    for n in range(layers[1]):
        sizes |= {f"dec_self_{n}": (q, q), f"dec_cross_{n}": (q, i)}
        steps += [(Step("queries", "queries", f"dec_self_{n}"),), (Step("queries", "image", f"dec_cross_{n}"),)]
    a, da = random_maps(sizes, seed, zero_rows)
    return layers, a, da, relation_of(tuple(steps), {"queries": int(q), "image": int(i)}, "queries")


RULES = [
    Rules(),
    Rules(normalize=False),
    Rules(self_in_rule_10=False),
    Rules(normalize=False, aggregate=False),
    Rules(on_zero_row="identity"),
]


def plain(rules):
    """The options of the second writing."""
    factor = rules.on_zero_row if rules.normalize else "plain"
    return {"factor": factor, "self_in_rule_10": rules.self_in_rule_10, "aggregate": rules.aggregate}


def close(actual, expected, tolerance):
    assert np.array_equal(np.isnan(actual), np.isnan(expected))
    scale = max(np.nanmax(np.abs(expected), initial=0), 1e-30)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
@pytest.mark.parametrize("rules", RULES, ids=str)
@pytest.mark.parametrize("seed", range(6))
def test_co_attention_equals_the_second_writing(seed, rules, dtype, tolerance):
    layers, a, da, relation = lxmert_case(seed)
    result = related_matrices(relation, averages(a, da, dtype), rules).values
    expected = oracles.lxmert_gae(a, da, layers, **plain(rules))
    result["text", "text"][0, 0, 0] = 0
    for key, pair in {"R_t_t": ("text", "text"), "R_t_i": ("text", "image"), "R_i_i": ("image", "image")}.items():
        close(result[pair][0].double().numpy(), expected[key], tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
@pytest.mark.parametrize("rules", RULES, ids=str)
@pytest.mark.parametrize("seed", range(6))
def test_encoder_decoder_equals_the_second_writing(seed, rules, dtype, tolerance):
    layers, a, da, relation = detr_case(seed)
    result = related_matrices(relation, averages(a, da, dtype), rules).values
    expected = oracles.detr_gae(a, da, layers, **plain(rules))
    pairs = {"R_q_i": ("queries", "image"), "R_q_q": ("queries", "queries"), "R_i_i": ("image", "image")}
    for key, pair in pairs.items():
        close(result[pair][0].double().numpy(), expected[key], tolerance)


@pytest.mark.parametrize("zero_rows", [(), ("dec_self_0",), ("dec_self_0", "dec_self_1", "dec_self_2")], ids=str)
@pytest.mark.parametrize("rules", [r for r in RULES if r.aggregate], ids=str)
@pytest.mark.parametrize("seed", range(6))
def test_vector_chains_equal_the_matrices(seed, rules, zero_rows):
    _, a, da, relation = detr_case(seed, zero_rows)
    maps = averages(a, da)
    whole = related_matrices(relation, maps, rules)
    queries = relation.streams["queries"].content.shape[1]
    for query in range(queries):
        row = torch.nn.functional.one_hot(torch.tensor([query]), queries).double()
        rows = related_rows(relation, row, maps, rules)
        close(rows.values["queries", "image"][0].numpy(), whole.values["queries", "image"][0, query].numpy(), 1e-12)
        assert torch.equal(rows.zero_rows, whole.zero_rows)


def test_a_row_of_zeros_in_the_encoder():
    _, a, da, relation = detr_case(3, ("enc_0", "enc_1", "enc_2"))
    maps = averages(a, da)
    row = torch.nn.functional.one_hot(torch.tensor([0]), relation.streams["queries"].content.shape[1]).double()
    dropped = related_rows(relation, row, maps, Rules())
    assert (dropped.values["queries", "image"] == 0).all()
    assert int(dropped.zero_rows) > 0
    kept = related_rows(relation, row, maps, Rules(on_zero_row="identity")).values["queries", "image"]
    whole = related_matrices(relation, maps, Rules(on_zero_row="identity")).values["queries", "image"]
    close(kept[0].numpy(), whole[0, 0].numpy(), 1e-12)
    assert kept.max() > 0


def test_lxmert_keeps_nan_where_the_authors_do():
    layers, a, da, relation = lxmert_case(0, ("lang_0", "lang_1", "lang_2"))
    assert layers[2] >= 1
    assert related_matrices(relation, averages(a, da), Rules()).values["text", "image"].isnan().all()
    safe = related_matrices(relation, averages(a, da), Rules(on_zero_row="identity"))
    assert safe.values["text", "image"].isfinite().all()
    assert int(safe.zero_rows) > 0


@pytest.mark.parametrize("engine", ["stream", "record"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["visual_bert", "lxmert"])
def test_questions_in_a_batch_equal_one_by_one_and_padding_is_exactly_zero(name, method, engine):
    model, data = zoo.build(name).double(), zoo.questions()
    data = {k: v.double() if v.is_floating_point() else v for k, v in data.items()}
    answers = torch.tensor([1, 2, 3])
    batch = explain(model, data, target=answers, method=method, engine=engine)
    assert (batch.relevancy["text"][data["attention_mask"] == 0] == 0).all()
    assert (batch.relevancy["image"][~data["region_mask"]] == 0).all()
    for i in range(3):
        single = explain(model, zoo.one_question(data, i), target=int(answers[i]), method=method, engine=engine)
        for modality, expected in single.relevancy.items():
            actual = batch.relevancy[modality][i, : expected.shape[1]]
            torch.testing.assert_close(actual, expected[0], rtol=1e-8, atol=1e-12, equal_nan=True)
        torch.testing.assert_close(batch.features["image"][i], single.features["image"][0], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["visual_bert", "lxmert"])
def test_questions_stream_equals_record(name, method):
    model, data = zoo.build(name), zoo.questions()
    largest = 0.0
    for answer in range(3):
        stream, record = (explain(model, data, target=answer, method=method, engine=e) for e in ("stream", "record"))
        for modality, expected in record.relevancy.items():
            largest = max(largest, scale := float(expected.nan_to_num().abs().max()))
            torch.testing.assert_close(stream.relevancy[modality], expected, rtol=0, atol=1e-5 * scale, equal_nan=True)
    assert largest > 0


def test_regions_come_back_with_their_boxes():
    data = zoo.questions()
    result = explain(zoo.build("lxmert"), data)
    assert result.grid is None
    assert torch.equal(result.regions, data["boxes"])
    assert torch.equal(result.region_mask, data["region_mask"])
    assert result.relevancy["image"].shape == data["region_mask"].shape


def some_target(model, images, query=2, label=1):
    return QueryClass(torch.full((len(images),), query), torch.full((len(images),), label))


@pytest.mark.parametrize("method", METHODS)
def test_detector_stream_equals_record_and_batch_equals_single(method):
    model, images = zoo.build("detr"), zoo.pictures(3)
    largest = 0.0
    for label in range(4):
        target = some_target(model, images, label=label)
        results = {e: explain(model, images, target=target, method=method, engine=e) for e in ("stream", "record")}
        expected = results["record"].relevancy["image"]
        assert expected.shape == (3, results["record"].grid[0] * results["record"].grid[1])
        largest = max(largest, scale := float(expected.abs().max()))
        torch.testing.assert_close(results["stream"].relevancy["image"], expected, rtol=0, atol=1e-5 * scale)
        for i in range(3):
            single = explain(
                model, images[i : i + 1], target=some_target(model, images[:1], label=label), method=method
            )
            torch.testing.assert_close(single.relevancy["image"][0], expected[i], rtol=0, atol=2e-5 * scale)
    assert largest > 0


@pytest.mark.parametrize("on_zero_row", ["authors", "identity"])
@pytest.mark.parametrize("engine", ["stream", "record"])
@pytest.mark.parametrize("method", METHODS)
def test_padding_of_pictures_is_exactly_zero_and_cancels_nothing(method, engine, on_zero_row):
    model, images = zoo.build("detr"), zoo.pictures(2)
    mask = torch.ones(2, *images.shape[-2:], dtype=torch.long)
    mask[1, 24:], mask[1, :, 24:] = 0, 0
    images = images * mask[:, None]
    result = explain(
        model,
        {"image": images, "pixel_mask": mask},
        target=some_target(model, images),
        method=method,
        engine=engine,
        on_zero_row=on_zero_row,
    )
    h, w = result.grid
    assert result.grids.tolist() == [[h, w], [h * 24 // 32, w * 24 // 40]]
    cells = result.relevancy["image"][1].reshape(h, w)
    rows, columns = result.grids[1].tolist()
    assert cells[:rows, :columns].abs().sum() > 0 or method == "grad_cam"
    assert (cells[rows:] == 0).all()
    assert (cells[:, columns:] == 0).all()
    whole = explain(
        model, {"image": images[:1]}, target=some_target(model, images[:1]), method=method, on_zero_row=on_zero_row
    )
    torch.testing.assert_close(result.relevancy["image"][0], whole.relevancy["image"][0], rtol=1e-4, atol=1e-9)


def test_detections_share_one_forward_and_equal_their_own_explanations():
    model, images = zoo.build("detr"), zoo.pictures(3)
    passes = []
    handle = model.model.backbone.register_forward_hook(lambda *a: passes.append(1))
    found = explain_detections(model, images, threshold=0.2, most=4)
    handle.remove()
    assert len(passes) == 1
    assert [e.target for e in found] == [f"detection:{k}" for k in range(len(found))]
    assert 0 < len(found) <= 4
    with torch.no_grad():
        out = model(pixel_values=images)
    probabilities = out.logits.softmax(-1)[..., :-1]
    for k, e in enumerate(found):
        confidence = probabilities.max(-1).values.sort(dim=1, descending=True).values[:, k]
        torch.testing.assert_close(e.confidence, confidence)
        assert torch.equal(e.kept, confidence >= 0.2)
        assert torch.equal(e.logits, out.logits[torch.arange(3), e.query])
        own = explain(model, images, target=QueryClass(e.query, e.target_index))
        torch.testing.assert_close(e.relevancy["image"], own.relevancy["image"])
        torch.testing.assert_close(e.score, own.score)
        x, y, w, h = out.pred_boxes[0, e.query[0]].tolist()
        assert e.query_box[0].tolist() == pytest.approx([x - w / 2, y - h / 2, x + w / 2, y + h / 2], abs=1e-5)
    assert explain_detections(model, images, threshold=1.0) == []


def test_a_row_of_zeros_happens_on_real_inputs_and_is_counted():
    """In the first decoder layer all queries have the same values: rows of zeros are common there."""
    model, images = zoo.build("detr"), zoo.pictures(4)
    counts = []
    for label in range(5):
        for query in range(7):
            target = some_target(model, images, query, label)
            authors = explain(model, images, target=target)
            safe = explain(model, images, target=target, on_zero_row="identity")
            assert torch.equal(authors.zero_rows > 0, safe.zero_rows > 0)
            changed = (authors.relevancy["image"] - safe.relevancy["image"]).abs().sum(dim=1) > 0
            assert torch.equal(changed, authors.zero_rows > 0)
            counts.append(int((authors.zero_rows > 0).sum()))
    assert 0 < sum(counts) < 5 * 7 * 4
    assert safe.settings["on_zero_row"] == "identity"


@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize("name", list(zoo.BUILDERS))
def test_the_model_is_left_untouched(name, broken):
    model = zoo.build(name).train()
    if name == "detr":
        model.set_attn_implementation("eager")
    data = zoo.pictures() if name == "detr" else zoo.questions()
    target = some_target(model, data) if name == "detr" else 0
    before = untouched.snapshot(model)
    if broken:
        last = [m for m in model.modules() if isinstance(m, torch.nn.Linear)][-1]
        handle = last.register_forward_pre_hook(lambda *a: (_ for _ in ()).throw(RuntimeError("half way")))
        before = untouched.snapshot(model)
        with pytest.raises(RuntimeError, match="half way"):
            explain(model, data, target=target)
        untouched.assert_same(model, before)
        handle.remove()
    else:
        explain(model, data, target=target)
        untouched.assert_same(model, before)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("lxmert", {"features": torch.zeros(3, 6, 5)}, "width 5 do not fit: LxmertForQuestionAnswering reads width 12"),
        ("lxmert", {"features": torch.full((3, 6, 12), torch.nan)}, "NaN or infinity"),
        ("lxmert", {"features": None}, r"needs region features \(key 'features'\), \[B, K, 12\]"),
        ("lxmert", {"boxes": None}, "LXMERT reads the boxes"),
        ("lxmert", {"boxes": torch.zeros(3, 5, 4)}, r"boxes must be \[3, 6, 4\]"),
        (
            "visual_bert",
            {"text": torch.ones(3, 13).long(), "attention_mask": None},
            "13 tokens, the model reads at most 12",
        ),
        ("visual_bert", {"text": torch.full((3, 9), 40)}, "tokenizer does not belong to this model"),
        ("visual_bert", {"text": None}, "the model reads texts"),
        ("visual_bert", {"text": ["why?"] * 3, "attention_mask": None}, "but no tokenizer"),
    ],
)
def test_wrong_inputs(name, change, message):
    with pytest.raises(EngineError, match=message):
        explain(zoo.build(name), {**zoo.questions(), **change})


def test_wrong_options():
    model, images = zoo.build("detr"), zoo.pictures()
    with pytest.raises(EngineError, match="explained by explain_detections"):
        explain(model, images)
    with pytest.raises(EngineError, match="look at each other, so all layers take part"):
        explain(model, images, target=some_target(model, images), start_layer=1)
    with pytest.raises(EngineError, match="unknown on_zero_row 'zero'"):
        explain(model, images, target=some_target(model, images), on_zero_row="zero")
    with pytest.raises(EngineError, match="no probability"):
        explain_detections(model, images, threshold=1.5)
    with pytest.raises(EngineError, match="is no detector"):
        explain_detections(zoo.build("lxmert"), zoo.questions())
    with pytest.raises(EngineError, match="does not fit the images"):
        explain_detections(model, {"image": images, "pixel_mask": torch.ones(2, 4, 4)})
    with pytest.raises(EngineError, match="needs normalize=False"):
        GAE(aggregate=False)
