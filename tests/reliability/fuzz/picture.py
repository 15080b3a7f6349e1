"""Picture files: damaged, cut, mislabelled, and with headers that claim more pixels than a machine has memory."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from jobs.pictures import MAX_PIXELS, PictureError, decode_mask, measure, read_copy
from tests.reliability.fuzz.mutating import damaged, few_edits
from tests.reliability.fuzz.scratch import scratch
from tests.reliability.fuzz.target import Target, tried

SIZE = (24, 16)  # width, height
MOST_TAKEN = 256 << 20  # bytes that a refused picture, or a small one, may need
SUFFIXES = (".jpg", ".png", ".webp", ".gif", ".tif", ".bmp", ".tga")
Claim = Callable[[int, int], bytes]


def _noise(mode: str) -> Image.Image:
    channels = len(Image.new(mode, (1, 1)).getbands())
    shape = (SIZE[1], SIZE[0], channels) if channels > 1 else (SIZE[1], SIZE[0])
    values = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    kind = {"I;16": np.uint16, "F": np.float32, "I": np.int32}.get(mode)
    return Image.fromarray(values.astype(kind) * 200) if kind else Image.fromarray(values).convert(mode)


def _saved(mode: str, kind: str, several: bool = False, **options: Any) -> bytes:
    file = io.BytesIO()
    if several:
        options |= {"save_all": True, "append_images": [Image.new("RGB", SIZE, "red")]}
    _noise(mode).save(file, kind, **options)
    return file.getvalue()


@cache
def corpus() -> dict[str, bytes]:
    """Whole files of every format, in the variants that have code of their own in a decoder."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x0131] = 6, "Nikon", "GIMP"
    files = {
        "jpeg": _saved("RGB", "JPEG", exif=exif),
        "progressive": _saved("RGB", "JPEG", progressive=True, subsampling=0),
        "cmyk": _saved("CMYK", "JPEG"),
        "grey": _saved("L", "JPEG"),
        "mpo": _saved("RGB", "MPO", several=True),
        "png": _saved("RGBA", "PNG", exif=exif),
        "palette": _saved("P", "PNG", transparency=3),
        "bits": _saved("1", "PNG"),
        "deep": _saved("I;16", "PNG"),
        "apng": _saved("RGB", "PNG", several=True),
        "webp": _saved("RGB", "WEBP", exif=exif),
        "lossless": _saved("RGBA", "WEBP", lossless=True),
        "webps": _saved("RGB", "WEBP", several=True),
        "gif": _saved("P", "GIF", transparency=3),
        "gifs": _saved("P", "GIF", several=True),
        "tiff": _saved("RGB", "TIFF", exif=exif),
        "lzw": _saved("RGB", "TIFF", compression="tiff_lzw"),
        "deflate": _saved("P", "TIFF", compression="tiff_adobe_deflate"),
        "jpeg in tiff": _saved("RGB", "TIFF", compression="jpeg"),
        "fax": _saved("1", "TIFF", compression="group4"),
        "float": _saved("F", "TIFF"),
        "tiffs": _saved("RGB", "TIFF", several=True),
        "bmp": _saved("RGB", "BMP"),
        "tga": _saved("RGB", "TGA", compression="tga_rle"),
        "ppm": _saved("RGB", "PPM"),
    }
    Image.init()
    return files | {kind.lower(): _saved("RGB", kind) for kind in ("JPEG2000", "AVIF") if kind in Image.SAVE}


def _png(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = b"IDAT" + zlib.compress(bytes(4096))
    chunks = b"".join(struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (header, body))
    return b"\x89PNG\r\n\x1a\n" + chunks


def _jpeg(width: int, height: int) -> bytes:
    content = bytearray(corpus()["jpeg"])
    at = content.index(b"\xff\xc0")
    content[at + 5 : at + 9] = struct.pack(">HH", height & 0xFFFF, width & 0xFFFF)
    return bytes(content)


def _gif(width: int, height: int) -> bytes:
    content = bytearray(corpus()["gif"])
    content[6:10] = struct.pack("<HH", width & 0xFFFF, height & 0xFFFF)
    return bytes(content)


def _bmp(width: int, height: int) -> bytes:
    content = bytearray(corpus()["bmp"])
    content[18:26] = struct.pack("<ii", width, height)
    return bytes(content)


def _webp(width: int, height: int) -> bytes:
    content = bytearray(corpus()["webp"])
    at = content.index(b"VP8X") + 12
    content[at : at + 6] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return bytes(content)


def _tiff(width: int, height: int) -> bytes:
    entries = ((256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, height), (279, 64))
    tags = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(entries)) + tags + bytes(64)


