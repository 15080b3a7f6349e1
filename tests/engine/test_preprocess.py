"""The view rectangle is where the model's input comes from, for every way of fitting a picture."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import timm
import torch
import zoo
from PIL import Image
from transformers import (
    CLIPImageProcessor,
    DetrImageProcessor,
    Siglip2ImageProcessor,
    SiglipImageProcessor,
    ViltImageProcessor,
)

from engine import EngineError
from engine.models.hf_vision import picture_inputs
from engine.models.preprocess import Preprocess, hf_preprocess, open_clip_preprocess, timm_preprocess


def timm_case(**config):
    model = timm.create_model("vit_tiny_patch16_224", img_size=96, num_classes=3)
    model.pretrained_cfg = {**model.pretrained_cfg, "input_size": (3, 96, 96), **config}
    return timm_preprocess(model)


def open_clip_case(mode):
    model = zoo.build("open_clip")
    model.visual.preprocess_cfg = {"size": 96, "mean": (0.5,) * 3, "std": (0.5,) * 3, "resize_mode": mode}
    return open_clip_preprocess(model)


CASES = {
    "timm centre crop": lambda: timm_case(crop_pct=0.8),
    "timm squash": lambda: timm_case(crop_pct=1.0, crop_mode="squash"),
    "timm squash and crop": lambda: timm_case(crop_pct=0.8, crop_mode="squash"),
    "timm border": lambda: timm_case(crop_pct=1.0, crop_mode="border"),
    "timm oblong": lambda: timm_case(crop_pct=0.9, input_size=(3, 96, 64)),
    "hf shortest edge": lambda: hf_preprocess(
        CLIPImageProcessor(size={"shortest_edge": 110}, crop_size={"height": 96, "width": 96})
    ),
    "hf stretch": lambda: hf_preprocess(SiglipImageProcessor(size={"height": 96, "width": 96})),
}


def blobs(width, height, spots):
    """A black picture with white squares centred on ``spots`` (fractions)."""
    image = np.zeros((height, width, 3), dtype=np.uint8)
    for x, y in spots:
        r = max(2, min(width, height) // 30)
        cx, cy = int(x * width), int(y * height)
        image[max(0, cy - r) : cy + r, max(0, cx - r) : cx + r] = 255
    return Image.fromarray(image)


@pytest.mark.parametrize("size", [(300, 200), (200, 300), (250, 250)])
@pytest.mark.parametrize("case", CASES)
def test_a_spot_is_found_where_the_view_says(case, size):
    preprocess = CASES[case]()
    width, height = size
    x0, y0, x1, y1 = preprocess.view(width, height)
    for spot in [(0.5, 0.5), (0.38, 0.45), (0.6, 0.62)]:
        pixels = preprocess(blobs(width, height, [spot])).mean(dim=0).numpy()
        assert pixels.shape == preprocess.size
        rows, columns = np.nonzero(pixels > 0.75 * pixels.max() + 0.25 * pixels.min())
        seen = (columns.mean() + 0.5) / pixels.shape[1], (rows.mean() + 0.5) / pixels.shape[0]
        found = x0 + seen[0] * (x1 - x0), y0 + seen[1] * (y1 - y0)
        assert found == pytest.approx(spot, abs=0.012)


@pytest.mark.parametrize("size", [(300, 200), (200, 300), (250, 250), (40, 400)])
def test_detectors_keep_the_aspect_ratio_and_the_grid_reaches_over_the_edge(size):
    preprocess = hf_preprocess(DetrImageProcessor(size={"shortest_edge": 100, "longest_edge": 160}), stride=32)
    width, height = size
    spot = (0.4, 0.7)
    pixels = preprocess(blobs(width, height, [spot])).mean(dim=0).numpy()
    assert min(pixels.shape) == min(100, round(160 * min(size) / max(size)))
    rows, columns = np.nonzero(pixels > 0.75 * pixels.max() + 0.25 * pixels.min())
    grid = tuple(-(-n // 32) for n in pixels.shape)
    x0, y0, x1, y1 = preprocess.view(width, height)
    seen = (columns.mean() + 0.5) / (grid[1] * 32), (rows.mean() + 0.5) / (grid[0] * 32)
    assert (x0 + seen[0] * (x1 - x0), y0 + seen[1] * (y1 - y0)) == pytest.approx(spot, abs=0.03)
    assert x1 >= 1 and y1 >= 1 and preprocess.varies


def test_pictures_of_siglip2_are_put_together_again():
    preprocess = hf_preprocess(Siglip2ImageProcessor(patch_size=8, max_num_patches=20))
    assert (preprocess.size, preprocess.fit, preprocess.varies) == ((32, 32), "stretch", False)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8))
    expected = np.asarray(picture).transpose(2, 0, 1) / 127.5 - 1
    np.testing.assert_allclose(preprocess(picture).numpy(), expected, atol=1e-5)
    assert preprocess(Image.new("RGB", (70, 30))).shape == (3, 32, 32)


def test_siglip2_gets_the_patches_of_its_own_processor():
    processor = Siglip2ImageProcessor(patch_size=8, max_num_patches=16)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8))
    own = processor(images=picture, return_tensors="pt")
    model = zoo.build("hf_siglip2")
    given = picture_inputs(model, {"image": hf_preprocess(processor)(picture)[None]})
    assert own.keys() == given.keys()
    assert all(torch.equal(own[name], given[name]) for name in own)


def test_vilt_keeps_the_aspect_ratio_in_whole_patches():
    preprocess = hf_preprocess(ViltImageProcessor(size={"shortest_edge": 64}, size_divisor=16))
    assert preprocess(Image.new("RGB", (150, 100))).shape == (3, 64, 96)
    assert preprocess.view(150, 100) == (0, 0, 1, 1)
    assert preprocess.varies


def test_an_unknown_geometry_is_refused():
    with pytest.raises(EngineError, match=r"resizes by .*: that geometry is not supported"):
        hf_preprocess(DetrImageProcessor(size={"max_height": 100, "max_width": 100}))
    with pytest.raises(EngineError, match="crops nothing: pictures would have different sizes"):
        hf_preprocess(CLIPImageProcessor(size={"shortest_edge": 32}, do_center_crop=False))


def test_a_stretched_detector_reaches_over_the_edge_too():
    preprocess = hf_preprocess(DetrImageProcessor(size={"height": 80, "width": 64}), stride=32)
    assert preprocess(Image.new("RGB", (50, 40))).shape == (3, 80, 64)
    assert preprocess.view(50, 40) == (0, 0, 1, 96 / 80)


def test_open_clip_modes():
    for mode, view in (("shortest", (1 / 6, 0, 5 / 6, 1)), ("longest", (0, -0.25, 1, 1.25)), ("squash", (0, 0, 1, 1))):
        preprocess = open_clip_case(mode)
        assert preprocess.view(300, 200) == pytest.approx(view)
        pixels = preprocess(blobs(300, 200, [(0.5, 0.5)])).mean(dim=0).numpy()
        rows, columns = np.nonzero(pixels > pixels.mean() + 0.5)
        assert (columns.mean(), rows.mean()) == pytest.approx((47.5, 47.5), abs=1)


def test_the_pixels_are_the_library_s_own():
    model = timm.create_model("vit_tiny_patch16_224", num_classes=3)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (300, 260, 3), dtype=np.uint8))
    config = timm.data.resolve_model_data_config(model)
    expected = timm.data.create_transform(**config, is_training=False)(image)
    assert (timm_preprocess(model)(image) == expected).all()


def test_travels_to_worker_processes():
    preprocess = CASES["hf shortest edge"]()
    copy: Preprocess = pickle.loads(pickle.dumps(preprocess))
    image = Image.new("RGB", (120, 130), "red")
    assert (copy(image) == preprocess(image)).all()
    assert copy.describe() == preprocess.describe()
