"""Draw docs/img/methods.png: every method on the same pictures of the demo, explained for the predicted class.

    python docs/methods_picture.py [--out docs/img/methods.png]

Methods that refuse the demo's ViT are left out and named on stderr.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from dashboard.overlays import Look, blend
from engine import EngineError, LoadedModel, explain, list_methods, load_model
from engine.methods import unscaled_method
from jobs.demo.dataset import write_dataset

ROOT = Path(__file__).resolve().parent.parent
SEED = 11
SIDE, GAP, HEAD, LABEL = 148, 8, 44, 72
LOOK = Look(mode="overlay", opacity=85)
ROWS = (("aligned", 0), ("aligned", 1), ("aligned", 2), ("clean", 3))
"""Split and position of the pictures that are drawn: three with a planted cue, one without."""


def demo_pictures(folder: Path) -> list[tuple[str, str, Image.Image]]:
    """Paint the demo and return (class, cue, picture) of the drawn rows."""
    manifest = write_dataset(folder, SEED, {"aligned": 8, "clean": 8})
    with open(manifest, newline="") as file:
        rows = list(csv.DictReader(file))
    found = []
    for split, position in ROWS:
        row = [r for r in rows if r["split"] == split][position]
        with Image.open(manifest.parent / row["image"]) as picture:
            found.append((row["label"], row.get("cue", "") if split != "clean" else "", picture.convert("RGB")))
    return found


def maps(model: LoadedModel, pictures: list[Image.Image]) -> dict[str, np.ndarray]:
    """Name of each method -> maps [pictures, h, w] of the predicted class."""
    batch = torch.stack([model.preprocess(picture) for picture in pictures])  # type: ignore[misc]
    found = {}
    for method in list_methods():
        try:
            result = explain(model, batch, method=unscaled_method(method["name"]))
        except EngineError as error:
            sys.stderr.write(f"{method['name']} is left out: {error}\n")
            continue
        assert result.grid is not None
        found[method["name"]] = result.relevancy["image"].reshape(len(batch), *result.grid).numpy()
    return found


def draw(rows: list[tuple[str, str, Image.Image]], columns: dict[str, np.ndarray]) -> Image.Image:
    """One row per picture, one column per method."""
    width = LABEL + (len(columns) + 1) * (SIDE + GAP)
    sheet = Image.new("RGB", (width, HEAD + len(rows) * (SIDE + GAP)), "white")
    pen = ImageDraw.Draw(sheet)
    font, small = ImageFont.load_default(15), ImageFont.load_default(13)
    for c, name in enumerate(["picture", *columns]):
        text = name.replace("_", "\n", 1) if pen.textlength(name, font) > SIDE else name
        pen.multiline_text((LABEL + c * (SIDE + GAP), 4), text, "#1b1b1b", font, spacing=1)
    for r, (label, cue, picture) in enumerate(rows):
        top = HEAD + r * (SIDE + GAP)
        pen.multiline_text((4, top + SIDE // 2 - 18), f"{label}\n{cue.replace('_', ' ') or 'no cue'}", "#1b1b1b", small)
        square = picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        sheet.paste(square, (LABEL, top))
        for c, values in enumerate(columns.values(), 1):
            sheet.paste(blend(square, np.maximum(values[r], 0), (0, 0, 1, 1), LOOK), (LABEL + c * (SIDE + GAP), top))
    return sheet


def main() -> None:
    """Paint, explain, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "img" / "methods.png")
    out = parser.parse_args().out
    model = load_model(f"timm:local-dir:{ROOT / 'jobs' / 'demo' / 'weights' / 'vit'}")
    with tempfile.TemporaryDirectory() as folder:
        rows = demo_pictures(Path(folder))
    sheet = draw(rows, maps(model, [picture for *_, picture in rows]))
    out.parent.mkdir(parents=True, exist_ok=True)
    sheet.quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(out, optimize=True)
    sys.stdout.write(f"{out}\n")


if __name__ == "__main__":
    main()