def _ppm(width: int, height: int) -> bytes:
    return f"P6\n{width} {height}\n255\n".encode() + bytes(64)


def _tga(width: int, height: int) -> bytes:
    return struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, width & 0xFFFF, height & 0xFFFF, 24, 0) + bytes(64)


CLAIMS: dict[str, Claim] = {
    "png": _png, "jpeg": _jpeg, "gif": _gif, "bmp": _bmp, "webp": _webp, "tiff": _tiff, "ppm": _ppm, "tga": _tga,
}  # fmt: skip
# nothing in between: a small file that claims 100 megapixels is decoded, which takes libjpeg seconds
sides = st.one_of(st.sampled_from((1, 2, 30_000, 65_535)), st.integers(1, 300), st.integers(20_000, 65_535))


def _strategy() -> Any:
    whole = st.sampled_from(sorted(corpus()))
    broken = st.tuples(st.just("damaged"), whole, few_edits)
    claims = st.tuples(st.just("claims"), st.sampled_from(sorted(CLAIMS)), st.tuples(sides, sides))
    joined = st.tuples(st.just("joined"), whole, st.tuples(whole, st.floats(0, 1, width=32)))
    noise = st.tuples(st.just("bytes"), st.sampled_from((b"", b"GIF89a", b"%!PS-Adobe-3.0 EPSF", b"BM")), st.binary())
    return st.tuples(st.one_of(broken, broken, broken, claims, joined, noise), st.sampled_from(SUFFIXES))


def content_of(case: tuple[str, Any, Any]) -> bytes:
    """The bytes of an input."""
    kind, name, detail = case
    if kind == "damaged":
        return damaged(corpus()[name], detail)
    if kind == "claims":
        return CLAIMS[name](*detail)
    if kind == "joined":
        other, share = detail
        return corpus()[name][: int(share * len(corpus()[name]))] + corpus()[other]
    return bytes(name + detail)


def check(case: tuple[tuple[str, Any, Any], str]) -> str:
    """Each of the three ways to read ends in a PictureError or in a picture of the measured size."""
    path = scratch("picture") / f"a{case[1]}"
    path.write_bytes(content_of(case[0]))
    seen: dict[str, tuple[int, int]] = {}
    reset_peak()
    before = resident("VmRSS")
    ends = [tried(lambda work=work: work(path, seen), PictureError, names=("a.",)) for work in (_size, _read, _mask)]  # type: ignore[misc]
    taken = resident("VmHWM") - before
    pixels = int(np.prod(seen.get("size", (1, 1))))
    assert taken < MOST_TAKEN or (pixels <= MAX_PIXELS and taken < 24 * pixels), f"took {taken >> 20} MB for {seen}"
    if case[0][0] == "claims" and pixels > MAX_PIXELS:
        assert set(ends) == {"refused"}, ends
    return ends[1]


def _size(path: Path, seen: dict[str, tuple[int, int]]) -> None:
    seen["size"], file = measure(path)
    assert file.bytes == path.stat().st_size
    assert seen["size"][0] * seen["size"][1] <= MAX_PIXELS, seen


def _read(path: Path, seen: dict[str, tuple[int, int]]) -> None:
    picture, _, whole = read_copy(path, lambda width, height: (8, 8))
    assert picture.mode == "RGB", picture.mode
    assert whole == seen.get("size"), (whole, seen)
    assert min(picture.size) >= 1 and np.asarray(picture).shape == (picture.height, picture.width, 3)


def _mask(path: Path, seen: dict[str, tuple[int, int]]) -> None:
    mask = decode_mask(path)
    assert mask.dtype == bool and mask.ndim == 2, (mask.dtype, mask.shape)


def reset_peak() -> None:
    """Let the peak of the memory begin anew."""
    Path("/proc/self/clear_refs").write_text("5")


def resident(field: str) -> int:
    """Bytes: `VmRSS`, in memory now, or `VmHWM`, the peak."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(field))
    return int(line.split()[1]) * 1024


TARGET = Target(
    "picture",
    "JPEG, PNG, WebP, GIF, TIFF, BMP, TGA, PPM, JPEG 2000, AVIF files (jobs/pictures.py)",
    _strategy,
    check,
    share=15.0,
    quick=150,
)
