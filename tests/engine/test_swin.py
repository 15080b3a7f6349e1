"""Windowed attention: the row walk equals products of whole matrices over all tokens, written out plainly."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
import torch
import zoo
from timm.models.swin_transformer import SwinTransformer

from engine import EngineError, UnsupportedModel, explain
from engine.models import find_adapter
from engine.models.windows import Windows

FAMILIES = ["swin", "swin_odd_and_padded", "swin_v2", "hf_swin", "hf_swin_odd_and_padded", "hf_swin_v2"]


def window_maps(model, images, target):
    """A and dA of every block, [B, n, H, area, area], by the library's own explicit softmax; and the blocks."""
    if hasattr(model, "swinv2"):
        blocks = [block for stage in model.swinv2.encoder.layers for block in stage.blocks]
        modules = [block.attention.self.dropout for block in blocks]
    elif hasattr(model, "swin"):
        model.set_attn_implementation("eager")
        blocks = [block for stage in model.swin.encoder.layers for block in stage.blocks]
        modules = [block.attention for block in blocks]
    else:
        blocks = [block for stage in model.layers for block in stage.blocks]
        modules = [block.attn.attn_drop for block in blocks]
    maps = []
    for module in modules:
        module.register_forward_hook(lambda m, i, out: maps.append(out[1] if isinstance(out, tuple) else out))
    out = model(images)
    logits = out if isinstance(out, torch.Tensor) else out.logits
    gradients = torch.autograd.grad(logits[:, target].sum(), maps)
    count = len(images)
    numbers = [
        tuple(x.detach().reshape(count, -1, *x.shape[1:]).numpy() for x in pair)
        for pair in zip(maps, gradients, strict=True)
    ]
    return blocks, numbers


def place_of(block, grid, library):
    """Token (or -1 for padding) at each place of each window, [n, area], from arrays of token numbers."""
    size, shift = ((n, n) if isinstance(n, int) else tuple(n) for n in (block.window_size, block.shift_size))
    cells = np.arange(grid[0] * grid[1]).reshape(grid)
    pad = [(0, -n % w) for n, w in zip(grid, size, strict=True)]
    roll = (-shift[0], -shift[1])
    if library == "transformers":
        cells = np.roll(np.pad(cells, pad, constant_values=-1), roll, (0, 1))
    else:
        cells = np.pad(np.roll(cells, roll, (0, 1)), pad, constant_values=-1)
    windows = []
    for top in range(0, cells.shape[0], size[0]):
        for left in range(0, cells.shape[1], size[1]):
            windows.append(cells[top : top + size[0], left : left + size[1]].reshape(-1))
    return np.array(windows)


def whole_matrix(places, windows, tokens):
    """Block matrices of windows [n, area, area] as one matrix over all tokens; padding falls away."""
    matrix = np.zeros((tokens, tokens))
    for place, window in zip(places, windows, strict=True):
        for i, row in enumerate(place):
            for j, column in enumerate(place):
                if row >= 0 and column >= 0:
                    matrix[row, column] += window[i, j]
    return matrix


def merging(coarse, fine):
    """Equal shares of 2 x 2 tokens, [merged tokens, tokens]."""
    matrix = np.zeros((coarse[0] * coarse[1], fine[0] * fine[1]))
    for i in range(fine[0]):
        for j in range(fine[1]):
            matrix[(i // 2) * coarse[1] + j // 2, i * fine[1] + j] = 1
    return matrix / matrix.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("name", FAMILIES)
def test_gae_against_whole_matrices(name):
    model, images = zoo.build(name).double(), zoo.inputs(name, batch=2).double()
    explanation = explain(model, images, target=1)
    library = find_adapter(model).library
    blocks, maps = window_maps(model, images, 1)
    side = images.shape[-1] // 4
    grids = [(side, side)] * 2 + [(-(-side // 2), -(-side // 2))] * 2
    assert explanation.grid == (side, side)
    for b in range(2):
        carried, before = np.eye(side * side), grids[0]  # from tokens of the first stage to those of this one
        start = np.eye(side * side)
        for block, (a, da), grid in zip(blocks, maps, grids, strict=True):
            if grid != before:
                carried, start, before = merging(grid, before) @ carried, merging(grid, before) @ start, grid
            places = place_of(block, grid, library)
            windows = np.array([oracles.abar(x, g) for x, g in zip(a[b], da[b], strict=True)])
            average = whole_matrix(places, windows, grid[0] * grid[1])
            carried = carried + average @ carried
        row = np.full(len(carried), 1 / len(carried))
        moved = row @ (carried - start)
        tolerance = 1e-6 if library == "transformers" else 1e-8  # their own softmax is always float32
        np.testing.assert_allclose(explanation.relevancy["image"][b].numpy(), moved, rtol=tolerance, atol=1e-15)
        assert moved.max() > 0


@pytest.mark.parametrize("name", FAMILIES)
def test_features_are_a_mean_of_the_last_states(name):
    explanation = explain(zoo.build(name), zoo.inputs(name))
    assert explanation.features["image"].shape == (3, 24)
    assert explanation.features["image"].abs().max() > 0


@pytest.mark.parametrize("pads_first", [True, False])
def test_windows_are_cut_and_joined_without_loss(pads_first):
    windows = Windows((5, 7), (3, 4), (1, 2), pads_first)
    rows = torch.randn(2, 35)
    cut = windows.cut(rows)
    assert cut.shape == (2 * 4, 12)
    assert torch.equal(windows.join(cut), rows)
    assert torch.equal(windows.cut(rows)[:4], windows.cut(rows[:1]))


def test_the_row_keeps_its_sum_on_the_way_down():
    tower = find_adapter(zoo.build("swin_odd_and_padded")).towers(
        zoo.build("swin_odd_and_padded"), {"image": torch.zeros(2, 3, 28, 28)}
    )[0]
    row = torch.rand(2, 16)
    down = tower.down(row, (4, 4), (7, 7))
    torch.testing.assert_close(down.sum(dim=1), row.sum(dim=1))
    torch.testing.assert_close(tower.up(down), row)
    assert (down.reshape(2, 7, 7)[:, 6, 6] == row[:, 15]).all()  # one token alone keeps all


def test_what_is_not_supported_is_said():
    model, images = zoo.build("swin"), zoo.inputs("swin")
    with pytest.raises(EngineError, match="keep_matrices is not supported for windowed attention"):
        explain(model, images, keep_matrices=True)
    with pytest.raises(EngineError, match="'partial_lrp' is not supported for windowed attention"):
        explain(model, images, method="partial_lrp")
    with pytest.raises(EngineError, match="'legrad' is not supported for windowed attention"):
        explain(model, images, method="legrad")
    with pytest.raises(UnsupportedModel, match="no classifier"):
        explain(SwinTransformer(**{**zoo.SWIN, "num_classes": 0}), images)
    with pytest.raises(UnsupportedModel, match="global_pool='max' is not supported"):
        explain(SwinTransformer(**zoo.SWIN, global_pool="max"), images)
