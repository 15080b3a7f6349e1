"""The authors' numbers: all architectures, both engines, float32 and float64.

Model level: weights of the reference are loaded into today's libraries and explained. Rule level: the stored A, dA and
LRP relevances go straight into the rules, and into their plain second writing (``oracles``), so that the second writing
may judge the engine elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import oracles
import pytest
import torch
from golden_cases import (
    TOLERANCE,
    assert_close,
    case,
    clip,
    detr,
    explained,
    lxmert,
    pairs,
    question,
    stored,
    tensors,
    tolerance,
    truth,
    visual_bert,
    vit,
)
from golden_lrp import (  # noqa: F401  collected here: one file holds all cases
    test_lrp_detr,
    test_lrp_detr_maps,
    test_lrp_lxmert,
    test_lrp_lxmert_maps,
    test_lrp_visual_bert,
    test_lrp_visual_bert_maps,
    test_lrp_vit,
    test_lrp_vit_maps,
    test_lrp_vit_pixels,
    test_lrp_vit_rules_by_the_oracles,
)

from engine import explain
from engine.methods import GAE
from engine.models.detr import Detr
from engine.models.lxmert import Lxmert
from engine.models.relation import Relation, Stream
from engine.relation import Rules, related_matrices, related_rows
from engine.targets import QueryClass

PRECISIONS = pytest.mark.parametrize("precision", ["f32", "f64"])


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    """Sums of float32 numbers by one thread come in another order; the numbers were recorded and met with more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


ENGINES = pytest.mark.parametrize("engine", ["stream", "record"])


@pytest.mark.parametrize("engine", ["stream", "record"])
@pytest.mark.parametrize("precision", ["f32", "f64"])
class TestViT:
    def targets(self):
        targets = case("vit_model")[1]["input/targets"]
        return [(t, targets[:, t]) for t in range(targets.shape[1])]

    def test_vit_gae(self, precision, engine):
        model, images = vit(precision)
        for t, target in self.targets():
            result = explain(model, images, target=target, engine=engine).relevancy["image"]
            assert_close(result, case("vit_model")[1][f"{precision}/gae"][:, t], TOLERANCE[precision])

    def test_vit_grad_cam(self, precision, engine):
        model, images = vit(precision)
        bound = tolerance("vit_model", "attn_gradcam", precision)
        for t, target in self.targets():
            result = explain(model, images, target=target, method="grad_cam", engine=engine).relevancy["image"]
            assert_close(result, tensors("vit_model")[f"{precision}/attn_gradcam"][:, t], bound)

    @pytest.mark.parametrize(
        ("method", "key", "start"),
        [("rollout", "rollout_start0", 0), ("rollout", "rollout_start1", 1), ("raw_attention", "raw_attn", 0)],
    )
    def test_vit_class_agnostic(self, precision, engine, method, key, start):
        model, images = vit(precision)
        result = explain(model, images, method=method, start_layer=start, engine=engine).relevancy["image"]
        assert_close(result, case("vit_model")[1][f"{precision}/{key}"], TOLERANCE[precision])


@pytest.mark.parametrize("precision", ["f32", "f64"])
def test_vit_full_matrix(precision):
    model, images = vit(precision)
    for t, target in TestViT().targets():
        matrix = explain(model, images, target=target, keep_matrices=True).matrices["image", "image"]
        assert_close(matrix, case("vit_model")[1][f"{precision}/gae_full_R"][:, t], TOLERANCE[precision])


def test_vit_grad_cam_before_min_max():
    from engine.methods import GradCAM

    model, images = vit("f64")
    for t, target in TestViT().targets():
        result = explain(model, images, target=target, method=GradCAM(minmax=False)).relevancy["image"]
        assert_close(result, case("vit_model")[1]["f64/attn_gradcam_unnormalised"][:, t], TOLERANCE["f64"])


