"""A small synthetic store, written by the real writer: pictures drawn here, maps that know where the object is.

Run as a script it writes a store for looking at (``python -m tests.dashboard.make_store FOLDER``).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from storage import RunReader, Store, parts_table
from storage import write_suspects as store_suspects
from tests.dashboard import suspect_rows

CLASSES = ["circle", "square", "triangle", "ring", "cross", "bar"]
GRID = 12
SIZES = [(160, 160), (240, 160), (160, 220)]
HOSTILE = [
    "<script>alert('x')</script><img src=x onerror=alert(1)>",
    "**bold** _it_ [link](javascript:alert(1)) `code` # heading $x^2$ :red[red] :tada: :material/delete: <- ->",
    "'; DROP TABLE samples; --  \" ' \\",
    "🙈 👩‍👩‍👧 مرحبا بالعالم שלום  www.example.com http://example.com a@example.com",
    "%{x} {{ braces }} ${jndi} &lt;b&gt; &amp; <b>bold</b>",
    "long " * 2000,
]
METADATA = [
    {"name": "Camera", "column": "camera", "type": "string"},
    {"name": "Brightness", "column": "brightness", "type": "double"},
    {"name": "Indoor", "column": "indoor", "type": "bool"},
    {"name": "Year", "column": "year", "type": "int64"},
]


@dataclass(frozen=True)
class Scene:
    """One drawn picture: its class, the object's centre and radius as fractions."""

    number: int
    label: int
    x: float
    y: float
    radius: float
    size: tuple[int, int]


def scenes(n: int, seed: int = 7) -> list[Scene]:
    rng = np.random.default_rng(seed)
    return [
        Scene(
            i,
            int(rng.integers(len(CLASSES))),
            float(rng.uniform(0.3, 0.7)),
            float(rng.uniform(0.3, 0.7)),
            float(rng.uniform(0.14, 0.24)),
            SIZES[int(rng.integers(len(SIZES)))],
        )
        for i in range(n)
    ]


