"""`python -m benchmarks.questions.measure`: run the job on generated questions with both committed models, and tell how
much of the relevancy falls on the regions and words that matter, beside what chance would give."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import report
from benchmarks.questions.dataset import SEED, write_dataset
from benchmarks.questions.models import MODELS, WEIGHTS
from jobs.run import run_audit
from jobs.spec import RunSpec
from storage import RunReader, Store

PUNCTUATION = (",", "?")  # the store's words leave it out


def on_what_matters(values: np.ndarray, important: np.ndarray) -> dict[str, float]:
    """Of one map: share of the relevancy on the important entries, and whether the highest is one, beside chance.

    Args:
        values: relevancy [n], not below zero and not zero everywhere.
        important: [n] boolean.
    """
    chance = float(important.mean())
    share = float(values[important].sum() / values.sum())
    return {"share": share, "top": float(important[values.argmax()]), "chance": chance}


def measure(reader: RunReader) -> list[dict[str, Any]]:
    """Per modality, and per kind of question: means of :func:`on_what_matters`, and accuracy.

    Only maps of right answers count; `left_out` are those without anything important, and maps without relevancy.
    """
    samples = reader.query("SELECT * FROM samples ORDER BY sample_id")
    answers = {
        row["sample_id"]: row["predicted"]
        for row in reader.query("SELECT sample_id, predicted FROM explanations WHERE modality = 'image'")
    }
    rows: list[dict[str, Any]] = []
    for modality in ("image", "text"):
        maps = reader.maps([(row["sample_id"], "answer") for row in samples], modality)
        for kind in ("all", *sorted({row["kind"] for row in samples})):
            of_kind = [row for row in samples if kind in ("all", row["kind"])]
            right = [row for row in of_kind if answers[row["sample_id"]] == row["label"]]
            pairs = [_shown(row, maps[row["sample_id"], "answer"], modality) for row in right]
            found = [on_what_matters(v, i) for v, i in pairs if i.any() and np.isfinite(v).all() and v.sum() > 0]
            means = {key: _mean([f[key] for f in found]) for key in ("share", "top", "chance")}
            counts = {"n": len(found), "left_out": len(right) - len(found), "right": len(right), "of": len(of_kind)}
            rows.append({"modality": modality, "kind": kind, **means, **counts})
    return rows


def _mean(values: list[float]) -> float | None:
    """To three digits; None of nothing."""
    return round(float(np.mean(values)), 3) if values else None


def _shown(row: dict[str, Any], values: np.ndarray, modality: str) -> tuple[np.ndarray, np.ndarray]:
    """Relevancy per region, or per word of the question, and which of them are important."""
    if modality == "image":
        return values, np.isin(np.arange(len(values)), json.loads(row["important_regions"]))
    words = row["text"].split()
    kept = [at for at, word in enumerate(words) if word not in PUNCTUATION]
    of_token = np.array(row["token_words"][: len(values)])
    sums = np.bincount(of_token[of_token >= 0], values[: len(of_token)][of_token >= 0], minlength=len(kept))
    return sums, np.isin(kept, json.loads(row["important_words"]))


def main() -> None:
    """Measure the committed models."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--method", default="gae")
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        data = write_dataset(Path(name), asked.count)
        for model in MODELS:
            spec = RunSpec(str(data), str(asked.weights / model), method=asked.method, store=f"{name}/store", workers=0)
            result = run_audit(spec)
            with Store.open(result.store).reader(result.run) as reader:
                rows += [{"model": model, "method": asked.method, **row} for row in measure(reader)]
    for row in rows:
        print(" ".join(f"{key} {value}" for key, value in row.items()))
    report("questions", rows, asked.json, seed=SEED, count=asked.count)


if __name__ == "__main__":
    main()
