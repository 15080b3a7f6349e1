"""Do maps of CLIPScores hold under deletion, and are planted pair problems found? The demo's CLIP on fresh pictures.

    python benchmarks/pair_evidence.py [--json FILE] [--seeds 501 502 503 504] [--count 300] [--workers 2]

Every seed gives a manifest of `image` and `text` alone, which is run and searched as the commands do, and again
without banners and watermarks (its twin; swapped captions stay swapped). Rows have a `part`:

deletion  per method, on pairs without a problem, and of GAE per problem: median fall of the score without the top 20 %
          of the patches or the top word, beside as much at random
problems  per seed and planted problem: the first suspect of the kinds that look for it with half of its first 20 pairs
          having it; without one, how many the best has; and what is flagged besides
twins     per seed: what is flagged although there is no mark
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two processes with a thread each are faster than one with two
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.harness import report
from engine import LoadedModel, explain_pairs, load_model
from engine.interventions.scores import REMOVALS, deletion
from engine.methods import unscaled_method
from jobs.demo.command import WEIGHTS
from jobs.demo.dataset import write_dataset
from jobs.pictures import decode
from jobs.run import run_audit
from jobs.spec import RunSpec
from jobs.suspects.command import find_suspects
from jobs.suspects.spec import SuspectsSpec

Row = dict[str, Any]
MODEL, TARGET = f"open_clip:local-dir:{WEIGHTS / 'clip'}", "clip-score"
SEEDS = (501, 502, 503, 504)  # not those of training, of the tests, or of the demo
METHODS = (
    ("gae", -1),
    ("gae", 0),
    ("raw_attention", -1),
    ("rollout", -1),
    ("rollout", 0),
    ("grad_cam", -1),
    ("legrad", -1),
    ("legrad", 0),
    ("partial_lrp", -1),
    ("random", -1),
)
"""Name and first explained layer of both towers; -1 is the last alone, the authors' choice for CLIP."""
DEFAULT = METHODS[0]
PLANTED = {
    "swapped": ("pair_mismatch",),
    "overlay": ("pair_mark",),
    "watermark": ("pair_cue", "pair_place", "pair_property"),
}
"""Planted problem -> kinds of suspects that look for it."""
NONE = "none"
MARKS = ("pair_mark", "pair_cue", "pair_place", "pair_property")  # false alarms where there is no mark
FIRST = 20  # pairs of a suspect that a person looks at
CHUNK = 50  # pairs that are explained at once


# ---- deletion


