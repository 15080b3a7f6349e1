"""What leaves the house: a report holds no EXIF data, comment or path; the zip of pictures holds the files.

Canaries are written into every place that a report could copy from, and looked for in every byte of it, also within the
pictures and the packed charts.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
import zipfile
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from dashboard.data import Run
from dashboard.overlays import Look, is_picture
from dashboard.report.make import Made, make
from dashboard.report.options import Options
from dashboard.report.places import Places
from dashboard.samples import export
from dashboard.tiles import gallery, large
from storage import Reviews, SampleQuery
from tests.dashboard import make_store

HOME, GPS, COMMENT = "CANARYHOME", b"CANARYGPS", b"CANARYCOMMENT"
ARTIST, KEY = "CANARYARTIST", "CANARYKEY"
FORMATS = ("html", "md", "csv")


def with_canaries(path: Path) -> None:
    """The same picture as a JPEG with GPS and artist in its EXIF data, a comment, a thumbnail and XMP."""
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    exif = Image.Exif()
    exif[0x013B], exif[0x9286] = ARTIST, "CANARYARTIST in a comment"
    exif.get_ifd(0x8825).update({1: "N", 2: (52.0, 31.0, 12.0), 0x1B: GPS})
    picture.save(path, "JPEG", exif=exif, comment=COMMENT, xmp=b"<x:xmpmeta>CANARYGPS</x:xmpmeta>", quality=95)
    assert GPS in path.read_bytes() and COMMENT in path.read_bytes() and ARTIST.encode() in path.read_bytes()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose pictures, record and notes are full of canaries."""
    base = tmp_path_factory.mktemp("reports") / HOME / "with space"
    make_store.write_classes(base / "store", base / "photos", n=80, failed=4)
    make_store.write_pairs(base / "store", base / "pairs")
    make_store.write_suspects(base / "store")
    for path in (base / "photos").rglob("*.png"):
        with_canaries(path)
    file = base / "store" / "runs" / "shapes-vit" / "run.json"
    record = json.loads(file.read_text())
    record["spec"] |= {
        "data": f"{base}/photos/rows.csv",
        "checkpoint": f"{base}/weights/best.safetensors",
        "allow_outside": [f"{base}/elsewhere"],
    }
    record["model"]["name"] = f"timm:local-dir:{base}/models/vit"
    record["notes"] = [
        f"7 pictures lie outside {base}/photos and are refused; --allow-outside {base}/elsewhere lets them be read",
        f"https://ann:{KEY}@host/x.csv?token={KEY} was read",
        f"/srv/{HOME}/other/file.txt is not used",
    ]
    file.write_text(json.dumps(record))
    return Run.open(base / "store", "shapes-vit")


