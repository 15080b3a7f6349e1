"""Stream equals record, a batch equals its samples, and both equal the plain writing, for every family."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
import torch
import zoo

from engine import explain, explain_targets
from engine.capture import kernel
from engine.methods import METHODS
from engine.targets import Class, ClipScore, Contrast, Predicted


def peak_error(actual, expected):
    assert torch.equal(actual.isnan(), expected.isnan())
    scale = expected.nan_to_num().abs().max().clamp(min=1e-30)
    return float((actual - expected).nan_to_num().abs().max() / scale)


BOTH = [name for name, method in METHODS.items() if {"stream", "record"} <= set(method.engines)]


@pytest.mark.parametrize("method", BOTH)
@pytest.mark.parametrize("name", zoo.ALL)
def test_stream_equals_record_and_batch_equals_samples(name, method):
    model, data = zoo.build(name).double(), zoo.inputs(name)
    stream = explain(model, data, method=method, engine="stream")
    record = explain(model, data, method=method, engine="record")
    single = [explain(model, zoo.take(data, slice(i, i + 1)), method=method) for i in range(3)]
    for modality, relevancy in stream.relevancy.items():
        if method != "grad_cam":  # often zero everywhere on random weights; judged on other models below
            assert relevancy.abs().max() > 0, "a map of zeros would make this test empty"
        assert peak_error(relevancy, record.relevancy[modality]) < 1e-9
        assert peak_error(relevancy, torch.cat([s.relevancy[modality] for s in single])) < 1e-9
        assert peak_error(stream.features[modality], record.features[modality]) < 1e-9


@pytest.mark.parametrize("start_layer", [1, 2, -1])
@pytest.mark.parametrize("name", ["vit_cls", "vit_map_pool", "dinov2_registers_avg", "hf_siglip"])
def test_start_layer_agrees_between_engines(name, start_layer):
    model, data = zoo.build(name), zoo.inputs(name)
    if start_layer == 2 and name == "hf_siglip":
        start_layer = 1  # its text tower has two layers
    stream = explain(model, data, start_layer=start_layer, engine="stream")
    record = explain(model, data, start_layer=start_layer, engine="record")
    full = explain(model, data, start_layer=0)
    for modality in stream.relevancy:
        assert peak_error(stream.relevancy[modality], record.relevancy[modality]) < 1e-5
        assert peak_error(stream.relevancy[modality], full.relevancy[modality]) > 1e-3


@pytest.mark.parametrize("block", [64, 700, 1 << 20])
def test_blocks_of_any_size_give_the_same(block, monkeypatch):
    model, data = zoo.build("open_clip").double(), zoo.inputs("open_clip")
    expected = explain(model, data, engine="record")
    monkeypatch.setattr(kernel, "BLOCK_ELEMENTS", block)
    for method in ("gae", "rollout", "grad_cam"):
        expected = explain(model, data, method=method, engine="record")
        actual = explain(model, data, method=method, engine="stream")
        for modality in actual.relevancy:
            assert peak_error(actual.relevancy[modality], expected.relevancy[modality]) < 1e-12


def recorded_maps(model, images, target):
    """A and dA by autograd through timm's own unfused attention: nothing of the engine takes part."""
    maps = []
    for block in model.blocks:
        block.attn.fused_attn = False
        block.attn.attn_drop.register_forward_hook(lambda m, i, out: maps.append(out))
    logits = model(images)
    gradients = torch.autograd.grad(logits[:, target].sum(), maps)
    return [(a.detach().numpy(), g.numpy()) for a, g in zip(maps, gradients, strict=True)]


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("vit_cls", lambda n: np.eye(n)[0]),
        ("vit_avg", lambda n: np.full(n, 1 / n)),
        ("dinov2_registers", lambda n: np.eye(n)[0]),
        ("dinov2_registers_avg", lambda n: np.r_[np.zeros(5), np.full(n - 5, 1 / (n - 5))]),
        ("deit_distilled", lambda n: (np.eye(n)[0] + np.eye(n)[1]) / 2),
    ],
)
def test_classifiers_against_the_plain_writing(name, start):
    model, images = zoo.build(name).double(), zoo.inputs(name).double()
    results = {m: explain(model, images, target=2, method=m).relevancy["image"].numpy() for m in BOTH}
    maps = recorded_maps(model, images, 2)
    for b in range(len(images)):
        sample = [(a[b], g[b]) for a, g in maps]
        tokens = sample[0][0].shape[-1]
        row, shown = start(tokens), slice(tokens - 16, None)
        moved = row @ oracles.gae_matrix(sample) - row
        np.testing.assert_allclose(results["gae"][b], moved[shown], rtol=1e-9, atol=1e-14)
        rolled = row @ oracles.rollout_matrix([a for a, _ in sample])
        np.testing.assert_allclose(results["rollout"][b], rolled[shown], rtol=1e-9, atol=1e-14)
        np.testing.assert_allclose(results["raw_attention"][b], (row @ sample[-1][0].mean(0))[shown], rtol=1e-9)
        mask = np.arange(tokens) >= tokens - 16
        cam = oracles.grad_cam_row(*sample[-1], row, mask)
        np.testing.assert_allclose(results["grad_cam"][b], cam[shown], rtol=1e-7, atol=1e-12)


