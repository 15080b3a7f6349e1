"""The states of the most relevant image tokens: against a plain writing, in both engines, on every family."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
import torch
import zoo
import zoo_streams
from timm.models.vision_transformer import VisionTransformer
from untouched import assert_same, snapshot

from engine import EngineError, explain, explain_detections, explain_targets
from engine.methods import METHODS
from engine.models import find_adapter
from engine.models.adapter import middle_block
from engine.models.windows import Windows, WindowTower
from engine.patches import top_patches

SEEING = sorted(zoo.ALL.keys() - zoo.TEXTS.keys())
REGIONS = ["visual_bert", "lxmert"]
WANTED = 5


def assert_alike(actual, expected, rows=slice(None)):
    """Equal where they count; ``expected`` may have fewer places, its sample less padding."""
    width = expected.tokens.shape[1]
    valid = actual.valid[rows]
    assert torch.equal(valid[:, :width], expected.valid) and not valid[:, width:].any()
    assert torch.equal(actual.tokens[rows][valid], expected.tokens[expected.valid])
    torch.testing.assert_close(actual.states[rows][valid], expected.states[expected.valid], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(actual.rest[rows], expected.rest, rtol=1e-9, atol=1e-12)


def hooked(model, path, run):
    """What the module at ``path`` returns first while ``run`` runs, and what that returns."""
    seen = []
    handle = model.get_submodule(path).register_forward_hook(
        lambda m, i, out: seen.append((out[0] if isinstance(out, tuple) else out).detach())
    )
    result = run()
    handle.remove()
    return seen[0], result


@pytest.mark.parametrize("seed", range(6))
def test_against_the_plain_writing(seed):
    rng = np.random.default_rng(seed)
    batch, tokens, count = 4, int(rng.integers(1, 12)), int(rng.integers(1, 9))
    relevancy = rng.integers(-3, 4, size=(batch, tokens)).astype(float)  # many ties
    shown = rng.random((batch, tokens)) < 0.6
    shown[0], shown[1], shown[1, 0] = True, False, True
    shown[2] = False
    states = rng.normal(size=(batch, tokens, 3))
    found = top_patches(*(torch.from_numpy(x) for x in (relevancy, shown, states)), count)
    assert found.tokens.shape == (batch, min(count, tokens)) and found.tokens.dtype == torch.int64
    for b in range(batch):
        order, picked, rest = oracles.top_patches(relevancy[b], shown[b], states[b], count)
        valid = found.valid[b]
        assert found.tokens[b][valid].tolist() == order and found.states[b][~valid].abs().sum() == 0
        np.testing.assert_allclose(found.states[b][valid].numpy(), picked.reshape(-1, 3))
        np.testing.assert_allclose(found.rest[b].numpy(), rest, atol=1e-15)


def test_nan_ranks_last_and_half_precision_becomes_float32():
    relevancy, shown = torch.tensor([[float("nan"), -2.0, 1.0]]), torch.ones(1, 3, dtype=torch.bool)
    found = top_patches(relevancy, shown, torch.eye(3, dtype=torch.bfloat16)[None], 3)
    assert found.tokens.tolist() == [[2, 1, 0]] and found.valid.all()
    assert found.states.dtype == found.rest.dtype == torch.float32 and found.rest.tolist() == [[1.0, 0.0, 0.0]]


@pytest.mark.parametrize(("depth", "index"), [(1, 0), (2, 0), (3, 0), (4, 1), (12, 5), (24, 11)])
def test_half_of_the_blocks_have_run(depth, index):
    assert middle_block("blocks", depth) == f"blocks.{index}"


def test_the_states_are_those_after_the_middle_block():
    torch.manual_seed(0)
    model, images = VisionTransformer(**{**zoo.VIT, "depth": 4}).eval(), zoo.inputs("vit_cls")
    states, explanation = hooked(model, "blocks.1", lambda: explain(model, images, patches=WANTED))
    relevancy, found = explanation.relevancy["image"], explanation.patches
    for b in range(len(images)):
        order, picked, rest = oracles.top_patches(
            relevancy[b].numpy(), np.ones(16, bool), states[b, 1:].numpy(), WANTED
        )
        assert found.tokens[b].tolist() == order
        np.testing.assert_array_equal(found.states[b].numpy(), picked)
        np.testing.assert_allclose(found.rest[b].numpy(), rest, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", SEEING)
def test_every_family_that_sees_pictures(name):
    model, data = zoo.build(name).double(), zoo.inputs(name)
    before = snapshot(model)
    stream = explain(model, data, patches=WANTED)
    record = explain(model, data, engine="record", patches=WANTED)
    assert_same(model, before)
    assert_alike(stream.patches, record.patches)
    for i in range(3):
        assert_alike(stream.patches, explain(model, zoo.take(data, slice(i, i + 1)), patches=WANTED).patches, [i])
    found = stream.patches
    assert found.states.shape == (3, WANTED, 24) and found.rest.shape == (3, 24)
    assert found.states.isfinite().all() and found.rest.abs().sum(dim=1).all() and found.valid.all()
    strongest = stream.relevancy["image"].gather(1, found.tokens)
    assert torch.equal(strongest[:, 0], stream.relevancy["image"].amax(dim=1)) or "swin" in name
    if "swin" not in name:
        assert (strongest.diff(dim=1) <= 0).all()
    if stream.grids is not None:  # cells of padding lie outside every picture
        rows, columns = found.tokens // stream.grid[1], found.tokens % stream.grid[1]
        assert (rows < stream.grids[:, :1]).all() and (columns < stream.grids[:, 1:]).all()


@pytest.mark.parametrize("name", SEEING)
def test_states_come_from_the_block_that_the_tower_names(name):
    model, data = zoo.build(name).double(), zoo.inputs(name)
    adapter = find_adapter(model)
    towers = adapter.towers(model, adapter.prepare(model, data, None)) if adapter.steps(model) is None else ()
    tower = next((t for t in towers if "image" in t.ranges), None)
    assert (tower is None or tower.middle is None) == ("swin" in name or name in zoo.RELATED)
    if tower is None or tower.middle is None:
        return
    states, explanation = hooked(model, tower.middle, lambda: explain(model, data, patches=3))
    first, last = tower.ranges["image"]
    expected = states[:, first:last].gather(1, explanation.patches.tokens[..., None].expand(-1, -1, states.shape[-1]))
    assert torch.equal(explanation.patches.states, expected)


@pytest.mark.parametrize("name", REGIONS)
@pytest.mark.parametrize("engine", ["stream", "record"])
def test_regions_count_as_patches_and_padding_never_does(name, engine):
    model, data = zoo_streams.build(name).double(), zoo_streams.questions()
    data = {k: v.double() if v.is_floating_point() else v for k, v in data.items()}
    settings = {"engine": engine, "patches": WANTED, "on_zero_row": "identity"}
    before = snapshot(model)
    found = explain(model, data, **settings).patches
    assert_same(model, before)
    counts = data["region_mask"].sum(dim=1)
    assert torch.equal(found.valid.sum(dim=1), counts.clamp(max=WANTED)) and not found.valid.all()
    assert data["region_mask"].gather(1, found.tokens)[found.valid].all()
    for i in range(len(counts)):
        alone = explain(model, zoo_streams.one_question(data, i), **settings).patches
        assert alone.tokens.shape[1] == min(int(counts[i]), WANTED)
        assert_alike(found, alone, [i])


@pytest.mark.parametrize("engine", ["stream", "record"])
def test_every_detection_has_patches_of_its_own(engine):
    model, images = zoo_streams.build("detr"), zoo_streams.pictures()
    mask = torch.ones(2, 32, 40, dtype=torch.long)
    mask[1, :, 24:] = 0
    settings = {"threshold": 0.1, "most": 3, "patches": 2, "engine": engine}
    found = explain_detections(model, {"image": images, "pixel_mask": mask}, **settings)
    assert len(found) == 3
    for explanation in found:
        width = explanation.grid[1]
        assert explanation.patches.states.shape == (2, 2, 24) and explanation.patches.valid.all()
        assert (explanation.patches.tokens[1] % width < explanation.grids[1, 1]).all()


@pytest.mark.parametrize("method", METHODS)
def test_every_method(method):
    model, images = zoo.build("vit_cls").double(), zoo.inputs("vit_cls").double()
    before = snapshot(model)
    one, other = explain_targets(model, images, [1, 2], method=method, patches=3)
    assert_same(model, before)
    for explanation in (one, other):
        best = explanation.relevancy["image"].argsort(dim=1, descending=True, stable=True)[:, :3]
        assert torch.equal(explanation.patches.tokens, best)
        assert explanation.patches.states.isfinite().all()


def test_swin_gives_states_of_different_places():
    """The last stage has 4 x 4 tokens here: no state twice, each named by the strongest of its four tokens."""
    model, images = zoo.build("swin"), zoo.inputs("swin")
    explanation = explain(model, images, patches=99)
    tokens, relevancy = explanation.patches.tokens, explanation.relevancy["image"].reshape(3, 8, 8)
    assert tokens.shape == (3, 16)
    cells = tokens // 8 // 2 * 4 + tokens % 8 // 2
    assert torch.equal(cells.sort(dim=1).values, torch.arange(16).expand(3, 16))
    blocks = relevancy.reshape(3, 4, 2, 4, 2).transpose(2, 3).reshape(3, 16, 4)
    strongest = blocks.amax(dim=2).gather(1, cells)
    assert torch.equal(relevancy.flatten(1).gather(1, tokens), strongest)
    assert (blocks.sum(dim=2).gather(1, cells).diff(dim=1) <= 1e-7).all()


def test_strongest_token_of_an_odd_grid():
    fine, coarse = (Windows(grid, (2, 2), (0, 0), True) for grid in ((3, 5), (2, 3)))
    start, content = torch.zeros(1, 6), torch.ones(1, 15, dtype=torch.bool)
    tower = WindowTower("image", ("a", "b"), "b", start, content, grid=(3, 5), windows={"a": fine, "b": coarse})
    assert tower.strongest(torch.arange(15.0)[None]).tolist() == [[6, 8, 9, 11, 13, 14]]
    assert tower.strongest(-torch.arange(15.0)[None]).tolist() == [[0, 2, 4, 10, 12, 14]]


def test_none_unless_asked_for():
    model, images = zoo.build("vit_cls"), zoo.inputs("vit_cls")
    assert explain(model, images).patches is None
    assert explain(zoo.build("hf_bert"), zoo.inputs("hf_bert"), patches=3).patches is None
    assert explain(model, images, patches=99).patches.tokens.shape == (3, 16)
    with pytest.raises(EngineError, match="patches=-1"):
        explain(model, images, patches=-1)
