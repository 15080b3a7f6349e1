"""Real photos with three planted cues and three classifiers: does the search find, rank and prove them?

The folder holds `manifest.csv` (path, split, label, artefact, artefact_class) and `make_models.py`, which writes the
classifiers `strong` (uses all three cues), `weak` (does not use the tag) and `control` (uses none).
"""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from jobs.run import run_audit
from jobs.spec import RunSpec
from jobs.suspects.command import find_suspects
from jobs.suspects.spec import SuspectsSpec
from storage import Store

KINDS = ("tag", "frame", "sticker")
UNUSED = {"strong": (), "weak": ("tag",), "control": KINDS}
"""Planted cues that a classifier does not rely on, by the twin photos without them."""
CASES = (
    ("strong", "test", "gae"),
    ("strong", "train", "gae"),
    ("weak", "test", "gae"),
    ("control", "test", "gae"),
    ("strong", "test", "raw_attention"),
    ("strong", "test", "rollout"),
    ("strong", "test", "random"),
)
MOSTLY = 0.6  # of a suspect's samples must show a planted cue, and be called its class, for the suspect to be that cue
SHOWN = 10
Row = dict[str, Any]


@dataclass(frozen=True)
class Photos:
    """One split: paths, labels, planted cue of each photo ('none'), and the class that the cue was planted for."""

    paths: list[str]
    labels: list[str]
    cues: np.ndarray
    hosts: np.ndarray

    @classmethod
    def read(cls, folder: Path, split: str) -> Photos:
        """Read the manifest."""
        with (folder / "manifest.csv").open(newline="") as lines:
            rows = [row for row in csv.DictReader(lines) if row["split"] == split]
        return cls(
            [str(folder.resolve() / row["path"]) for row in rows],
            [row["label"] for row in rows],
            np.array([row["artefact"] for row in rows]),
            np.array([row["artefact_class"] for row in rows]),
        )

    def write(self, file: Path) -> Path:
        """A manifest for our job: nothing in it says where a cue is."""
        with file.open("w", newline="") as out:
            writer = csv.writer(out, lineterminator="\n")
            writer.writerow(("image", "label"))
            writer.writerows(zip(self.paths, self.labels, strict=True))
        return file


def make_models(folder: Path, models: Path) -> Path:
    """The three classifiers, written by the folder's own script (which needs `onnx`) unless they are there."""
    if not all((models / name / "model.safetensors").exists() for name in UNUSED):
        models.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, str(folder / "make_models.py"), str(models)], check=True)
    return models


def real_row(folder: Path, models: Path, cache: Path, model: str, split: str, method: str) -> tuple[Row, list[Row]]:
    """Audit and search one split with one classifier: the row of figures, and the suspects behind it."""
    photos = Photos.read(folder, split)
    manifest = photos.write(cache / f"{split}.csv")
    store, name = str(cache / "real-store"), f"{model}-{split}-{method}"
    spec = RunSpec(
        data=str(manifest),
        model=f"timm:local-dir:{models / model}",
        method=method,
        store=store,
        name=name,
        allow_outside=(str(folder),),
    ).checked()
    run_audit(spec)
    found = find_suspects(SuspectsSpec(run=name, store=store, again=True))
    with Store.open(store).reader(name) as reader:
        answers = {
            row["sample_id"]: row["predicted"]
            for row in reader.query("SELECT sample_id, predicted FROM explanations WHERE modality = 'image'")
        }
    predicted = np.array([answers[k] for k in range(len(photos.paths))])
    figures = score(found.suspects, photos, predicted, model)
    return {"split": split, "model": model, "method": method, "seconds": found.seconds, **figures}, [
        {"run": name, **_brief(suspect, photos, predicted)} for suspect in found.suspects
    ]


def score(suspects: Sequence[Row], photos: Photos, predicted: np.ndarray, model: str) -> Row:
    """Figures of a ranked list. Driven photos show a cue and are called the class that it was planted for."""
    driven = (photos.cues != "none") & (predicted == photos.hosts)
    right = [bool(driven[suspect["sample_ids"]].mean() >= MOSTLY) for suspect in suspects]
    order = -np.arange(len(suspects), dtype=float)
    best = np.full(len(driven), -np.inf)
    for suspect, value in zip(suspects, order, strict=True):
        best[suspect["sample_ids"]] = np.maximum(best[suspect["sample_ids"]], value)
    best[np.isinf(best)] = -len(suspects)
    homes = {kind: next((s for s in suspects if _shows(s, photos, predicted, kind)), None) for kind in KINDS}
    return {
        "photos": len(driven),
        "driven": int(driven.sum()),
        "ap": round(float(average_precision_score(right, order)), 4) if any(right) else None,
        "auroc": round(float(roc_auc_score(driven, best)), 4) if 0 < driven.sum() < len(driven) else None,
        "rank_by_kind": {kind: home and home["rank"] for kind, home in homes.items()},
        "precision_at_10_by_kind": {
            kind: home and round(float(driven[home["sample_ids"][:SHOWN]].mean()), 3) for kind, home in homes.items()
        },
        "status_by_kind": {
            kind: home and home["status"] + (", flagged" if home["flagged"] else "") for kind, home in homes.items()
        },
        "verified_false": [
            kind
            for kind in UNUSED[model]
            if any(_planted(s, photos, kind) for s in suspects if s["status"] == "verified")
        ],
        "flagged": sum(s["flagged"] for s in suspects),
        "flagged_false": sum(s["flagged"] and not good for s, good in zip(suspects, right, strict=True)),
        "effect_over_control_by_kind": {
            kind: home and {name: round(e["ratio"], 2) for name, e in (home["evidence"].get("effects") or {}).items()}
            for kind, home in homes.items()
        },
        "expected_by_chance": found_by_chance(suspects),
    }


def found_by_chance(suspects: Sequence[Row]) -> float:
    """Sum of the numbers of suspects that chance alone would give with such scores."""
    return round(sum(s["evidence"]["expected_by_chance"] for s in suspects), 2)


def _planted(suspect: Row, photos: Photos, kind: str) -> bool:
    return bool((photos.cues[suspect["sample_ids"]] == kind).mean() >= MOSTLY)


def _shows(suspect: Row, photos: Photos, predicted: np.ndarray, kind: str) -> bool:
    """Whether a suspect is a planted cue: most of its samples show it and are called the class it was planted for."""
    members = suspect["sample_ids"]
    return bool(((photos.cues[members] == kind) & (predicted[members] == photos.hosts[members])).mean() >= MOSTLY)


def _brief(suspect: Row, photos: Photos, predicted: np.ndarray) -> Row:
    """A suspect without its long lists, with what was planted on its samples."""
    names, counts = np.unique(photos.cues[suspect["sample_ids"]], return_counts=True)
    kept = ("rank", "kind", "name", "class_name", "n", "share", "score", "status", "flagged")
    evidence = suspect["evidence"]
    effects = {
        name: {key: effect[key] for key in ("mean", "low", "high", "control_mean", "control_high", "median", "ratio")}
        for name, effect in (evidence.get("effects") or {}).items()
    }
    planted = dict(zip(names.tolist(), counts.tolist(), strict=True))
    return {**{name: suspect[name] for name in kept}, "planted": planted, "effects": effects}
