"""A synthetic run of any size, written by the real writer: parts are committed and sealed as a job's are.

Twenty classes, one explanation per sample (target 'predicted', image) with a map of 14 x 14 and a feature of 64 values.
A few hundred small picture files are referenced again and again. Everything is made column by column from one seed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from benchmarks.scale.suspects import suspect_rows
from storage import Store, write_suspects

RUN = "scale"
CLASSES = (
    "ant", "bee", "boat", "bus", "car", "cat", "cow", "deer", "dog", "duck",
    "fox", "frog", "goat", "hen", "horse", "lamp", "owl", "sheep", "tree", "whale",
)  # fmt: skip
GRID, FEATURES = 14, 64
PART, BLOCK = 256, 4096  # samples of a part, as `jobs run` makes them; samples that are made at once
PICTURES = 300
FAILS_EVERY = 2000
METADATA = [
    {"name": "Note", "column": "note", "type": "string"},  # hardly two alike
    {"name": "Site", "column": "site", "type": "string"},
    {"name": "Uploader", "column": "uploader", "type": "string"},  # some 50 000
    {"name": "ISO", "column": "iso", "type": "int64"},
    {"name": "Exposure", "column": "exposure", "type": "double"},
    {"name": "Indoor", "column": "indoor", "type": "bool"},
]
_PLACES = ("in a meadow", "on a road", "by the sea", "in the snow", "on a hill", "at night", "in a town", "in the rain")
_COLOURS = ("red", "green", "blue", "white", "black", "brown", "grey", "yellow")
_CAMERAS = ("A7 III", "D850", "Pixel 8", "iPhone 15", "X-T5")
Floats = NDArray[np.float32]
Columns = dict[str, Any]


def make(root: Path, samples: int, said: Callable[[str], None]) -> None:
    """Write the store, its pictures (beside it, in `<root>-data`) and its list of suspects."""
    data = root.with_name(root.name + "-data")
    uris = draw_pictures(data)
    store = Store.open(root, create=True)
    began, predicted = time.perf_counter(), []
    with store.writer(RUN, record(data, samples)) as writer:
        for first in range(0, samples, BLOCK):
            ids = np.arange(first, min(first + BLOCK, samples))
            block = make_block(ids, uris)
            predicted.append(block["predicted_index"].to_numpy())
            for start in range(0, len(ids), PART):
                mine = slice(start, start + PART)
                kept, failures = _split(ids[mine], block.slice(start, PART), uris)
                writer.commit_part(int(ids[start]) // PART, kept, failures=failures, seconds=_seconds(len(kept)))
            if first // BLOCK % 16 == 15:
                said(f"{first + len(ids):,} of {samples:,} samples, {time.perf_counter() - began:.0f} s")
        writer.update_progress({"samples": samples, "parts_total": -(-samples // PART), "eta_seconds": 0.0})
        writer.seal()
        writer.finish()
        alive = np.concatenate(predicted)
        alive[_failed(np.arange(samples))] = -1
        rows = suspect_rows(alive, CLASSES, (GRID, GRID))
        write_suspects(writer.run, rows, _about(samples))
    said(f"{samples:,} samples in {time.perf_counter() - began:.0f} s")


def draw_pictures(data: Path) -> list[str]:
    """The picture files, and their names relative to `data`: an ellipse on a grainy ground."""
    (data / "images").mkdir(parents=True, exist_ok=True)
    rng, uris = np.random.default_rng(1), []
    for number in range(PICTURES):
        size = ((320, 240), (240, 320), (256, 256))[number % 3]
        ground = rng.integers(40, 215, 3) + rng.normal(0, 12, (size[1], size[0], 3))
        image = Image.fromarray(np.clip(ground, 0, 255).astype(np.uint8))
        x, y, r = rng.uniform(80, 160, 3)
        ImageDraw.Draw(image).ellipse((x - r / 2, y - r / 3, x + r / 2, y + r / 3), fill=tuple(rng.integers(0, 255, 3)))
        uris.append(f"images/{number:04d}.jpg")
        image.save(data / uris[-1], quality=85)
    return uris


def record(data: Path, samples: int) -> dict[str, Any]:
    """What `jobs run` would put into run.json."""
    return {
        "spec": {"data": str(data), "model": "timm:synthetic", "method": "gae", "target": "predicted",
                 "start_layer": 0, "precision": "fp32", "part_size": PART},
        "model": {"name": "synthetic", "family": "vit", "task": "classify", "class_names": list(CLASSES),
                  "num_classes": len(CLASSES), "grid": [GRID, GRID], "image_size": [224, 224],
                  "modalities": ["image"], "start_layer": 0, "layers": {"image": 12}},
        "dataset": {"root": str(data), "kind": "csv", "fingerprint": "synthetic", "samples": samples,
                    "class_names": list(CLASSES), "metadata": METADATA},
        "versions": {},
        "notes": ["synthetic: made by benchmarks/dashboard_scale.py"],
    }  # fmt: skip


def make_block(ids: NDArray[np.int64], uris: Sequence[str]) -> pa.Table:
    """The rows of some samples, with the columns of a part."""
    rng = np.random.default_rng([7, int(ids[0])])
    label = rng.integers(0, len(CLASSES), len(ids))
    logits = rng.normal(0, 1, (len(ids), len(CLASSES)))
    logits[np.arange(len(ids)), label] += rng.choice((0.5, 3.5), len(ids), p=(0.25, 0.75))
    picture = rng.integers(0, len(uris), len(ids))
    return pa.table(
        {
            **_sample(rng, ids, label, picture, uris),
            **_metadata(rng, ids),
            **_answer(logits, label),
            **_maps(rng, label),
        }
    )


def _sample(
    rng: np.random.Generator, ids: NDArray[np.int64], label: NDArray[Any], picture: NDArray[Any], uris: Sequence[str]
) -> Columns:
    """Columns of the picture and its caption."""
    n = len(ids)
    name = _pick(CLASSES, label)
    wide, tall = (np.take(side, picture % 3).astype(np.int32) for side in ((320, 240, 256), (240, 320, 256)))
    fits = np.minimum(wide, tall)
    colour, place = _pick(_COLOURS, rng.integers(0, 8, n)), _pick(_PLACES, rng.integers(0, 8, n))
    return {
        "sample_id": ids,
        "sample_first": np.ones(n, bool),
        "uri": _pick(uris, picture),
        "label": name,
        "label_index": label.astype(np.int32),
        "text": pc.binary_join_element_wise("a", colour, name, place, _digits(ids % 977), " "),
        "split": _pick(("train", "test"), (ids % 5 == 0).astype(int)),
        "width": wide,
        "height": tall,
        "view_x0": ((1 - fits / wide) / 2).astype(np.float32),
        "view_y0": ((1 - fits / tall) / 2).astype(np.float32),
        "view_x1": ((1 + fits / wide) / 2).astype(np.float32),
        "view_y1": ((1 + fits / tall) / 2).astype(np.float32),
        "grid_h": np.full(n, GRID, np.int32),
        "grid_w": np.full(n, GRID, np.int32),
        "brightness": _floats(rng.beta(4, 4, n)),
        "contrast": _floats(rng.beta(3, 6, n) / 2),
        "saturation": _floats(rng.beta(2, 4, n)),
        "warmth": _floats(rng.normal(0, 0.1, n)),
        "greenness": _floats(rng.normal(0, 0.1, n)),
        "sharpness": _floats(rng.normal(-2, 0.6, n)),
        "file_format": _pick(("JPEG", "PNG"), rng.integers(0, 10, n) // 9),
        "file_bytes": rng.integers(4_000, 90_000, n),
        "camera": _sometimes(rng, _pick(_CAMERAS, rng.integers(0, len(_CAMERAS), n)), 0.3),
    }


def _metadata(rng: np.random.Generator, ids: NDArray[np.int64]) -> Columns:
    n = len(ids)
    return {
        "note": pc.binary_join_element_wise("ticket", _digits(rng.integers(0, 10**9, n)), "of", _digits(ids), " "),
        "site": pc.binary_join_element_wise("site", _digits(rng.integers(0, 40, n)), " "),
        "uploader": pc.binary_join_element_wise("user", _digits(rng.integers(0, 50_000, n)), " "),
        "iso": _sometimes(rng, pa.array(100 * 2 ** rng.integers(0, 7, n)), 0.1),
        "exposure": _sometimes(rng, pa.array(rng.gamma(2, 0.01, n)), 0.1),
        "indoor": rng.random(n) < 0.4,
    }


def _answer(logits: NDArray[Any], label: NDArray[Any]) -> Columns:
    """What the model answered."""
    n = len(logits)
    best = np.argsort(-logits, axis=1)[:, :5]
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = odds / odds.sum(axis=1, keepdims=True)
    top = np.take_along_axis(probabilities, best, axis=1)
    return {
        "target": pa.array(["predicted"]).take(pa.array(np.zeros(n, int))),
        "target_index": best[:, 0].astype(np.int32),
        "modality": pa.array(["image"]).take(pa.array(np.zeros(n, int))),
        "score": _floats(logits.max(axis=1)),
        "predicted": _pick(CLASSES, best[:, 0]),
        "predicted_index": best[:, 0].astype(np.int32),
        "confidence": _floats(top[:, 0]),
        "correct": best[:, 0] == label,
        "top_indices": _lists(best.astype(np.int32)),
        "top_probs": _lists(top.astype(np.float32)),
    }


def _maps(rng: np.random.Generator, label: NDArray[Any]) -> Columns:
    """A bump somewhere, its summaries, and a feature near the one of the class."""
    n = len(label)
    x, y = (np.clip(rng.normal(0.5, 0.2, (n, 1)), 0.03, 0.97) for _ in range(2))
    at = (np.arange(GRID) + 0.5) / GRID
    narrow = rng.uniform(0.008, 0.05, (n, 1))
    bump = np.exp(-((at - y) ** 2) / narrow)[:, :, None] * np.exp(-((at - x) ** 2) / narrow)[:, None, :]
    grid = 0.01 * (bump + 0.15 * rng.random((n, GRID, GRID)))
    mass = grid.sum(axis=(1, 2))
    share = grid / mass[:, None, None]
    flat = share.reshape(n, -1)
    centres = np.random.default_rng(3).normal(size=(len(CLASSES), FEATURES))
    corner = GRID // 4
    return {
        "entropy": _floats(-(flat * np.log(flat)).sum(axis=1) / np.log(flat.shape[1])),
        "top10_mass": _floats(-np.partition(-flat, 20, axis=1)[:, :20].sum(axis=1)),
        "mass": _floats(mass),
        "border_share": _floats(1 - share[:, 1:-1, 1:-1].sum(axis=(1, 2))),
        "corner_tl": _floats(share[:, :corner, :corner].sum(axis=(1, 2))),
        "corner_tr": _floats(share[:, :corner, -corner:].sum(axis=(1, 2))),
        "corner_bl": _floats(share[:, -corner:, :corner].sum(axis=(1, 2))),
        "corner_br": _floats(share[:, -corner:, -corner:].sum(axis=(1, 2))),
        "center_x": _floats((share.sum(axis=1) * at).sum(axis=1)),
        "center_y": _floats((share.sum(axis=2) * at).sum(axis=1)),
        "mask_share": _sometimes(rng, pa.array(_floats(share[:, 3:11, 3:11].sum(axis=(1, 2)))), 0.5),
        "map": _lists(grid.reshape(n, -1).astype(np.float32)),
        "features": _lists((centres[label] + rng.normal(0, 0.7, (n, FEATURES))).astype(np.float32)),
    }


def _split(ids: NDArray[np.int64], table: pa.Table, uris: Sequence[str]) -> tuple[pa.Table, list[dict[str, Any]]]:
    """The rows of a part without the samples that failed, and those."""
    failed = _failed(ids)
    failures = [{"sample_id": int(i), "uri": uris[i % len(uris)], "reason": "image file is truncated"}
                for i in ids[failed]]  # fmt: skip
    return table.filter(pa.array(~failed)), failures


def _failed(ids: NDArray[np.int64]) -> NDArray[np.bool_]:
    return ids % FAILS_EVERY == 1234 % FAILS_EVERY


def _about(samples: int) -> dict[str, Any]:
    kinds = ("concept", "location", "property", "word")
    chance = {kind: {"highest_score": 0.02, "candidates": 40.0} for kind in kinds}
    return {"samples": min(samples, 200_000), "total": samples, "complete": samples <= 200_000, "target": "predicted",
            "chance": {"permutations": 5, "expected_suspects": 0.0, "kinds": chance},
            "settings": {"top": 12, "kinds": list(kinds), "verify": True, "photos": 20, "permutations": 5, "seed": 0,
                         "sample": 200_000, "name_with": None, "vocabulary": None},
            "notes": [], "done": True}  # fmt: skip


def _seconds(samples: int) -> dict[str, float]:
    return {"read": 0.002 * samples, "compute": 0.01 * samples, "write": 0.0005 * samples}


def _pick(names: Sequence[str], index: NDArray[Any]) -> pa.Array:
    return pa.array(list(names)).take(pa.array(index))


def _digits(numbers: NDArray[Any]) -> pa.Array:
    return pa.array(numbers).cast(pa.string())


def _sometimes(rng: np.random.Generator, values: pa.Array, empty: float) -> pa.Array:
    """The values with a share of them empty."""
    return pc.if_else(pa.array(rng.random(len(values)) >= empty), values, pa.scalar(None, values.type))


def _floats(values: NDArray[Any]) -> Floats:
    return values.astype(np.float32)


def _lists(rows: NDArray[Any]) -> pa.Array:
    """A list column from a matrix."""
    offsets = np.arange(len(rows) + 1, dtype=np.int32) * rows.shape[1]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(rows.reshape(-1)))