def draw(scene: Scene) -> Image.Image:
    """The picture of a scene: the object on a plain ground, and for every third 'ring' a tag in a corner."""
    rng = np.random.default_rng(scene.number)
    width, height = scene.size
    ground = tuple(int(v) for v in rng.integers(60, 200, 3))
    noise = rng.normal(0, 9, (height, width, 3)) + np.linspace(-22, 22, height)[:, None, None]
    image = Image.fromarray(np.clip(np.array(ground) + noise, 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    color = tuple(int(255 - v * 0.8) for v in ground)
    r, cx, cy = scene.radius * min(width, height), scene.x * width, scene.y * height
    box = (cx - r, cy - r, cx + r, cy + r)
    name = CLASSES[scene.label]
    if name == "circle":
        pen.ellipse(box, fill=color)
    elif name == "square":
        pen.rectangle(box, fill=color)
    elif name == "triangle":
        pen.polygon([(cx, cy - r), (cx - r, cy + r), (cx + r, cy + r)], fill=color)
    elif name == "ring":
        pen.ellipse(box, outline=color, width=max(3, int(r / 3)))
    elif name == "cross":
        pen.line((cx - r, cy - r, cx + r, cy + r), fill=color, width=max(4, int(r / 3)))
        pen.line((cx - r, cy + r, cx + r, cy - r), fill=color, width=max(4, int(r / 3)))
    else:
        pen.rectangle((cx - r, cy - r / 4, cx + r, cy + r / 4), fill=color)
    if name == "ring" and scene.number % 3 == 0:
        pen.rectangle((4, 4, 22, 14), fill=(255, 230, 0))
    return image


def view(size: tuple[int, int]) -> tuple[float, float, float, float]:
    """The centre square of a picture, as fractions."""
    width, height = size
    side = min(width, height)
    x, y = (width - side) / 2 / width, (height - side) / 2 / height
    return (x, y, 1 - x, 1 - y)


def relevancy(scene: Scene, rng: np.random.Generator) -> NDArray[np.float32]:
    """A flat [144] map: a bump on the object, in the coordinates of the view."""
    x0, y0, x1, y1 = view(scene.size)
    cx, cy = (scene.x - x0) / (x1 - x0), (scene.y - y0) / (y1 - y0)
    if CLASSES[scene.label] == "ring" and scene.number % 3 == 0:
        cx, cy = 0.06, 0.06
    at = (np.arange(GRID) + 0.5) / GRID
    bump = np.exp(-((at[None, :] - cx) ** 2 + (at[:, None] - cy) ** 2) / 0.02)
    return (0.01 * (bump + 0.12 * rng.random((GRID, GRID)))).astype(np.float32).ravel()


def summaries(flat: NDArray[np.float32]) -> dict[str, float]:
    share = flat / flat.sum()
    grid = share.reshape(GRID, GRID)
    at = (np.arange(GRID) + 0.5) / GRID
    entropy = float(-(share * np.log(share + 1e-12)).sum() / np.log(len(share)))
    top = int(np.ceil(len(share) / 10))
    return {
        "entropy": entropy,
        "top10_mass": float(np.sort(share)[-top:].sum()),
        "mass": float(flat.sum()),
        "border_share": float(1 - grid[1:-1, 1:-1].sum()),
        "corner_tl": float(grid[:3, :3].sum()),
        "corner_tr": float(grid[:3, -3:].sum()),
        "corner_bl": float(grid[-3:, :3].sum()),
        "corner_br": float(grid[-3:, -3:].sum()),
        "center_x": float((grid.sum(0) * at).sum()),
        "center_y": float((grid.sum(1) * at).sum()),
        "mask_share": float(grid[3:9, 3:9].sum()),
    }


def class_rows(scene: Scene) -> list[dict[str, Any]]:
    """The rows of one sample of the classification run: targets predicted and label."""
    rng = np.random.default_rng(1000 + scene.number)
    logits = rng.normal(0, 1, len(CLASSES))
    logits[scene.label] += 2.2
    probabilities = np.exp(logits) / np.exp(logits).sum()
    best = [int(i) for i in np.argsort(-probabilities)[:5]]
    x0, y0, x1, y1 = view(scene.size)
    sample = {
        "sample_id": scene.number,
        "uri": uri(scene),
        "label": CLASSES[scene.label],
        "label_index": scene.label,
        "split": "train" if scene.number % 4 else "test",
        "width": scene.size[0],
        "height": scene.size[1],
        "view_x0": x0,
        "view_y0": y0,
        "view_x1": x1,
        "view_y1": y1,
        "camera": ["A7", "D850", "phone"][scene.number % 3],
        "brightness": float(rng.uniform(0, 1)),
        "indoor": bool(scene.number % 2),
        "year": 2020 + scene.number % 5,
    }
    rows = []
    for target, index in (("predicted", best[0]), ("label", scene.label)):
        flat = relevancy(scene, rng)
        rows.append(
            {
                **sample,
                "target": target,
                "target_index": index,
                "modality": "image",
                "score": float(logits[index]),
                "predicted": CLASSES[best[0]],
                "predicted_index": best[0],
                "confidence": float(probabilities[best[0]]),
                "correct": best[0] == scene.label,
                "top_indices": best,
                "top_probs": [float(probabilities[i]) for i in best],
                **summaries(flat),
                "map": flat,
            }
        )
    return rows


def pair_rows(scene: Scene) -> list[dict[str, Any]]:
    """The rows of one picture with a caption: a map for the picture and one for the words."""
    rng = np.random.default_rng(5000 + scene.number)
    caption = HOSTILE[scene.number] if scene.number < len(HOSTILE) else f"a photo of a {CLASSES[scene.label]} on a wall"
    words = [f"{w}</w>" for w in caption.split()[:60]]
    tokens = ["", *words, ""]
    x0, y0, x1, y1 = view(scene.size)
    score = float(rng.normal(24, 3))
    shared = {
        "sample_id": scene.number,
        "uri": uri(scene),
        "text": caption,
        "width": scene.size[0],
        "height": scene.size[1],
        "view_x0": x0,
        "view_y0": y0,
        "view_x1": x1,
        "view_y1": y1,
        "tokens": tokens,
        "camera": "A7",
        "target": "clip-logit",
        "score": score,
    }
    flat, text = relevancy(scene, rng), rng.gamma(1.0, 0.02, len(tokens)).astype(np.float32)
    return [
        {**shared, "modality": "image", **summaries(flat), "map": flat},
        {
            **shared,
            "modality": "text",
            "entropy": 0.8,
            "top10_mass": 0.3,
            "mass": float(text.sum()),
            "top_tokens": [w.removesuffix("</w>") for w in words[:3]],
            "map": text,
        },
    ]


def uri(scene: Scene) -> str:
    return f"{CLASSES[scene.label]}/{scene.number:04d}.png"


def draw_all(root: Path, wanted: list[Scene]) -> None:
    for scene in wanted:
        path = root / uri(scene)
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(scene).save(path)


def record(root: Path, samples: int, kind: str, metadata: list[dict[str, str]]) -> dict[str, Any]:
    pairs = kind == "pairs"
    return {
        "spec": {
            "data": str(root),
            "model": "timm:demo_vit" if not pairs else "open_clip:demo",
            "method": "gae",
            "target": "clip-logit" if pairs else "both",
            "start_layer": 0,
            "precision": "fp32",
        },
        "model": {
            "name": "demo_clip" if pairs else "demo_vit",
            "family": "open_clip" if pairs else "timm",
            "class_names": None if pairs else CLASSES,
            "num_classes": None if pairs else len(CLASSES),
            "grid": [GRID, GRID],
            "image_size": [96, 96],
            "modalities": ["image", "text"] if pairs else ["image"],
            "start_layer": 0,
            "layers": {"image": 6},
        },
        "dataset": {
            "root": str(root),
            "kind": "folder",
            "fingerprint": "synthetic",
            "samples": samples,
            "class_names": None if pairs else CLASSES,
            "metadata": metadata,
        },
        "versions": {"torch": "2.14.1", "timm": "1.0.31"},
    }


def write_classes(store: Path, root: Path, n: int = 200, failed: int = 6) -> None:
    """The classification run: 200 samples in four parts, some failures, one picture file missing afterwards."""
    wanted = scenes(n)
    draw_all(root, wanted)
    good = wanted[: n - failed]
    with Store.open(store, create=True).writer("shapes-vit", record(root, n, "classes", METADATA)) as writer:
        parts = [good[i : i + 50] for i in range(0, len(good), 50)]
        for index, part in enumerate(parts):
            bad = failures(wanted[n - failed :]) if index == len(parts) - 1 else []
            table = parts_table([row for scene in part for row in class_rows(scene)], METADATA)
            writer.commit_part(index, table, failures=bad, seconds={"read": 1.5, "compute": 4.2, "write": 0.3})
        writer.update_progress(
            {"samples": n, "parts_total": len(parts), "samples_per_second": 41.5, "eta_seconds": 0.0}
        )
        writer.seal()
        writer.finish()
    (root / uri(wanted[3])).unlink()


def failures(bad: list[Scene]) -> list[dict[str, Any]]:
    reasons = ["cannot identify image file", "image file is truncated", "<b>hostile</b> **reason**"]
    return [{"sample_id": s.number, "uri": uri(s), "reason": reasons[i % 3 and 1 + (i % 2)]} for i, s in enumerate(bad)]


def write_pairs(store: Path, root: Path, n: int = 40) -> None:
    """The run of image-text pairs, among them hostile captions."""
    wanted = scenes(n, seed=11)
    draw_all(root, wanted)
    metadata = METADATA[:1]
    with Store.open(store, create=True).writer("captions-clip", record(root, n, "pairs", metadata)) as writer:
        rows = [row for scene in wanted for row in pair_rows(scene)]
        writer.commit_part(0, parts_table(rows, metadata), seconds={"read": 0.4, "compute": 2.0, "write": 0.1})
        writer.finish("interrupted")


def write_suspects(store: Path) -> None:
    """Suspects of both runs, as if `python -m jobs suspects` had looked for them."""
    opened = Store.open(store)
    with opened.reader("shapes-vit") as reader:
        by_class = predicted(reader)
        tagged = [i for i in by_class["ring"] if i % 3 == 0]
        rows = suspect_rows.class_suspects(by_class, tagged, HOSTILE)
        notes = ["column 'kind' is another word for the label: not looked at", HOSTILE[0]]
        store_suspects(reader.run, rows, suspect_rows.about(rows, sum(map(len, by_class.values())), notes))
    with opened.reader("captions-clip") as reader:
        ids = [row["sample_id"] for row in reader.query("SELECT sample_id FROM samples ORDER BY sample_id")]
        rows = suspect_rows.pair_suspects(ids, HOSTILE)
        store_suspects(reader.run, rows, suspect_rows.about(rows, len(ids), []))


def predicted(reader: RunReader) -> dict[str, list[int]]:
    """Sample ids by what they were predicted as."""
    found: dict[str, list[int]] = {}
    sql = "SELECT sample_id, predicted FROM explanations WHERE target = 'predicted' ORDER BY sample_id"
    for row in reader.query(sql):
        found.setdefault(row["predicted"], []).append(row["sample_id"])
    return found


def grow(store: Path, root: Path, seconds: float, part: int = 8, parts: int = 40) -> Iterator[int]:
    """A run that grows by one part of ``part`` samples at a time; yields how many samples are committed."""
    wanted = scenes(part * parts, seed=23)
    with Store.open(store, create=True).writer("growing", record(root, len(wanted), "classes", METADATA)) as writer:
        for index in range(parts):
            some = wanted[index * part : (index + 1) * part]
            draw_all(root, some)
            table = parts_table([row for scene in some for row in class_rows(scene)], METADATA)
            writer.commit_part(index, table, seconds={"read": 0.2, "compute": 0.7, "write": 0.1})
            done = (index + 1) * part
            writer.update_progress(
                {
                    "samples": len(wanted),
                    "parts_total": parts,
                    "samples_per_second": part * parts / max(seconds, 0.01),
                    "eta_seconds": (parts - index - 1) * seconds / parts,
                }
            )
            if index == parts // 2:
                writer.seal()
            yield done
            time.sleep(seconds / parts)
        writer.finish()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path)
    options = parser.parse_args()
    write_pairs(options.store, options.store.parent / "pairs-data")
    write_classes(options.store, options.store.parent / "classes-data")
    write_suspects(options.store)


if __name__ == "__main__":
    main()