def paint(folder: Path, seed: int, count: int, *, cues: bool = True) -> list[Row]:
    """Paint pairs, and write `plain.csv` that says nothing of problems; rows of the whole manifest."""
    with write_dataset(folder, seed, {"pairs": count}, cues=cues).open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (folder / "plain.csv").open("w", newline="") as out:
        writer = csv.DictWriter(out, ("image", "text"), extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return [{**row, "path": folder / row["image"]} for row in rows]


def falls(loaded: LoadedModel, rows: Sequence[Row], method: str, start_layer: int) -> dict[str, np.ndarray]:
    """How far the score of each pair falls: per thing removed, most relevant and at random, [P] each; and the score."""
    parts: list[dict[str, np.ndarray]] = []
    for start in range(0, len(rows), CHUNK):
        chunk = rows[start : start + CHUNK]
        parts.append(_falls(loaded, chunk, method, start_layer, range(start, start + len(chunk))))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _falls(
    loaded: LoadedModel, rows: Sequence[Row], method: str, start_layer: int, seeds: Sequence[int]
) -> dict[str, np.ndarray]:
    images, texts = _inputs(loaded, rows), [row["text"] for row in rows]
    chosen = unscaled_method(method)
    found = explain_pairs(loaded, images, texts, target=TARGET, method=chosen, start_layer=start_layer)
    lost = deletion(loaded, images, texts, found.image_vectors, found.text_vectors, found.explanation, seeds)
    return {
        "score": found.explanation.score.float().cpu().numpy(),
        **{fill: lost.patches[fill] for fill in REMOVALS},
        **{f"{fill}_random": lost.patches_random[fill] for fill in REMOVALS},
        "word": lost.word,
        "word_random": lost.word_random,
    }


def _inputs(loaded: LoadedModel, rows: Sequence[Row]) -> Tensor:
    assert loaded.preprocess is not None
    return torch.stack([loaded.preprocess(decode(row["path"])) for row in rows])


def deletion_row(loaded: LoadedModel, rows: Sequence[Row], problem: str, method: str, start_layer: int) -> Row:
    """Median falls over pairs, and how many times that of random removal they are; None where that one is no fall."""
    found = falls(loaded, rows, method, start_layer)
    row: Row = {"part": "deletion", "problem": problem, "method": method, "start_layer": start_layer, "n": len(rows)}
    row["score"] = round(float(np.median(found["score"])), 5)
    for name in (*REMOVALS, "word"):
        top, other = (float(np.nanmedian(found[key])) for key in (name, f"{name}_random"))
        row |= {name: round(top, 5), f"{name}_random": round(other, 5)}
        row[f"{name}_ratio"] = round(top / other, 3) if other > 0 else None
        row[f"{name}_larger"] = round(float((found[name] > found[f"{name}_random"]).mean()), 4)
    return row


def deletion_rows(painted: Sequence[Row], count: int) -> list[Row]:
    """Every method on `count` pairs without a problem; GAE on all pairs of each problem."""
    loaded = load_model(MODEL)
    sound = [row for row in painted if row["problem"] == NONE][:count]
    rows = [deletion_row(loaded, sound, NONE, *method) for method in METHODS]
    of = {problem: [row for row in painted if row["problem"] == problem] for problem in PLANTED}
    return rows + [deletion_row(loaded, own, problem, *DEFAULT) for problem, own in of.items() if own]


# ---- planted problems


def audit(folder: Path, count: int, case: tuple[int, bool]) -> tuple[list[Row], list[Row]]:
    """Paint, run and search one seed (`case`: seed, whether with marks); the painted pairs and the suspects."""
    seed, cues = case
    own = folder / f"{seed}-{'marked' if cues else 'twin'}"
    painted = paint(own, seed, count, cues=cues)
    store = str(own / "store")
    spec = RunSpec(data=str(own / "plain.csv"), model=MODEL, target=TARGET, store=store, name="pairs", workers=0)
    run_audit(spec.checked())
    return painted, find_suspects(SuspectsSpec(run="pairs", store=store)).suspects


def share_of(suspect: Row, problems: Sequence[str], problem: str) -> float:
    """Share of a suspect's first pairs that have a problem."""
    first = suspect["sample_ids"][:FIRST]
    return sum(problems[sample] == problem for sample in first) / len(first)


def first_with(suspects: Sequence[Row], problems: Sequence[str], problem: str) -> Row | None:
    """The first suspect of the right kind that has a problem in at least half of its first pairs."""
    looking = (one for one in suspects if one["kind"] in PLANTED[problem])
    return next((one for one in looking if share_of(one, problems, problem) >= 0.5), None)


def problem_row(seed: int, suspects: Sequence[Row], problems: Sequence[str], problem: str) -> Row:
    """Where one planted problem is in the list."""
    row: Row = {"part": "problems", "seed": seed, "problem": problem, "planted": problems.count(problem)}
    one = first_with(suspects, problems, problem)
    if one is None:
        looking = [one for one in suspects if one["kind"] in PLANTED[problem]]
        best = max((share_of(one, problems, problem) for one in looking), default=0.0)
        return row | {"rank": None, "precision_at_20": round(best, 3)}
    return row | {
        **{name: one[name] for name in ("rank", "kind", "class_name", "name", "n", "status", "flagged")},
        "precision_at_20": round(share_of(one, problems, problem), 3),
        "precision": round(sum(problems[k] == problem for k in one["sample_ids"]) / one["n"], 3),
        "host_likeness": one["evidence"].get("host_likeness"),
    }


def flags_row(part: str, seed: int, suspects: Sequence[Row], problems: Sequence[str]) -> Row:
    """What is flagged in one list, and which of it has no planted problem in half of its first pairs."""
    flagged = [one for one in suspects if one["flagged"]]
    false = [one for one in flagged if all(share_of(one, problems, problem) < 0.5 for problem in PLANTED)]
    return {
        "part": part,
        "seed": seed,
        "suspects": len(suspects),
        "flagged": dict(Counter(one["kind"] for one in flagged)),
        "flagged_false": [f"{one['rank']} {one['kind']} {one['class_name']}: {one['name']}" for one in false],
        "flagged_marks": sum(one["kind"] in MARKS for one in flagged),
    }


def rows_of(case: tuple[int, bool], painted: Sequence[Row], suspects: Sequence[Row]) -> list[Row]:
    """The rows about one search."""
    (seed, cues), problems = case, [row["problem"] for row in painted]
    if not cues:
        return [flags_row("twins", seed, suspects, problems) | _swapped(suspects, problems)]
    rows = [problem_row(seed, suspects, problems, problem) for problem in PLANTED]
    return [*rows, flags_row("problems", seed, suspects, problems) | {"problem": "all"}]


def _swapped(suspects: Sequence[Row], problems: Sequence[str]) -> Row:
    found = first_with(suspects, problems, "swapped")
    return {"swapped_rank": None if found is None else found["rank"]}


def summary(rows: Sequence[Row]) -> list[Row]:
    """Per planted problem over all seeds."""
    found = []
    for problem in PLANTED:
        own = [row for row in rows if row["part"] == "problems" and row["problem"] == problem]
        there = [row for row in own if row["rank"] is not None]
        found.append(
            {
                "problem": problem,
                "seeds": len(own),
                "found": len(there),
                "median_rank": statistics.median(row["rank"] for row in there) if there else None,
                "mean_precision_at_20": _mean(own, "precision_at_20"),
                "least_precision_at_20": min((row["precision_at_20"] for row in own), default=None),
                "verified": sum(row["status"] == "verified" for row in there),
                "flagged": sum(row["flagged"] for row in there),
            }
        )
    return found


def _mean(rows: Sequence[Row], name: str) -> float | None:
    return round(statistics.fmean(row[name] for row in rows), 3) if rows else None


def measure(seeds: Sequence[int], count: int, workers: int) -> list[Row]:
    """All rows."""
    cases = [(seed, cues) for cues in (True, False) for seed in seeds]
    with TemporaryDirectory() as folder, ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        rows: list[Row] = []
        marked: list[Row] = []
        for case, (painted, suspects) in zip(cases, pool.map(partial(audit, Path(folder), count), cases), strict=True):
            print(f"searched {case[0]} {'with' if case[1] else 'without'} marks", file=sys.stderr)
            rows += rows_of(case, painted, suspects)
            marked += painted if case[1] else []
        return deletion_rows(marked, count) + rows


def show(rows: Sequence[Row]) -> None:
    """Print one table per part."""
    columns = {
        "deletion": ("problem", "method", "start_layer", "n", "mean", "mean_random", "mean_ratio", "blur_ratio",
                     "word", "word_random", "word_ratio"),
        "problems": ("seed", "problem", "rank", "kind", "precision_at_20", "status", "flagged", "flagged_false"),
        "twins": ("seed", "suspects", "flagged", "flagged_false", "swapped_rank"),
    }  # fmt: skip
    for part, names in columns.items():
        table = Table(*names, title=part)
        for row in rows:
            if row["part"] == part:
                table.add_row(*(str(row.get(name, "")) for name in names))
        Console(width=140).print(table)


def main() -> None:
    """Measure, print tables, and write JSON when asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--count", type=int, default=300, help="pairs per seed")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    rows = measure(options.seeds, options.count, options.workers)
    show(rows)
    report("pair_evidence", rows, options.json, seeds=options.seeds, count=options.count, summary=summary(rows))


if __name__ == "__main__":
    main()
