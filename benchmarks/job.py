"""What the whole job costs beside the bare engine, and whether it costs the same with more samples.

    python benchmarks/job.py [--json FILE] [--sections engine decoding growth] [--growth 1000 10000 100000]

``engine``: JPEGs of 500 x 375, ViT-B/16 with random weights; samples per second of ``python -m jobs run`` (reading,
decoding, explaining, summaries, writing) over those of the bare engine on tensors that lie in memory, measured just
before and just after. ``decoding``: pictures of 4000 x 3000 and a tiny model, so that decoding is what takes the time;
how many cores were busy. ``growth``: a tiny model on more and more samples; seconds per sample and peak memory of the
job's process.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import psutil
import timm
import torch
from PIL import Image, ImageFilter
from rich.console import Console
from safetensors.torch import save_file

from benchmarks.harness import ROOT, report, synchronise
from engine import explain
from engine.models.loading import load_model
from jobs.pipeline.sizing import batch_bytes, batch_for_shared_memory, default_batch_size

CONSOLE = Console(stderr=True)
SECTIONS = ("engine", "decoding", "growth")
Architecture = tuple[str, int, dict[str, Any]]
BASE: Architecture = ("vit_base_patch16_224", 224, {})
LARGE: Architecture = ("vit_large_patch14_clip_336", 336, {"img_size": 336})
TINY: Architecture = (
    "vit_tiny_patch16_224",
    32,
    {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 3},
)
DIFFERENT = 256
"""Pictures that are not the same; more would take longer to draw than to explain."""
LONG = 384
"""Large pictures: enough for half a minute, of which the start and the end of the workers are a small part."""
MEASURED = 2048
"""Samples that are enough to tell how fast the bare engine is."""
Row = dict[str, Any]


def main() -> None:
    """Measure some sections and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=SECTIONS)
    parser.add_argument("--pictures", type=int, default=96, help="of the section engine")
    parser.add_argument("--growth", nargs="+", type=int, default=(1_000, 10_000, 100_000))
    options = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for section in options.sections:
            made = Path(folder) / section
            made.mkdir()
            for row in {
                "engine": lambda made=made: [beside_engine(made, options.pictures)],
                "decoding": lambda made=made: [decoding(made)],
                "growth": lambda made=made: growth(made, options.growth),
            }[section]():
                rows.append({"section": section, **row})
                CONSOLE.print(" ".join(f"{key}={value}" for key, value in rows[-1].items()))
    report("job", rows, options.json)


def save_model(folder: Path, name: str, size: int, arguments: dict[str, Any]) -> str:
    """Random weights in timm's folder format, as ``--model`` takes it."""
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=10, **arguments)
    folder.mkdir()
    config = {
        "architecture": name,
        "num_classes": 10,
        "model_args": arguments,
        "pretrained_cfg": {"input_size": [3, size, size], "num_classes": 10, "crop_pct": 0.9},
    }
    (folder / "config.json").write_text(json.dumps(config))
    save_file(model.state_dict(), folder / "model.safetensors")
    return f"timm:local-dir:{folder}"


