"""`python -m jobs annotations KIND PATHS --out MANIFEST`: public annotations as a manifest for `run --data`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.errors import JobError, unknown
from jobs.readers.annotations import coco, flickr, folders, segmented_imagenet, voc, vqa
from jobs.readers.annotations.masks import MaskFolder
from jobs.readers.annotations.table import Rows, check_format, write_table


@dataclass(frozen=True)
class Kind:
    """A format: what reads it, and the paths it takes, those in brackets only if wanted."""

    read: Callable[[Sequence[str], MaskFolder], Rows]
    paths: tuple[str, ...]
    about: str


KINDS = {
    "coco": Kind(coco.read_pictures, ("INSTANCES.json", "IMAGES"), "pictures with boxes and masks"),
    "coco-categories": Kind(coco.read_categories, ("INSTANCES.json", "IMAGES"), "a row per picture and category"),
    "coco-captions": Kind(coco.read_captions, ("CAPTIONS.json", "IMAGES"), "a row per caption"),
    "voc": Kind(voc.read_voc, ("VOC2012", "[SPLIT]"), "pictures with boxes and masks, outlines void"),
    "imagenet-s": Kind(folders.read_imagenet_s, ("IMAGES", "MASKS"), "pictures with masks of R + 256 G"),
    "imagenet-segmentation": Kind(
        segmented_imagenet.read_segmented_imagenet, ("gtsegs_ijcv.mat",), "the pictures and masks of the paper"
    ),
    "masks": Kind(folders.read_masks, ("IMAGES", "MASKS"), "pictures with the mask of the same name"),
    "vqa": Kind(
        vqa.read_vqa, ("QUESTIONS.json", "ANNOTATIONS.json", "IMAGES", "[FEATURES]"), "a row per question of VQA v2"
    ),
    "lxmert": Kind(vqa.read_lxmert, ("MINIVAL.json", "IMAGES", "[FEATURES]"), "a row per question, in LXMERT's format"),
    "flickr30k": Kind(flickr.read_captions, ("CAPTIONS", "IMAGES"), "a row per caption (.token or CSV)"),
}


def write_manifest(kind: str, paths: Sequence[str | Path], out: str | Path) -> dict[str, Any]:
    """Read annotations of a kind of `KINDS` and write the manifest `out` (.parquet, .csv, .tsv, .jsonl).

    Masks that have to be made go into the folder `<out without extension>_masks` beside it. Returns `path`, `kind`,
    `rows`, `columns`, `masks` (written), `masks_empty`, `skipped` (by reason) and `notes`.
    Raises `JobError`: an unknown kind, wrong paths, broken files, missing keys; the manifest is then not written.
    """
    if kind not in KINDS:
        raise unknown("kind of annotations", kind, KINDS)
    out = Path(out).expanduser()
    check_format(out)
    given = [str(path) for path in paths]
    _check_count(kind, given)
    masks = MaskFolder(out.absolute().with_name(f"{out.stem}_masks"))
    found = KINDS[kind].read(given, masks)
    columns = write_table(found.rows, out)
    return {
        "path": str(out),
        "kind": kind,
        "rows": len(found.rows),
        "columns": columns,
        "masks": masks.written,
        "masks_empty": masks.empty,
        "skipped": {reason: count for reason, count in found.skipped.most_common() if count},
        "notes": _notes(found, out),
    }


manifest_from = write_manifest


def _check_count(kind: str, given: Sequence[str]) -> None:
    wanted = KINDS[kind].paths
    least = sum(not name.startswith("[") for name in wanted)
    if not least <= len(given) <= len(wanted):
        raise JobError(f"annotations {kind} takes {' '.join(wanted)}, not {len(given)} paths")


def _notes(found: Rows, out: Path) -> list[str]:
    """What `run` will have to be told."""
    first, home = os.path.abspath(found.rows[0]["image"]), os.path.abspath(out.parent)
    if Path(first).is_relative_to(home):
        return []
    folder = os.path.dirname(first)
    return [f"the pictures lie outside {home}: write the manifest above them, or run with --allow-outside {folder}"]
