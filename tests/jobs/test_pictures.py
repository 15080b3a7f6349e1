"""Every kind of picture file people have, good and bad."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jobs.pictures import PictureError, decode, decode_mask, measure, read

RED, GREEN = (255, 0, 0), (0, 255, 0)


def halves(left: object, right: object, mode: str = "RGB", size: tuple[int, int] = (8, 4)) -> Image.Image:
    """A picture whose left and right halves have one colour each."""
    picture = Image.new(mode, size, left)  # type: ignore[arg-type]
    picture.paste(right, (size[0] // 2, 0, size[0], size[1]))  # type: ignore[arg-type]
    return picture


def test_plain(tmp_path: Path) -> None:
    halves(RED, GREEN).save(tmp_path / "a.png")
    picture = decode(tmp_path / "a.png")
    assert (picture.mode, picture.size) == ("RGB", (8, 4))
    assert picture.getpixel((0, 0)) == RED and picture.getpixel((7, 3)) == GREEN


@pytest.mark.parametrize(
    ("orientation", "size", "red_at"),
    [(1, (8, 4), (0, 0)), (3, (8, 4), (7, 0)), (6, (4, 8), (0, 0)), (8, (4, 8), (0, 7)), (2, (8, 4), (7, 0))],
)
def test_exif_rotated_is_upright(
    tmp_path: Path, orientation: int, size: tuple[int, int], red_at: tuple[int, int]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    halves(RED, GREEN).save(tmp_path / "a.png", exif=exif)
    picture = decode(tmp_path / "a.png")
    assert picture.size == size and picture.getpixel(red_at) == RED


def test_cmyk(tmp_path: Path) -> None:
    Image.new("CMYK", (4, 4), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=95)
    red, green, blue = decode(tmp_path / "a.jpg").getpixel((1, 1))
    assert red > 230 and green < 25 and blue < 25


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 16).astype(np.uint16).reshape(4, 4)
    Image.fromarray(ramp).save(tmp_path / "a.png")
    values = np.asarray(decode(tmp_path / "a.png"))[:, :, 0]
    assert np.abs(values.astype(int) - np.rint(ramp / 257)).max() <= 1


@pytest.mark.parametrize("high", [1.0, 200.0])
def test_float_tiff(tmp_path: Path, high: float) -> None:
    Image.fromarray(np.array([[0.0, high / 2, high]], np.float32)).save(tmp_path / "a.tif")
    values = np.asarray(decode(tmp_path / "a.tif"))[0, :, 0].tolist()
    assert values == ([0, 128, 255] if high == 1.0 else [0, 100, 200])


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_becomes_white(tmp_path: Path, mode: str) -> None:
    clear, solid = ((255, 0, 0, 0), (255, 0, 0, 255)) if mode == "RGBA" else ((0, 0), (0, 255))
    halves(clear, solid, mode).save(tmp_path / "a.png")
    picture = decode(tmp_path / "a.png")
    assert picture.getpixel((0, 0)) == (255, 255, 255)
    assert picture.getpixel((7, 0)) == (RED if mode == "RGBA" else (0, 0, 0))


def test_palette_with_transparency(tmp_path: Path) -> None:
    halves(RED, GREEN).convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "a.png", transparency=0)
    picture = decode(tmp_path / "a.png")
    colours = {picture.getpixel((0, 0)), picture.getpixel((7, 0))}
    assert (255, 255, 255) in colours and len(colours) == 2


def test_animation_gives_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (6, 6), colour) for colour in (RED, GREEN)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert decode(tmp_path / "a.gif").getpixel((3, 3)) == RED


def test_exif_tells_of_camera_and_software(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0131] = "Nikon\x00", " D80 ", "GIMP 2.10\n"
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg", exif=exif)
    Image.new("RGB", (8, 8)).save(tmp_path / "b.jpg")
    file = read(tmp_path / "a.jpg")[1]
    assert (file.format, file.camera, file.software) == ("JPEG", "Nikon D80", "GIMP 2.10")
    assert measure(tmp_path / "a.jpg")[1] == file
    plain = read(tmp_path / "b.jpg")[1]
    assert (plain.camera, plain.software) == (None, None)


def test_one_pixel(tmp_path: Path) -> None:
    Image.new("L", (1, 1), 7).save(tmp_path / "a.png")
    assert decode(tmp_path / "a.png").getpixel((0, 0)) == (7, 7, 7)


def truncated_jpeg() -> bytes:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG")
    return buffer.getvalue()[: buffer.tell() // 2]


def damaged_png() -> bytes:
    """A PNG whose pixels were overwritten."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), RED).save(buffer, "PNG")
    whole = buffer.getvalue()
    return whole[:60] + bytes(40) + whole[100:]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file (0 bytes)"),
        (b"I am a text file, not a picture", "not a picture"),
        (truncated_jpeg(), "truncated picture"),
        (damaged_png(), "damaged picture"),
    ],
)
def test_bad_files_have_a_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    with pytest.raises(PictureError) as caught:
        decode(path)
    assert caught.value.reason.startswith(reason)
    assert "bad.png" in str(caught.value) and str(tmp_path) not in caught.value.reason


def test_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    Image.new("1", (20_000, 10_000)).save(tmp_path / "bomb.png")
    with pytest.raises(PictureError, match="too large"):
        decode(tmp_path / "bomb.png")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="file not found"):
        decode(tmp_path / "none.png")
    with pytest.raises(PictureError, match="is a folder"):
        decode(tmp_path)


@pytest.mark.parametrize(("zero", "one"), [(0, 255), (0, 1), (0, 20), (30, 200)])
def test_masks_of_any_scale(tmp_path: Path, zero: int, one: int) -> None:
    halves(zero, one, "L").save(tmp_path / "m.png")
    mask = decode_mask(tmp_path / "m.png")
    assert mask.shape == (4, 8) and mask.dtype == bool
    assert mask[:, 4:].all() and not mask[:, :4].any()