def picture(seed: int, width: int, height: int) -> Image.Image:
    """Blobs with grain, which compress as a photograph does."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (height // 50 + 2, width // 50 + 2, 3), np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.int16)
    grain = Image.fromarray(random.integers(0, 256, (height, width), np.uint8)).filter(ImageFilter.GaussianBlur(1))
    return Image.fromarray(
        np.clip(smooth + (np.asarray(grain, np.int16)[..., None] - 128) // 2, 0, 255).astype(np.uint8)
    )


def pictures(folder: Path, count: int, width: int, height: int, different: int = DIFFERENT) -> Path:
    """A folder of JPEGs, the same few again and again under other names."""
    folder.mkdir()
    for number in range(count):
        file = folder / f"{number:05}.jpg"
        if number < different:
            picture(number, width, height).save(file, quality=90)
        else:
            file.hardlink_to(folder / f"{number % different:05}.jpg")
    return folder


def run(data: Path, model: str, store: Path, *options: str) -> tuple[Row, float, float]:
    """``python -m jobs run``: its document, the peak memory of its process (MB), and how many cores it kept busy."""
    command = [sys.executable, "-m", "jobs", "run", "--data", str(data), "--model", model, "--store", str(store)]
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(
            [*command, "--json", *options], cwd=ROOT, stdout=subprocess.PIPE, stderr=said, text=True
        ) as process,
    ):
        watched, peak, busy = psutil.Process(process.pid), 0, [(time.perf_counter(), 0.0)]
        while process.poll() is None:
            try:
                peak = max(peak, watched.memory_info().rss)
                if (store / "runs").exists():  # the work has begun
                    busy.append((time.perf_counter(), _cpu_seconds(watched)))
            except psutil.Error:
                pass
            time.sleep(0.1)
        assert process.stdout is not None
        printed = process.stdout.read()
        if process.returncode:
            said.seek(0)
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {said.read()[-1000:]}")
        document: Row = json.loads(printed)
    (start, used), (end, last) = busy[len(busy) // 4], busy[-1 - len(busy) // 10]
    return document, peak / 1e6, (last - used) / max(end - start, 1e-9)


def _cpu_seconds(process: psutil.Process) -> float:
    seconds = 0.0
    for each in (process, *process.children(recursive=True)):
        times = each.cpu_times()
        seconds += times.user + times.system + times.children_user + times.children_system  # children that have ended
    return seconds


def beside_engine(
    folder: Path,
    count: int,
    device: str = "cpu",
    precision: str = "fp32",
    architecture: Architecture = BASE,
) -> Row:
    """The whole job against ``explain`` alone, at the batch size that the job chooses."""
    name, size, arguments = architecture
    model = save_model(folder / "model", name, size, arguments)
    data = pictures(folder / "data", count, 500, 375)
    loaded = load_model(model, device=device, precision=precision)
    vit: Any = loaded.model
    tokens, depth = vit.patch_embed.num_patches + 1, len(vit.blocks)
    fitting = default_batch_size(loaded.model, tokens=tokens, depth=depth, device=device)
    batch = batch_for_shared_memory(fitting, batch_bytes(1, (size, size)))
    before = bare(loaded, batch, count, size)
    options = ("--batch-size", str(batch), "--device", device, "--precision", precision)
    document, peak, busy = run(data, model, folder / "store", *options)
    after = bare(loaded, batch, count, size)
    engine = (before + after) / 2
    return {
        "samples": document["explained"],
        "batch": batch,
        "engine_per_s": round(engine, 3),
        "engine_before_and_after": [round(before, 3), round(after, 3)],
        "job_per_s": document["samples_per_second"],
        "job_over_engine": round(document["samples_per_second"] / engine, 3),
        "cores_busy": round(busy, 2),
        "shares": document["shares"],
        "peak_mb": round(peak),
    }


def bare(loaded: Any, batch: int, count: int, size: int = 224) -> float:
    """Samples per second of the engine on random tensors."""
    images = torch.randn(batch, 3, size, size, device=next(loaded.model.parameters()).device)
    explain(loaded, {"image": images}, patches=8)
    rounds = max(1, min(count, MEASURED) // batch)
    synchronise()
    start = time.perf_counter()
    for _ in range(rounds):
        explain(loaded, {"image": images}, patches=8)
    synchronise()
    return rounds * batch / (time.perf_counter() - start)


def decoding(folder: Path) -> Row:
    """Large pictures, tiny model."""
    model = save_model(folder / "model", *TINY)
    data = pictures(folder / "data", LONG, 4000, 3000, different=32)
    document, peak, busy = run(data, model, folder / "store", "--batch-size", "4", "--part-size", "96")
    return {
        "samples": document["explained"],
        "job_per_s": document["samples_per_second"],
        "cores_busy": round(busy, 2),
        "shares": document["shares"],
        "peak_mb": round(peak),
    }


def growth(folder: Path, counts: Sequence[int]) -> list[Row]:
    """The same thousand small pictures again and again, under other names: a run explains no picture twice."""
    model = save_model(folder / "model", *TINY)
    random = np.random.default_rng(0)
    for number in range(1000):
        Image.fromarray(random.integers(0, 256, (32, 32, 3), np.uint8)).save(folder / f"{number}.png")
    for number in range(1000, max(counts)):
        (folder / f"{number}.png").hardlink_to(folder / f"{number % 1000}.png")
    rows: list[Row] = []
    for count in counts:
        data = folder / f"{count}.csv"
        with data.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["image", "number"])
            writer.writerows([f"{number}.png", number] for number in range(count))
        document, peak, _ = run(data, model, folder / f"store-{count}", "--batch-size", "64")
        assert document["explained"] == count
        rows.append(
            {
                "samples": document["explained"],
                "ms_per_sample": round(1000 / document["samples_per_second"], 3),
                "seconds": document["seconds"],
                "peak_mb": round(peak),
            }
        )
        rows[-1]["over_first"] = round(rows[-1]["ms_per_sample"] / rows[0]["ms_per_sample"], 3)
        if len(rows) > 1:  # what the samples that came on top cost: without the start of the workers
            more, seconds = count - rows[-2]["samples"], rows[-1]["seconds"] - rows[-2]["seconds"]
            rows[-1]["ms_per_further_sample"] = round(1000 * seconds / more, 3)
    return rows


if __name__ == "__main__":
    main()