@pytest.mark.parametrize("start", ["last", "all", "from1"])
@pytest.mark.parametrize("engine", ["stream", "record"])
@pytest.mark.parametrize("precision", ["f32", "f64"])
@pytest.mark.parametrize("library", ["open_clip", "transformers"])
def test_clip_gae(library, precision, engine, start):
    golden = tensors("clip_model")
    layer = {"last": -1, "all": 0, "from1": 1}[start]
    result = explain(clip(library, precision), pairs(precision), engine=engine, start_layer=layer)
    bound = TOLERANCE[precision]
    assert_close(result.relevancy["image"], golden[f"{precision}/image_{start}"].flatten(0, 1), bound)
    assert_close(result.logits, golden[f"{precision}/logits_per_image"].flatten(), bound)
    full = golden[f"{precision}/text_{start}"].flatten(0, 1)
    ends = pairs(precision)["text"].argmax(dim=1)
    for row, matrix, end in zip(result.relevancy["text"], full, ends, strict=True):
        assert_close(row[1:end], matrix[end, 1:end], bound)
        assert row[0] == 0
        assert (row[end:] == 0).all()
    if f"{precision}/text_scores_{start}" in golden:
        scores = result.relevancy["text"] / result.relevancy["text"].sum(dim=1, keepdim=True)
        assert_close(scores, golden[f"{precision}/text_scores_{start}"].flatten(0, 1), bound)


@pytest.mark.parametrize("precision", ["f32", "f64"])
@pytest.mark.parametrize("library", ["open_clip", "transformers"])
def test_clip_text_matrix(library, precision):
    matrix = explain(clip(library, precision), pairs(precision), keep_matrices=True).matrices["text", "text"]
    assert_close(matrix, case("clip_model")[1][f"{precision}/text_all"].flatten(0, 1), TOLERANCE[precision])


def test_vit_rules_by_the_oracles():
    """The plain second writing reproduces the reference from stored A and dA, so it may judge the engine elsewhere."""
    golden = tensors("vit_rules")
    prefixes = sorted({key.split("/")[0] for key in golden})
    for prefix in prefixes:
        layers = sorted(int(k.split("/")[-1]) for k in golden if k.startswith(f"{prefix}/A/"))
        maps = [(squeezed(golden[f"{prefix}/A/{i}"]), squeezed(golden[f"{prefix}/dA/{i}"])) for i in layers]
        expected = {m: golden[f"{prefix}/expected/{m}"].numpy() for m in ("gae", "rollout_start0", "raw_attn")}
        np.testing.assert_allclose(oracles.gae_matrix(maps)[0, 1:], expected["gae"], rtol=0, atol=1e-12)
        rollout = oracles.rollout_matrix([a for a, _ in maps])[0, 1:]
        np.testing.assert_allclose(rollout, expected["rollout_start0"], rtol=0, atol=1e-12)
        np.testing.assert_allclose(maps[-1][0].mean(axis=0)[0, 1:], expected["raw_attn"], rtol=0, atol=1e-12)
        start = np.eye(maps[0][0].shape[-1])[0]
        cam = oracles.grad_cam_row(*maps[-1], start, start == 0)[1:]
        np.testing.assert_allclose(cam, golden[f"{prefix}/expected/attn_gradcam"].numpy(), rtol=0, atol=1e-9)


def squeezed(tensor):
    return tensor.numpy().reshape(tensor.shape[-3:])


