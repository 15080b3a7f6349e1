"""Run auditors over generated datasets; finished work is kept and never done twice."""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import torch

from benchmarks.spurious.backbone import ensure_backbone
from benchmarks.spurious.case import AUDITED, Case, Pools, build_case, load_pools
from benchmarks.spurious.chance import chance
from benchmarks.spurious.domino import domino
from benchmarks.spurious.ours import OURS
from benchmarks.spurious.score import Row, flagged_classes, hits_of, rank_of, too_rare
from benchmarks.spurious.settings import DatasetSpec
from benchmarks.spurious.slices import Auditor, Slice
from benchmarks.spurious.spray import spray

AUDITORS: dict[str, Auditor] = {**OURS, "spray": spray, "domino": domino, "random": chance}
RIVALS = ("spray", "domino", "random")
ALARMING = frozenset({"ours"})
"""Auditors that raise alarms and are therefore asked about the cue-free twin too; the rivals never do."""
Key = tuple[str, str]
CACHE = Path.home() / ".cache" / "relevancy-audit" / "benchmarks" / "spurious"


def case_rows(case: Case) -> list[Row]:
    """One row about the dataset, one per cue."""
    spec = case.spec
    right = {name: round(float((s.predicted == s.labels).mean()), 3) for name, s in
             (("accuracy", case.subject), ("accuracy_twin", case.twin))}  # fmt: skip
    rows: list[Row] = [
        {
            "row": "dataset",
            "modality": spec.modality,
            "classes": spec.classes,
            **right,
            "seconds": _rounded(case.seconds),
        }
    ]  # fmt: skip
    for k, (cue, reliance) in enumerate(zip(spec.cues, case.reliances, strict=True)):
        hits = hits_of(case.truth, case.subject.predicted, k)
        rows.append(
            {
                "row": "cue", "cue": k, **asdict(cue), **_rounded(asdict(reliance)), "relies": reliance.relies,
                "samples": int((case.truth.cue_of == k).sum()), "hits": int(hits.sum()), "too_rare": too_rare(hits),
            }
        )  # fmt: skip
    return rows


def auditor_rows(case: Case, slices: Sequence[Slice], twin_slices: Sequence[Slice]) -> list[Row]:
    """One row per cue (found, rank) and one per class (alarms)."""
    relied = {cue.class_index for cue, r in zip(case.spec.cues, case.reliances, strict=True) if r.relies}
    rows: list[Row] = []
    for k, (cue, reliance) in enumerate(zip(case.spec.cues, case.reliances, strict=True)):
        hits = hits_of(case.truth, case.subject.predicted, k)
        rank = rank_of(slices, hits)
        rows.append(
            {
                "row": "found", "cue": k, "kind": cue.kind, "prevalence": cue.prevalence, "relies": reliance.relies,
                "too_rare": too_rare(hits), "found": rank is not None, "rank": rank,
            }
        )  # fmt: skip
    alarms, twin_alarms = flagged_classes(slices), flagged_classes(twin_slices)
    for label, name in enumerate(case.spec.classes):
        rows.append(
            {
                "row": "class", "class": name, "clean": label not in relied, "flagged": label in alarms,
                "flagged_twin": label in twin_alarms,
            }
        )  # fmt: skip
    return rows


def run_dataset(
    spec: DatasetSpec,
    auditors: Mapping[str, Auditor],
    pools: Pools,
    cache: Path,
    alarming: Iterable[str] = ALARMING,
    audited: int = AUDITED,
) -> list[Row]:
    """All rows of one dataset: 'dataset', 'cue' once; 'found', 'class' and 'audit' (seconds) per auditor."""
    case = build_case(spec, pools, cache, audited=audited)
    rows = case_rows(case)
    for name, audit in auditors.items():
        start = time.perf_counter()
        slices = audit(case.subject)
        twin_slices = audit(case.twin) if name in alarming else []
        seconds = round(time.perf_counter() - start, 2)
        found = auditor_rows(case, slices, twin_slices)
        rows += [{**row, "auditor": name} for row in [*found, {"row": "audit", "seconds": seconds}]]
    return [{"number": spec.number, "digest": spec.digest(), **row} for row in rows]


@lru_cache(maxsize=1)
def _pools(cache: Path) -> Pools:
    return load_pools(cache)


def _work(spec: DatasetSpec, names: tuple[str, ...], cache: Path) -> list[Row]:
    torch.set_num_threads(1)
    return run_dataset(spec, {name: AUDITORS[name] for name in names}, _pools(cache), cache)


def _read(file: Path, wanted: set[Key]) -> dict[Key, list[Row]]:
    """Finished rows by dataset and auditor ('' for what is about the dataset); later lines replace earlier ones."""
    kept: dict[Key, list[Row]] = {}
    for line in file.read_text().splitlines() if file.exists() else []:
        try:
            kept |= _by_auditor(json.loads(line))
        except ValueError:  # the end of a killed run
            continue
    return {key: rows for key, rows in kept.items() if key in wanted}


def _by_auditor(rows: Iterable[Row]) -> dict[Key, list[Row]]:
    groups: dict[Key, list[Row]] = {}
    for row in rows:
        groups.setdefault((row["digest"], row.get("auditor", "")), []).append(row)
    return groups


def _append(file: Path, rows: list[Row]) -> None:
    """One line per dataset, on a line of its own also behind the end of a killed run."""
    torn = file.exists() and not file.read_bytes().endswith(b"\n")
    with file.open("a") as out:
        out.write(("\n" if torn else "") + json.dumps(rows) + "\n")


def run(
    specs: Sequence[DatasetSpec],
    names: tuple[str, ...] = RIVALS,
    cache: Path = CACHE,
    workers: int = 2,
    report: Callable[[list[Row]], None] = lambda rows: None,
    again: tuple[str, ...] = (),
) -> list[Row]:
    """All rows of all datasets and auditors, in the order of both.

    Each dataset's rows go to a file in the cache as soon as they are there; what it holds is not run again, but for
    the auditors named in `again` (whose code has changed).
    """
    file = cache / "rows.jsonl"
    kept = _read(file, {(spec.digest(), name) for spec in specs for name in ("", *names) if name not in again})
    missing = {spec: tuple(n for n in names if (spec.digest(), n) not in kept) for spec in specs}
    ensure_backbone(cache, load_pools(cache, workers).train)  # once, before the workers need them
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        for future in as_completed([pool.submit(_work, spec, left, cache) for spec, left in missing.items() if left]):
            found = future.result()
            _append(file, found)
            kept |= _by_auditor(found)
            report(found)
    return [row for spec in specs for name in ("", *names) for row in kept[spec.digest(), name]]


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in values.items()}