def test_attention_pool_against_the_plain_writing():
    model, images = zoo.build("vit_map_pool").double(), zoo.inputs("vit_map_pool").double()
    result = explain(model, images, target=1).relevancy["image"].numpy()
    pool_maps, pool = [], model.attn_pool

    def written_out(x):
        q = pool.q(pool.latent.expand(len(x), -1, -1)).reshape(len(x), 1, pool.num_heads, -1).transpose(1, 2)
        k, v = pool.kv(x).reshape(len(x), x.shape[1], 2, pool.num_heads, -1).permute(2, 0, 3, 1, 4)
        a = (q @ k.transpose(-2, -1) * pool.scale).softmax(-1)
        pool_maps.append(a)
        x = pool.proj((a @ v).transpose(1, 2).reshape(len(x), 1, -1))
        return (x + pool.mlp(pool.norm(x)))[:, 0]

    maps = []
    for block in model.blocks:
        block.attn.fused_attn = False
        block.attn.attn_drop.register_forward_hook(lambda m, i, out: maps.append(out))
    pool.forward = written_out
    score = model(images)[:, 1].sum()
    gradients = torch.autograd.grad(score, [*maps, *pool_maps])
    for b in range(len(images)):
        sample = [(a[b].detach().numpy(), g[b].numpy()) for a, g in zip(maps, gradients, strict=False)]
        pooled = oracles.abar(pool_maps[0][b].detach().numpy(), gradients[-1][b].numpy())[0]
        full = np.r_[np.zeros(len(sample[0][0][0]) - len(pooled)), pooled]
        np.testing.assert_allclose(result[b], (full @ oracles.gae_matrix(sample))[-16:], rtol=1e-9, atol=1e-14)


def test_kernel_against_the_plain_writing():
    torch.manual_seed(0)
    q, k, v, d_out = (torch.randn(1, 2, 5, 3, dtype=torch.float64) for _ in range(4))
    bias = torch.full((5, 5), float("-inf"), dtype=torch.float64).triu_(1)[None, None]
    seen = []
    operands = kernel.AttentionOperands(q, k, v, 0.7, bias)
    dq, dk, dv = kernel.fold_backward(operands, d_out, lambda s, b: seen.append((b.attention, b.gradient)), True)
    for head in range(2):
        _, a = oracles.attention_output(
            q[0, head].numpy(), k[0, head].numpy(), v[0, head].numpy(), 0.7, bias[0, 0].numpy()
        )
        np.testing.assert_allclose(seen[0][0][0, head], a, atol=1e-12)
        np.testing.assert_allclose(
            seen[0][1][0, head], oracles.attention_map_gradient(d_out[0, head].numpy(), v[0, head].numpy()), atol=1e-12
        )
    leaves = [t.clone().requires_grad_() for t in (q, k, v)]
    weights = (0.7 * leaves[0] @ leaves[1].transpose(-2, -1) + bias).softmax(-1)
    expected = torch.autograd.grad(weights @ leaves[2], leaves, d_out)
    for actual, wanted in zip((dq, dk, dv), expected, strict=True):
        torch.testing.assert_close(actual, wanted)