def everything(content: bytes) -> bytes:
    """The bytes of a report and of all that is packed in it, pictures decoded to their files."""
    found = [content]
    for packed in re.findall(rb"base64,([A-Za-z0-9+/=]+)|>([A-Za-z0-9+/=]{2000,})<", content):
        data = base64.b64decode(packed[0] or packed[1])
        found.append(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
    return b"\n".join(found)


@pytest.fixture(scope="module")
def reports(run: Run) -> dict[str, Made]:
    return {kind: make(run, Options(format=kind, top=3)) for kind in FORMATS}


@pytest.mark.parametrize("kind", FORMATS)
def test_a_report_holds_no_canary(reports: dict[str, Made], kind: str) -> None:
    made = reports[kind]
    content = everything(made.content)
    if kind == "html":
        assert made.pictures > 10 and content.count(b"\xff\xd8\xff") >= made.pictures, "its pictures were looked into"
    for canary in (HOME.encode(), GPS, COMMENT, ARTIST.encode(), KEY.encode(), b"with space", b"Exif\0\0"):
        assert canary not in content
    if kind != "csv":
        text = made.content.decode()
        assert "photos" in text and "7 pictures lie outside photos" in text, "what is left of a path is its name"


def test_every_picture_of_a_report_is_pixels_alone(reports: dict[str, Made]) -> None:
    pictures = re.findall(rb"data:image/jpeg;base64,([A-Za-z0-9+/=]+)", reports["html"].content)
    assert len(pictures) > 10
    for packed in pictures:
        with Image.open(io.BytesIO(base64.b64decode(packed))) as picture:
            assert not picture.getexif() and not set(picture.info) & {
                "exif",
                "comment",
                "xmp",
                "icc_profile",
                "photoshop",
            }


def test_tiles_and_the_cache_hold_pixels_alone(run: Run) -> None:
    rows = run.reader.query(
        "SELECT * FROM samples JOIN explanations USING (sample_id) WHERE target = 'predicted' AND sample_id < 3"
    )
    made = [*gallery(run, rows, Look()), large(run, rows[0], None, Look(), 200)[0]]
    cached = [file.read_bytes() for file in (run.store / "cache").rglob("*.jpg")]
    assert cached
    for data in (*made, *cached):
        assert not any(canary in data for canary in (GPS, COMMENT, ARTIST.encode(), b"Exif"))


def test_paths_become_their_last_names(run: Run) -> None:
    plain = Places.of(run).plain
    root = run.record.dataset["root"]
    assert plain(f"--data {root} --x '{root}/a b.csv'") == "--data photos --x 'photos/a b.csv'"
    assert plain(f"--data '{root}/rows.csv'") == "--data 'rows.csv'"
    assert plain("timm:local-dir:/home/ann/models/vit") == "timm:local-dir:vit"
    assert plain("see /etc/app/x.yaml, and/or ~/a/b; 3/4 of 12 / 16") == "see x.yaml, and/or b; 3/4 of 12 / 16"
    assert plain("https://host/a/b.jpg and hf:google/vit and s3://b/c/d") == (
        "https://host/a/b.jpg and hf:google/vit and s3://b/c/d"
    )


def test_the_zip_holds_the_files_as_they_are(run: Run) -> None:
    """Who exports pictures wants the dataset's own files, to find them there by their bytes (docs/security.md)."""
    choice = export.Choice(run, SampleQuery("predicted"), Reviews.open(run.store))
    with zipfile.ZipFile(export.as_zip(choice, limit=5)) as archive:
        pictures = [name for name in archive.namelist() if name != export.MANIFEST]
        assert pictures and all("/" not in name and "\\" not in name for name in archive.namelist())
        assert all(GPS in archive.read(name) for name in pictures)
        assert HOME.encode() not in archive.read(export.MANIFEST)


def test_the_zip_hands_out_pictures_and_nothing_else(tmp_path: Path) -> None:
    """A store that somebody else wrote names any folder of the server as the root of its pictures."""
    make_store.write_classes(tmp_path / "store", tmp_path / "photos", n=20, failed=2)
    run = Run.open(tmp_path / "store", "shapes-vit")
    victims = [tmp_path / "photos" / row["uri"] for row in run.reader.query("SELECT uri FROM samples ORDER BY uri")][:3]
    for victim, content in zip(victims, (b"root:x:0:0:CANARYHOME", b"", b"\x89PNG CANARYHOME"), strict=True):
        victim.write_bytes(content)
        assert not is_picture(io.BytesIO(content))
    choice = export.Choice(run, SampleQuery("predicted"), Reviews.open(tmp_path / "store"))
    content = export.as_zip(choice).read()
    assert HOME.encode() not in content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.read(export.MANIFEST).decode().count("not a picture") == 3


def test_a_text_in_a_png_does_not_travel(tmp_path: Path) -> None:
    from dashboard.overlays import encode, open_upright

    info = PngImagePlugin.PngInfo()
    info.add_text("comment", "CANARYCOMMENT")
    Image.new("RGB", (30, 20), "red").save(tmp_path / "a.png", pnginfo=info)
    assert COMMENT in (tmp_path / "a.png").read_bytes()
    assert COMMENT not in encode(open_upright(tmp_path / "a.png", 30))
