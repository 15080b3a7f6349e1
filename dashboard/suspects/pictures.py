"""Pictures of suspects: the strongest samples with the cue's box, and the mean map of all of them.

Painted once and kept as tiles are. Where the samples are texts, their words stand in place of pictures.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dashboard import colormaps, overlays, tiles, words
from dashboard.data import Row, Run
from dashboard.overlays import Look
from storage import Filter, SampleQuery

SHOWN = 6  # pictures of a suspect in a list
MOST_IN_MEAN = 100  # samples in the mean map, the strongest ones


def target_of(run: Run, about: Mapping[str, Any]) -> str:
    """The target whose maps the suspects were found in; the run's first one where the list does not say."""
    targets = list(run.targets())
    named = str(about.get("target") or "")
    return named if named in targets or not targets else targets[0]


def modality_of(run: Run, target: str) -> str:
    """'image' where the target has maps of pictures, else 'text'."""
    return "image" if "image" in run.targets().get(target, ["image"]) else "text"


def exemplars(run: Run, suspects: Sequence[Row], target: str, shown: int = SHOWN) -> dict[str, list[Row]]:
    """Per suspect the rows of its strongest samples; `box` of a row is where its cue lies, None where nobody knows.

    Samples with a known box come first: they are the strongest of those that were tested.
    """
    wanted = {row["id"]: strongest(row, shown) for row in suspects}
    ids = sorted({i for some in wanted.values() for i in some})
    if not ids:
        return {name: [] for name in wanted}
    query = SampleQuery(
        target=target, modality=modality_of(run, target), filters=(Filter("sample_id", "in", tuple(ids)),)
    )
    found = {int(row["sample_id"]): row for row in run.page(query, 1, len(ids), (*tiles.NEEDED, *words.NEEDED))}
    return {
        row["id"]: [{**found[i], "box": box_in(row, i)} for i in wanted[row["id"]] if i in found] for row in suspects
    }


def strongest(row: Row, shown: int = SHOWN) -> list[int]:
    """The samples that show a suspect best: first those whose cue has a box, then the strongest others."""
    boxed = [int(i) for i in row["cue"].get("boxes") or {}]
    return list(dict.fromkeys([*boxed, *(int(i) for i in row["sample_ids"][: shown + len(boxed)])]))[:shown]


def box_in(row: Row, sample: int) -> list[float] | None:
    """Where the cue of a suspect lies in a sample: x0, y0, x1, y1 as fractions; None where that is not known."""
    box = (row["cue"].get("boxes") or {}).get(str(sample))
    return [float(edge) for edge in box] if isinstance(box, list) and len(box) == 4 else None


def mean_pictures(run: Run, suspects: Sequence[Row], target: str, look: Look, theme: str) -> dict[str, bytes]:
    """Per suspect a square JPEG of the mean map of its samples; none for those whose maps form no common grid."""
    cache = tiles.Cache(run.store / "cache")
    keys = {row["id"]: _key(run, row, target, look, theme) for row in suspects}
    found = {name: data for name, key in keys.items() if (data := cache.get(key)) is not None}
    missing = [row for row in suspects if row["id"] not in found]
    if not missing:
        return found
    ids = {i for row in missing for i in row["sample_ids"][:MOST_IN_MEAN]}
    maps = run.maps([(int(i), target) for i in sorted(ids)], "image")
    for row in missing:
        mean = mean_map(run, [maps.get((int(i), target)) for i in row["sample_ids"][:MOST_IN_MEAN]])
        if mean is not None:
            found[row["id"]] = overlays.encode(paint_mean(mean, look.colormap, theme))
            cache.put(keys[row["id"]], found[row["id"]])
    return found


def mean_map(run: Run, maps: Sequence[NDArray[np.floating] | None]) -> NDArray[np.float64] | None:
    """The mean share of relevancy per token, [h, w]; None where the maps form no common grid.

    Every sample counts the same, however large its relevancy. Negative relevancy counts as none.
    """
    known = [np.clip(np.nan_to_num(np.asarray(one, np.float64)), 0, None) for one in maps if one is not None]
    sizes = {one.size for one in known}
    shape = overlays.grid_shape(sizes.pop(), run.grid) if len(sizes) == 1 else None
    if shape is None:
        return None
    shares = np.stack([one / max(one.sum(), 1e-12) for one in known])
    return shares.mean(axis=0).reshape(shape)


def paint_mean(mean: NDArray[np.float64], colormap: str, theme: str) -> Image.Image:
    """The mean map [h, w] in a colour map, on a square tile."""
    scale = tiles.TILE / max(mean.shape)
    size = (max(round(mean.shape[1] * scale), 1), max(round(mean.shape[0] * scale), 1))
    heat, _ = overlays.spread(mean, overlays.WHOLE, size)
    return overlays.on_square(Image.fromarray(colormaps.paint(heat, colormap)), tiles.TILE, theme)


def _key(run: Run, row: Row, target: str, look: Look, theme: str) -> str:
    """Everything the mean map of a suspect depends on."""
    samples = tuple(row["sample_ids"][:MOST_IN_MEAN])
    parts = ("mean", overlays.PAINTER_VERSION, run.id, run.record.created_at, target, samples, look.colormap, theme)
    return hashlib.sha256(repr(parts).encode("utf-8", "backslashreplace")).hexdigest()[:40]
