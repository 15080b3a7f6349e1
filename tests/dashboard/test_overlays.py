"""Painting maps over pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dashboard import colormaps, overlays
from dashboard.overlays import WHOLE, Look


def flat(width: int, height: int, color: tuple[int, int, int] = (200, 100, 50)) -> Image.Image:
    return Image.new("RGB", (width, height), color)


def test_normalise_is_min_max_of_one_map() -> None:
    assert overlays.normalise(np.array([[1.0, 2.0], [3.0, 5.0]])).tolist() == [[0, 0.25], [0.5, 1]]
    assert overlays.normalise(np.full((2, 2), 7.0)).tolist() == [[0, 0], [0, 0]]
    assert overlays.normalise(np.array([np.nan, 0.0, 2.0, np.inf])).tolist() == [0, 0, 1, 1]
    assert overlays.normalise(np.array([])).size == 0


def test_spread_is_bilinear_with_the_centres_of_cells_in_place() -> None:
    heat, seen = overlays.spread(np.array([[0.0, 1.0]]), WHOLE, (8, 2))
    assert seen.all()
    # cell centres lie at x = 2 and x = 6 of 8; between them the value grows by a quarter per pixel
    np.testing.assert_allclose(heat[0], [0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1], atol=1e-6)


def test_spread_fills_the_view_and_nothing_else() -> None:
    heat, seen = overlays.spread(np.array([[0.0, 1.0], [1.0, 1.0]]), (0.25, 0.0, 0.75, 1.0), (40, 20))
    assert seen[:, 10:30].all() and not seen[:, :10].any() and not seen[:, 30:].any()
    assert heat[19, 29] == 1 and heat[0, 0] == 0


def test_a_padded_view_shows_the_part_that_lies_in_the_picture() -> None:
    ramp = np.arange(16, dtype=float).reshape(4, 4)
    heat, seen = overlays.spread(ramp, (0.0, -0.5, 1.0, 1.5), (40, 20))  # rows 1 and 2 of 4 are the picture
    assert seen.all()
    assert heat[0].mean() == pytest.approx(overlays.normalise(ramp)[0:2].mean(), abs=0.06)
    assert heat[-1].mean() == pytest.approx(overlays.normalise(ramp)[2:4].mean(), abs=0.06)


def test_the_overlay_is_strong_where_the_relevancy_is() -> None:
    relevancy = np.zeros((3, 3))
    relevancy[1, 2] = 1.0  # on 45 pixels its centre is the pixel (22, 37)
    picture = flat(45, 45)
    painted = np.asarray(overlays.blend(picture, relevancy, WHOLE, Look("overlay", 100, "viridis")), dtype=int)
    change = np.abs(painted - np.asarray(picture, dtype=int)).sum(axis=2)
    np.testing.assert_array_equal(painted[22, 37], colormaps.table("viridis")[255])
    assert change[22, 37] > 2 * change[5, 5]


def test_opacity_zero_leaves_the_seen_picture_and_original_leaves_all() -> None:
    picture, relevancy = flat(40, 20), np.eye(4)
    view = (0.25, 0.0, 0.75, 1.0)
    clear = np.asarray(overlays.blend(picture, relevancy, view, Look("overlay", 0, "magma")))
    np.testing.assert_array_equal(clear[:, 10:30], np.asarray(picture)[:, 10:30])
    assert (clear[:, :10] != np.asarray(picture)[:, :10]).any()  # unseen: dimmed
    assert overlays.blend(picture, relevancy, view, Look("original", 100, "magma")) is picture
    assert overlays.blend(picture, None, view, Look("overlay", 100, "magma")) is picture


def test_the_map_alone_does_not_depend_on_the_picture() -> None:
    look, relevancy = Look("map", 10, "inferno"), np.random.default_rng(0).random((3, 3))
    one = overlays.blend(flat(30, 30, (0, 0, 0)), relevancy, WHOLE, look)
    two = overlays.blend(flat(30, 30, (255, 255, 255)), relevancy, WHOLE, look)
    np.testing.assert_array_equal(np.asarray(one), np.asarray(two))


@pytest.mark.parametrize(
    ("tokens", "grid", "shape"),
    [
        (144, (12, 12), (12, 12)),
        (144, None, (12, 12)),
        (6, (2, 3), (2, 3)),
        (7, None, None),
        (9, (2, 3), (3, 3)),
        (0, None, None),
    ],
)
def test_grid_shape(tokens: int, grid: tuple[int, int] | None, shape: tuple[int, int] | None) -> None:
    assert overlays.grid_shape(tokens, grid) == shape


@pytest.mark.parametrize("name", colormaps.NAMES)
def test_colour_maps_rise_evenly_in_lightness(name: str) -> None:
    table = colormaps.table(name) / 255
    linear = np.where(table <= 0.04045, table / 12.92, ((table + 0.055) / 1.055) ** 2.4)
    y = linear @ np.array([0.2126, 0.7152, 0.0722])
    lightness = 116 * np.where(y > 0.008856, np.cbrt(y), 7.787 * y + 16 / 116) - 16
    steps = np.diff(lightness[::16])
    assert table.shape == (256, 3) and (steps > 0).all() and steps.max() < 2.5 * steps.mean()


def test_text_is_readable_on_every_colour() -> None:
    for name in colormaps.NAMES:
        for value in np.linspace(0, 1, 21):
            ground = colormaps.hex_color(float(value), name)
            assert contrast(ground, colormaps.text_color(ground)) >= 4.5


def contrast(one: str, two: str) -> float:
    def luminance(color: str) -> float:
        rgb = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    low, high = sorted((luminance(one), luminance(two)))
    return (high + 0.05) / (low + 0.05)


def test_pictures_are_upright(tmp_path: Path) -> None:
    image = Image.new("RGB", (60, 30), "blue")
    image.paste("red", (0, 0, 10, 30))  # a red band on the left
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show rotated by 90 degrees clockwise
    image.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    upright = overlays.open_upright(tmp_path / "turned.jpg", 120)
    assert upright.size == (60, 120)
    assert upright.getpixel((30, 5))[0] > 200 and upright.getpixel((30, 100))[2] > 200  # type: ignore[index]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "F", "YCbCr"])
def test_every_kind_of_picture_opens_as_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("picture.tif" if mode in ("I;16", "F", "CMYK", "YCbCr") else "picture.png")
    base = Image.fromarray(np.linspace(0, 255, 40 * 20).reshape(20, 40).astype(np.uint8))
    if mode == "I;16":
        image = Image.fromarray(np.asarray(base, dtype=np.uint16) * 257)
    else:
        image = (
            base.convert("RGB").convert(mode) if mode in ("RGBA", "CMYK", "YCbCr", "LA", "P") else base.convert(mode)
        )
    image.save(path)
    opened = overlays.open_upright(path, 80)
    assert opened.mode == "RGB" and opened.size == (80, 40)
    assert np.asarray(opened).std() > 40, "a gradient must stay a gradient"


def test_extreme_shapes_keep_at_least_a_pixel(tmp_path: Path) -> None:
    Image.new("RGB", (3000, 1)).save(tmp_path / "line.png")
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    assert overlays.open_upright(tmp_path / "line.png", 100).size == (100, 1)
    assert overlays.open_upright(tmp_path / "dot.png", 100).size == (100, 100)


def test_a_square_tile_cuts_nothing_off() -> None:
    tile = overlays.on_square(flat(100, 50), 100)
    assert tile.size == (100, 100)
    assert (np.asarray(tile)[25:75] == (200, 100, 50)).all() and tile.getpixel((50, 5)) == overlays.MATS["light"]


def test_encode_and_decode_keep_the_colours() -> None:
    painted = overlays.blend(flat(64, 64), np.random.default_rng(1).random((8, 8)), WHOLE, Look())
    back = np.asarray(overlays.decode(overlays.encode(painted)), dtype=int)
    assert np.abs(back - np.asarray(painted, dtype=int)).mean() < 3
