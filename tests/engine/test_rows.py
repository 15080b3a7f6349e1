"""The gradient goes through the tokens that are read out alone: cheaper, and the same."""

from __future__ import annotations

import threading

import pytest
import torch
import zoo
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from engine import explain
from engine.capture.rows import MOST, gradient_through, read_rows
from engine.models.tails import token_wise

FEW = [
    "vit_cls", "dinov2_registers", "deit_distilled", "eva02_rope_cls", "deit3", "hf_vit", "hf_vit_msn",
    "hf_deit_distilled", "hf_beit_cls_shared_bias", "open_clip", "hf_clip", "hf_metaclip2",
]  # fmt: skip
MANY = ["vit_avg", "beit", "hf_dinov2", "siglip_so400m"]


def flops(name: str, engine: str) -> int:
    """Floating-point operations of an explanation, as far as torch's counter knows them."""
    model, inputs = zoo.build(name), zoo.inputs(name)
    with FlopCounterMode(display=False) as counter:
        explain(model, inputs, engine=engine)
    return int(counter.get_total_flops())


@pytest.mark.parametrize("name", FEW)
def test_the_streamed_gradient_skips_what_no_answer_needs(name: str) -> None:
    model = zoo.build(name)
    assert sum(len(chain) for path in last_blocks(name) for chain in token_wise(model.get_submodule(path))) >= 2
    assert flops(name, "stream") < 0.97 * flops(name, "record")


def last_blocks(name: str) -> list[str]:
    from engine.models import find_adapter

    model = zoo.build(name)
    adapter = find_adapter(model)
    return [tower.states for tower in adapter.towers(model, adapter.prepare(model, zoo.inputs(name), None))]


@pytest.mark.parametrize("name", [*FEW, *MANY])
def test_relevancies_features_and_patches_are_those_of_all_tokens(name: str) -> None:
    model, inputs = zoo.build(name), zoo.inputs(name)
    few, whole = (explain(model, inputs, engine=engine, patches=3) for engine in ("stream", "record"))
    for modality, relevancy in whole.relevancy.items():
        torch.testing.assert_close(few.relevancy[modality], relevancy, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(few.features[modality], whole.features[modality], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [*FEW, *MANY])
@pytest.mark.parametrize("patches", [0, 3])
def test_without_features_relevancies_and_patches_are_the_same(name: str, patches: int) -> None:
    model, inputs = zoo.build(name), zoo.inputs(name)
    few = explain(model, inputs, engine="stream", patches=patches, features=False)
    whole = explain(model, inputs, engine="record", patches=patches)
    assert few.features == {} and whole.features
    torch.testing.assert_close(few.logits, whole.logits, rtol=1e-5, atol=1e-5)
    for modality, relevancy in whole.relevancy.items():
        torch.testing.assert_close(few.relevancy[modality], relevancy, rtol=1e-4, atol=1e-6)
    if whole.patches is not None:
        assert few.patches is not None
        torch.testing.assert_close(few.patches.states, whole.patches.states, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", FEW)
def test_without_features_the_last_block_treats_few_tokens(name: str) -> None:
    model, inputs = zoo.build(name), zoo.inputs(name)
    counts = []
    for features in (True, False):
        with FlopCounterMode(display=False) as counter:
            explain(model, inputs, engine="stream", features=features)
        counts.append(counter.get_total_flops())
    assert counts[1] < 0.97 * counts[0]


def chain() -> list[nn.Module]:
    torch.manual_seed(0)
    return [nn.LayerNorm(6), nn.Sequential(nn.Linear(6, 12), nn.GELU(), nn.Linear(12, 6))]


@pytest.mark.parametrize("rows", [[[0], [0]], [[2], [4]], [[0, 1], [4, 3]]])
def test_output_and_gradient_are_those_of_the_plain_writing(rows: list[list[int]]) -> None:
    modules, index = chain(), torch.tensor(rows)
    given = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(1))
    for module in modules:
        module.requires_grad_(False)

    def run() -> tuple[Tensor, Tensor]:
        tokens = given.clone().requires_grad_()
        out = tokens + modules[1](modules[0](tokens))
        read = out[0, rows[0]].tanh().sum() + out[1, rows[1][0]].tanh().sum()  # of the second sample one alone
        return out.detach(), torch.autograd.grad(read, tokens)[0]

    out, gradient = run()
    with gradient_through([modules], index):
        same, few = run()
    assert torch.equal(out, same)
    torch.testing.assert_close(few, gradient)
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in modules)


def test_hooks_are_gone_after_an_error() -> None:
    modules = chain()
    with pytest.raises(RuntimeError), gradient_through([modules], torch.tensor([[0]])):
        modules[0](torch.randn(1, 5, 7, requires_grad=True))
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in modules)


def test_other_threads_keep_their_graph() -> None:
    modules, found = chain(), []

    def other() -> None:
        tokens = torch.randn(1, 5, 6, requires_grad=True)
        found.append(torch.autograd.grad(modules[1](modules[0](tokens)).sum(), tokens)[0])

    with gradient_through([modules], torch.tensor([[0]])):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert bool((found[0][0].abs().sum(dim=1) > 0).all())


def test_which_tokens_are_read() -> None:
    start = torch.zeros(2, 20)
    start[0, 3] = start[1, 0] = start[1, 5] = 0.5
    rows = read_rows(start)
    assert rows is not None and rows.shape == (2, 2)
    assert 3 in rows[0] and set(rows[1].tolist()) == {0, 5}
    assert read_rows(torch.ones(2, 20)) is None and read_rows(torch.ones(2, MOST)) is None
    assert read_rows(torch.zeros(2, 20)) is None


def test_blocks_that_are_not_known_are_left_alone() -> None:
    class Mine(Block):
        """Who knows what it does."""

    assert len(token_wise(Block(dim=6, num_heads=2))) == 2
    assert token_wise(Mine(dim=6, num_heads=2)) == [] and token_wise(nn.Linear(2, 2)) == []
    convolved = Block(dim=6, num_heads=2)
    convolved.mlp.fc1 = nn.Conv2d(6, 6, 1)
    assert len(token_wise(convolved)) == 1