def test_several_targets_share_a_forward_and_stay_apart():
    model, images = zoo.build("vit_cls"), zoo.inputs("vit_cls")
    calls = []
    handle = model.register_forward_hook(lambda *_: calls.append(1))
    together = explain_targets(model, images, [Predicted(), Class(3), Contrast(0, 1)])
    handle.remove()
    assert len(calls) == 1
    for explanation, target in zip(together, [Predicted(), Class(3), Contrast(0, 1)], strict=True):
        alone = explain(model, images, target=target)
        assert peak_error(explanation.relevancy["image"], alone.relevancy["image"]) == 0
        torch.testing.assert_close(explanation.score, alone.score)


def test_clip_score_gradient_is_the_score_itself():
    """Relevancies of CLIPScore are those of the logit times 2.5 / temperature while one layer multiplies."""
    model, data = zoo.build("hf_clip").double(), zoo.inputs("hf_clip", seed=3)
    logit = explain(model, data, target="clip-logit", start_layer=-1)
    score = explain(model, data, target=ClipScore(), start_layer=-1)
    positive = logit.cosine > 0
    assert positive.any()
    factor = 2.5 / model.logit_scale.exp()
    torch.testing.assert_close(score.score, 2.5 * logit.cosine.clamp(min=0))
    for modality in ("image", "text"):
        torch.testing.assert_close(
            score.relevancy[modality][positive], (factor * logit.relevancy[modality])[positive], rtol=1e-9, atol=1e-15
        )
        assert (score.relevancy[modality][~positive] == 0).all()


def test_causal_text_gives_nothing_to_later_and_padding_tokens():
    model, data = zoo.build("open_clip"), zoo.inputs("open_clip")
    relevancy = explain(model, data).relevancy["text"]
    ends = data["text"].argmax(dim=1)
    for row, end in zip(relevancy, ends, strict=True):
        assert (row[end:] == 0).all()
        assert (row[1:end] > 0).any()


def test_bf16_ranks_patches_like_fp32():
    from engine.models import find_adapter
    from engine.models.loading import LoadedModel

    model, images = zoo.build("vit_cls"), zoo.inputs("vit_cls")
    loaded = LoadedModel(model, "tiny", find_adapter(model), None, None, None, "bf16")
    half = explain(loaded, images, target=1).relevancy["image"]
    full = explain(model, images, target=1).relevancy["image"]
    assert half.dtype == torch.float32
    ranks = [
        torch.stack([a.argsort().argsort(), b.argsort().argsort()]).double() for a, b in zip(half, full, strict=True)
    ]
    assert min(float(torch.corrcoef(r)[0, 1]) for r in ranks) > 0.9
    assert not torch.equal(half, full)


@pytest.mark.parametrize("name", sorted(zoo.ALL.keys() - zoo.RELATED.keys()))
def test_the_starting_row_is_where_the_model_reads(name):
    """The score's gradient at the last block is zero exactly on the tokens that the starting row leaves out."""
    from engine.models import find_adapter

    model, data = zoo.build(name).double().eval(), zoo.inputs(name)
    adapter = find_adapter(model)
    batch = adapter.prepare(model, data, None)
    for tower in adapter.towers(model, batch):
        states = []
        handle = model.get_submodule(tower.states).register_forward_hook(
            lambda m, i, out, states=states: states.append(out[0] if isinstance(out, tuple) else out)
        )
        logits = adapter.forward(model, batch).logits
        handle.remove()
        gradient = torch.autograd.grad(logits.sum(), states[-1])[0].abs().sum(dim=-1).flatten(1)
        if len(gradient) != len(tower.content):  # sequence first
            gradient = gradient.T
        reads = tower.start > 0
        if tower.pool is not None:  # the pool reads all tokens from its offset on
            reads = (torch.arange(tower.tokens) >= tower.pool_offset).expand(len(gradient), -1)
        assert torch.equal(gradient > 0, reads)
        assert torch.allclose(tower.start.sum(dim=1), tower.start.new_ones(len(gradient)))