def test_clip_rules_by_the_oracles():
    golden = tensors("clip_rules")
    towers = {"image": 0, "text": 0}
    for name in towers:
        towers[name] = 1 + max(int(k.rsplit("_", 1)[1]) for k in golden if k.startswith(f"A/{name}_"))
    for j in range(len(golden["input/texts"])):
        for name, depth in towers.items():
            maps = [(golden[f"A/{name}_{i}"][j].numpy(), golden[f"dA/{name}_{i}"][j].numpy()) for i in range(depth)]
            for start, first in (("all", 0), ("from1", 1), ("last", depth - 1)):
                matrix = oracles.gae_matrix(maps[first:])
                expected = golden[f"expected/{name}_{start}"][j].numpy()
                result = matrix[0, 1:] if name == "image" else matrix
                np.testing.assert_allclose(result, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


ABLATIONS = {
    "ours": GAE(),
    "ours_nonorm": GAE(normalize=False),
    "ours_noself10": GAE(self_in_rule_10=False),
    "ours_nonorm_noself10": GAE(normalize=False, self_in_rule_10=False),
    "no_aggregation": GAE(normalize=False, aggregate=False),
}
OTHERS = {"attn_gradcam": "grad_cam", "raw_attn": "raw_attention", "rollout": "rollout"}
LXMERT_PAIRS = {
    "R_t_t": ("text", "text"),
    "R_t_i": ("text", "image"),
    "R_i_i": ("image", "image"),
    "R_i_t": ("image", "text"),
}


@PRECISIONS
@pytest.mark.parametrize("method", [*ABLATIONS, *OTHERS])
def test_lxmert(method, precision):
    bound = tolerance("lxmert_model", method, precision)
    chosen = {**ABLATIONS, **OTHERS}[method]
    for sample, column, answer in explained("lxmert_model"):
        inputs = question("lxmert_model", sample, precision)
        whole = explain(lxmert(precision), inputs, target=answer, method=chosen, keep_matrices=True)
        rows = explain(lxmert(precision), inputs, target=answer, method=chosen, engine="stream")
        judge = truth("lxmert_model", method, precision)
        for name, expected in stored("lxmert_model", judge, method, sample, column).items():
            assert_close(whole.matrices[LXMERT_PAIRS[name]][0], expected, bound)
            if name == "R_t_i":
                assert_close(rows.relevancy["image"][0], expected[0], bound)
            if name == "R_t_t":
                assert_close(rows.relevancy["text"][0, 1:-1], expected[0, 1:-1], bound)
        assert_close(rows.logits[0], tensors("lxmert_model")[f"{precision}/logits"][sample], TOLERANCE[precision])


@PRECISIONS
@ENGINES
@pytest.mark.parametrize("method", [*ABLATIONS, *OTHERS])
def test_detr(method, engine, precision):
    golden = tensors("detr_model")
    bound = tolerance("detr_model", method, precision)
    images = golden["input/pixel_values"].to(golden[f"{precision}/logits"].dtype)
    for k in range(golden["input/target_query"].shape[1]):
        target = QueryClass(golden["input/target_query"][:, k], golden["input/target_class"][:, k])
        chosen = {**ABLATIONS, **OTHERS}[method]
        result = explain(detr(precision), images, target=target, method=chosen, engine=engine)
        expected = golden[f"{precision}/{method}"]
        assert_close(result.relevancy["image"], expected[:, k] if expected.dim() == 3 else expected, bound)


@PRECISIONS
def test_detr_full_matrices(precision):
    golden = tensors("detr_model")
    images = golden["input/pixel_values"].to(golden[f"{precision}/logits"].dtype)
    names = {
        "ours_R_q_i_full": ("queries", "image"),
        "ours_R_q_q_full": ("queries", "queries"),
        "ours_R_i_i_full": ("image", "image"),
    }
    for k in range(golden["input/target_query"].shape[1]):
        target = QueryClass(golden["input/target_query"][:, k], golden["input/target_class"][:, k])
        matrices = explain(detr(precision), images, target=target, keep_matrices=True).matrices
        for name, pair in names.items():
            assert_close(matrices[pair], golden[f"{precision}/{name}"][:, k], TOLERANCE[precision])


@PRECISIONS
@pytest.mark.parametrize("head", ["hf", "mmf"])
@pytest.mark.parametrize("method", ["ours", *OTHERS])
def test_visual_bert(method, head, precision):
    name = f"visualbert_model_{head}_head"
    bound = tolerance(name, method, precision)
    chosen = {"ours": "gae", **OTHERS}[method]
    for sample, column, answer in explained(name):
        inputs = question(name, sample, precision)
        (expected,) = stored(name, precision, method, sample, column).values()
        texts = inputs["input_ids"].shape[1]
        read = texts - 2
        whole = explain(visual_bert(head, precision), inputs, target=answer, method=chosen, keep_matrices=True)
        row = whole.matrices["joint", "joint"][0, read].clone()
        row[read] = 0
        assert_close(row, expected, bound)
        rows = explain(visual_bert(head, precision), inputs, target=answer, method=chosen, engine="stream")
        result = torch.cat([rows.relevancy["text"][0, 1:read], rows.relevancy["image"][0]])
        assert_close(result, torch.cat([expected[1:read], expected[texts:]]), bound)
        assert rows.relevancy["text"][0, read] == 0


def maps_of(golden, prefix, kind):
    start = f"{prefix}/{kind}/"
    return {k.removeprefix(start): v.numpy() for k, v in golden.items() if k.startswith(start)}


def by_the_oracle(method, a, da, lrp, layers, family):
    """One method on the maps of one sample, by its plain second writing."""
    gae = {"lxmert": oracles.lxmert_gae, "detr": oracles.detr_gae}[family]
    if method.startswith("ours") or method == "no_aggregation":
        factor = "plain" if "nonorm" in method or method == "no_aggregation" else "authors"
        use = lrp if method.startswith("ours_lrp") else a
        result = gae(use, da, layers, factor, "noself10" not in method, method != "no_aggregation")
        return result
    if family == "lxmert":
        if method == "rollout":
            return oracles.lxmert_rollout(a, layers)
        if method == "transformer_attr":
            return oracles.lxmert_transformer_attribution(lrp, da, layers)
        return oracles.lxmert_last(lrp if method == "partial_lrp" else a, da, layers, method)
    cross = f"dec_cross_{layers[1] - 1}"
    return {
        "R_q_i": {
            "rollout": lambda: oracles.detr_rollout(a, layers),
            "raw_attn": lambda: a[cross].mean(axis=0),
            "attn_gradcam": lambda: oracles.grad_cam_map(a[cross], da[cross]),
            "partial_lrp": lambda: oracles.min_max(lrp[cross].mean(axis=0)),
            "transformer_attr": lambda: oracles.abar(lrp[cross], da[cross]),
        }[method]()
    }


def check_rules(golden, prefix, layers, family):
    """Compare all methods stored for one prefix; returns how many tensors were compared."""
    a, da, lrp = (maps_of(golden, prefix, kind) for kind in ("A", "dA", "lrp_cam"))
    start = f"{prefix}/expected/"
    compared = 0
    for key in (k for k in golden if k.startswith(start)):
        method, _, name = key.removeprefix(start).partition("/")
        whole = method.removesuffix("_full")
        if family == "detr":
            method, _, stream_pair = whole.partition("_R_")
            name = f"R_{stream_pair or 'q_i'}"
        result = torch.from_numpy(np.ascontiguousarray(by_the_oracle(method, a, da, lrp, layers, family)[name]))
        if family == "detr" and key.count("_full") == 0:
            result = result[int(golden[f"{prefix}/target_query"])]
        assert_close(result, golden[key], 1e-9)
        compared += 1
    return compared


def test_lxmert_rules_by_the_oracles():
    meta, golden = case("lxmert_rules")
    layers = tuple(meta["layers"][k] for k in "lrx")
    for prefix in sorted({k.split("/")[0] for k in golden}):
        assert check_rules(golden, prefix, layers, "lxmert") > 10


def test_detr_rules_by_the_oracles():
    meta, golden = case("detr_rules")
    for prefix in sorted({k.split("/")[0] for k in golden}):
        assert check_rules(golden, prefix, (meta["enc"], meta["dec"]), "detr") > 10


def test_visual_bert_rules_by_the_oracles():
    meta, golden = case("visualbert_rules")
    for prefix in sorted({k.split("/")[0] for k in golden}):
        a, da, lrp = (maps_of(golden, prefix, kind) for kind in ("A", "dA", "lrp_cam"))
        order = [str(i) for i in range(meta["layers"])]
        last, read = order[-1], int(golden[f"{prefix}/text_len"]) - 2
        results = {
            "ours": oracles.gae_matrix([(a[i], da[i]) for i in order]),
            "transformer_attr": oracles.transformer_product([(lrp[i], da[i]) for i in order]),
            "partial_lrp": oracles.min_max(lrp[last].mean(axis=0)),
            "attn_gradcam": oracles.min_max(oracles.grad_cam_map(a[last], da[last])),
            "raw_attn": a[last].mean(axis=0),
            "rollout": oracles.plain_rollout([a[i] for i in order]),
        }
        for method, matrix in results.items():
            row = torch.from_numpy(matrix[read].copy())
            row[read] = 0
            assert_close(row, golden[f"{prefix}/expected/{method}"], 1e-9)


def edge_cases():
    meta = case("edge_rules")[0]
    return sorted(meta["subcases"])


@pytest.mark.parametrize("name", edge_cases())
def test_edge_rules(name):
    """0/0 in eq. 8-9: the engine's rules on the authors' synthetic maps, NaN positions included."""
    meta, golden = case("edge_rules")
    a, da = maps_of(golden, name, "A"), maps_of(golden, name, "dA")
    family = name.partition("_")[0]
    layers = edge_layers(a, family)
    assert check_rules(golden, name, layers, family) > 0
    relation, sites = edge_relation(a, layers, family)
    averages = {sites[k]: torch.from_numpy(oracles.abar(a[k], da[k]))[None] for k in a if k in sites}
    result = related_matrices(relation, averages, Rules())
    if family == "detr":
        query = int(golden[f"{name}/target_query"])
        row = torch.zeros(1, relation.streams["queries"].content.shape[1], dtype=torch.float64)
        row[0, query] = 1
        chains = related_rows(relation, row, averages, Rules())
        assert_close(result.values["queries", "image"][0], golden[f"{name}/expected/ours_R_q_i_full"], TOLERANCE["f64"])
        assert_close(chains.values["queries", "image"][0], golden[f"{name}/expected/ours"], TOLERANCE["f64"])
        assert torch.equal(chains.zero_rows > 0, result.zero_rows > 0)
    elif "ours" not in meta["observed"]["raises"].get(name, []):
        for key, pair in (("R_t_t", ("text", "text")), ("R_t_i", ("text", "image"))):
            value = result.values[pair][0]
            if key == "R_t_t":
                value[0, 0] = 0
            assert_close(value, golden[f"{name}/expected/ours/{key}"], TOLERANCE["f64"])
    assert bool(result.zero_rows) == ("control" not in name)
    kept = related_matrices(relation, averages, Rules(on_zero_row="identity"))
    assert all(bool(value.isfinite().all()) for value in kept.values.values())
    gae = {"lxmert": oracles.lxmert_gae, "detr": oracles.detr_gae}[family](a, da, layers, "identity")
    pair, key = (("queries", "image"), "R_q_i") if family == "detr" else (("text", "image"), "R_t_i")
    assert_close(kept.values[pair][0], torch.from_numpy(gae[key]), TOLERANCE["f64"])
    assert kept.values[pair].abs().max() > 0


def edge_layers(a, family):
    kinds = ("enc", "dec_cross") if family == "detr" else ("lang", "img", "x{}_self_t")
    count = {}
    for kind in kinds:
        names = [kind.format(i) if "{}" in kind else f"{kind}_{i}" for i in range(99)]
        count[kind] = sum(name in a for name in names)
    return tuple(count.values())


def edge_relation(a, layers, family):
    """The adapter's own steps for a model of these depths, and golden map name -> site."""
    if family == "detr":
        config = SimpleNamespace(encoder_layers=layers[0], decoder_layers=layers[1])
        steps = Detr().steps(SimpleNamespace(config=config))
        order = [f"enc_{i}" for i in range(layers[0])]
        order += [f"dec_{kind}_{i}" for i in range(layers[1]) for kind in ("self", "cross")]
        names, sizes = ("image", "queries"), a["dec_cross_0"].shape[:0:-1]
        read, nan_is_zero = "queries", True
    else:
        config = SimpleNamespace(l_layers=layers[0], r_layers=layers[1], x_layers=layers[2])
        steps = Lxmert().steps(SimpleNamespace(config=config))
        order = [f"lang_{i}" for i in range(layers[0])] + [f"img_{i}" for i in range(layers[1])]
        for i in range(layers[2]):
            kinds = ("cross_t_from_i", "cross_i_from_t", "self_t", "self_i")
            order += [f"x{i}_{kind}" for kind in (kinds if i < layers[2] - 1 else kinds[::2])]
        names, sizes = ("text", "image"), a["x0_cross_t_from_i"].shape[1:]
        read, nan_is_zero = "text", False
    streams = {}
    for name, size in zip(names, sizes, strict=True):
        everything = torch.ones(1, size, dtype=torch.bool)
        streams[name] = Stream(name, content=everything, valid=everything)
    relation = Relation(streams, steps, read, None, mutual=family == "lxmert", nan_is_zero=nan_is_zero)
    return relation, dict(zip(order, [step.site for step in relation], strict=True))
