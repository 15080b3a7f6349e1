"""Measure time and peak memory of several ways of doing one thing, interleaved, in one process."""

from __future__ import annotations

import ctypes
import gc
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parent.parent
MEGABYTE = 1e6
Work = Callable[[], object]


def interleaved(variants: Mapping[str, Work], rounds: int) -> dict[str, list[float]]:
    """Run every variant once to warm up, then all of them in turn; returns seconds per round and variant."""
    for work in variants.values():
        work()
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, work in variants.items():
            gc.collect()
            synchronise()
            start = time.perf_counter()
            work()
            synchronise()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def median_ratio(numerator: list[float], denominator: list[float]) -> float:
    """Median over rounds of the ratio within a round: robust when the machine's speed drifts."""
    return statistics.median(a / b for a, b in zip(numerator, denominator, strict=True))


def peak_megabytes(work: Work) -> float:
    """Memory that one run adds to what is there before it: CUDA's allocator, or resident memory on Linux."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        return (torch.cuda.max_memory_allocated() - before) / MEGABYTE
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = _status("VmRSS")
    work()
    return max(0.0, _status("VmHWM") - before) / MEGABYTE


def report(name: str, rows: list[dict[str, Any]], file: Path | None, **extra: Any) -> dict[str, Any]:
    """Return the benchmark's document, and write it when a file is given."""
    document = {
        "benchmark": name,
        "versions": versions(),
        "machine": machine(),
        "commit": commit(),
        **extra,
        "rows": rows,
    }
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(document, indent=1) + "\n")
    return document


def versions() -> dict[str, str]:
    """Versions of everything that takes part."""
    packages = ("torch", "timm", "open_clip_torch", "transformers", "captum", "grad-cam", "torchcam", "duckdb")
    return {"python": platform.python_version(), **{p: _version(p) for p in packages}}


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"cpu": _cpu_name(), "threads": torch.get_num_threads(), "cores": os.cpu_count(), "gpu": gpu,
            "load_before": round(os.getloadavg()[0], 2)}  # fmt: skip


def commit() -> str | None:
    """Commit of the working tree; marked when it has uncommitted changes."""
    run = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _status(field: str) -> int:
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(field))
    return int(line.split()[1]) * 1024


def _cpu_name() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), platform.processor())


def synchronise() -> None:
    """Wait for what the GPU has been asked for."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
