"""Time and peak memory of the engine against the physical limit, the authors' algorithm and other explainers.

    python benchmarks/engine.py [--json FILE] [--models vit_s16 vit_b16 clip_b32] [--batches 1 4 8] [--rounds 5]

Variants, all on the same randomly initialised weights and interleaved in one run: ``forward`` (no gradient), ``limit``
(fused forward and backward to the input, weights frozen), ``stream`` (ours, all layers; relevancies alone, as the
others give), ``stream_job`` (with the features and patch states that a job stores), ``record`` (ours, whole maps),
``stream_last`` (ours, last layer; CLIP only), ``authors_batch1`` (their algorithm), ``grad_cam_lib`` (as its README
uses it; ``_frozen``: no gradient below its layer), ``captum`` (input x gradient), ``torchcam_legrad`` (all blocks).
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import timm
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks import authors, peers
from benchmarks.harness import Work, interleaved, median_ratio, peak_megabytes, report
from engine import explain
from engine.capture.scope import frozen

VITS = {"vit_s16": "vit_small_patch16_224", "vit_b16": "vit_base_patch16_224", "vit_l16": "vit_large_patch16_224"}
CLIPS = {"clip_b32": ("ViT-B-32", 12, 12), "clip_l14": ("ViT-L-14", 24, 12)}
"""Name in open_clip, blocks of the image and of the text tower."""
JOB_PATCHES = 8


def vit_variants(model: Any, images: Tensor) -> dict[str, Work]:
    """All ways to explain the predicted class of a batch with a timm ViT."""
    still, twin = peers.frozen_copy(model), peers.as_torchvision(model).requires_grad_(False)
    last = f"blocks.{len(model.blocks) - 1}.norm1"
    top = peers.frozen_copy(model, below=last)
    with torch.no_grad():
        classes = model(images).argmax(dim=1)
    return {
        "forward": lambda: forward(model, images),
        "limit": lambda: limit(model, images),
        "stream": lambda: explain(model, images, engine="stream", features=False),
        "stream_job": lambda: explain(model, images, engine="stream", patches=JOB_PATCHES),
        "record": lambda: explain(model, images, engine="record"),
        "authors_batch1": lambda: authors.vit_relevancy(model, images),
        "grad_cam_lib": lambda: peers.grad_cam(model, model.get_submodule(last), images, (14, 14)),
        "grad_cam_lib_frozen": lambda: peers.grad_cam(top, top.get_submodule(last), images, (14, 14)),
        "captum": lambda: peers.captum_input_x_gradient(still, images, classes),
        "torchcam_legrad": lambda: peers.torchcam_legrad(twin, images, classes.tolist()),
    }


def clip_variants(model: Any, images: Tensor, texts: Tensor, blocks: tuple[int, int]) -> dict[str, Work]:
    """All ways to explain the logits of a batch of pairs with an open_clip model."""
    still, pairs = peers.ImageLogit(peers.frozen_copy(model), texts), {"image": images, "text": texts}
    plain, last = peers.ImageLogit(model, texts), f"visual.transformer.resblocks.{blocks[0] - 1}.ln_1"
    side = images.shape[-1] // model.visual.patch_size[0]
    top = peers.ImageLogit(peers.frozen_copy(model, below=last), texts)
    zero = torch.zeros(len(images), dtype=torch.long)
    sites = {
        "image": [f"visual.transformer.resblocks.{i}.attn" for i in range(blocks[0])],
        "text": [f"transformer.resblocks.{i}.attn" for i in range(blocks[1])],
    }
    return {
        "forward": lambda: forward(still, images),
        "limit": lambda: pair_limit(model, images, texts),
        "stream": lambda: explain(model, pairs, engine="stream", features=False),
        "stream_job": lambda: explain(model, pairs, engine="stream", patches=JOB_PATCHES),
        "stream_last": lambda: explain(model, pairs, engine="stream", start_layer=-1, features=False),
        "record": lambda: explain(model, pairs, engine="record"),
        "authors_batch1": lambda: authors.clip_relevancy(model, images, texts, sites),
        "grad_cam_lib": lambda: peers.grad_cam(plain, plain.get_submodule(f"clip.{last}"), images, (side, side)),
        "grad_cam_lib_frozen": lambda: peers.grad_cam(top, top.get_submodule(f"clip.{last}"), images, (side, side)),
        "captum": lambda: peers.captum_input_x_gradient(still, images, zero),
    }


def forward(model: nn.Module, images: Tensor) -> None:
    """A plain forward pass."""
    with torch.no_grad():
        model(images)


def limit(model: nn.Module, images: Tensor) -> None:
    """What no gradient method to the input can undercut: fused attention, frozen weights."""
    with frozen(model):
        pixels = images.clone().requires_grad_()
        torch.autograd.grad(model(pixels).amax(dim=1).sum(), pixels)


def pair_limit(model: Any, images: Tensor, texts: Tensor) -> None:
    """The same for pairs: to the pixels and to the token embeddings."""
    embedded: list[Tensor] = []

    def leaf(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        embedded.append(output.detach().requires_grad_())
        return embedded[-1]

    handle = model.token_embedding.register_forward_hook(leaf)
    try:
        with frozen(model):
            pixels = images.clone().requires_grad_()
            logits = peers.ImageLogit(model, texts)(pixels)
            torch.autograd.grad(logits.sum(), [pixels, embedded[0]])
    finally:
        handle.remove()


def build(name: str, batch: int) -> Callable[[], dict[str, Work]]:
    """Return a function that builds a model with inputs and gives its variants."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch, 3, 224, 224, generator=generator)
    if name in VITS:
        return lambda: vit_variants(timm.create_model(VITS[name], num_classes=1000).eval(), images)
    import open_clip

    texts = torch.zeros(batch, 77, dtype=torch.long)
    texts[:, 0], texts[:, 11] = 49406, 49407
    texts[:, 1:11] = torch.randint(1, 40000, (batch, 10), generator=generator)
    architecture, *blocks = CLIPS[name]
    return lambda: clip_variants(
        open_clip.create_model(architecture, load_weights=False).eval(), images, texts, (blocks[0], blocks[1])
    )


def measure(name: str, batch: int, rounds: int, only: list[str] | None = None) -> list[dict[str, Any]]:
    """Measure all variants of one model at one batch size, or some beside `limit` and `forward`."""
    torch.manual_seed(0)
    variants = build(name, batch)()
    if only:
        variants = {name: work for name, work in variants.items() if name in {"limit", "forward", *only}}
    seconds = interleaved(variants, rounds)
    memory = {variant: peak_megabytes(work) for variant, work in variants.items()}
    return [
        {
            "model": name,
            "image_size": 224,
            "batch": batch,
            "variant": variant,
            "ms_per_sample": round(1000 * statistics.median(seconds[variant]) / batch, 2),
            "peak_mb": round(memory[variant], 1),
            "ratio_to_limit": round(median_ratio(seconds[variant], seconds["limit"]), 3),
            "ratio_to_forward": round(median_ratio(seconds[variant], seconds["forward"]), 3),
        }
        for variant in variants
    ]


def show(rows: list[dict[str, Any]]) -> None:
    """Print the table."""
    table = Table(title="engine: time per sample, peak memory, ratio to forward + backward to the input")
    for column in ("model", "batch", "variant", "ms/sample", "peak MB", "over limit", "over forward"):
        table.add_column(column, justify="left" if column in ("model", "variant") else "right")
    for row in rows:
        table.add_row(row["model"], str(row["batch"]), row["variant"], f"{row['ms_per_sample']:.1f}",
                      f"{row['peak_mb']:.0f}", f"{row['ratio_to_limit']:.2f}",
                      f"{row['ratio_to_forward']:.2f}", end_section=False)  # fmt: skip
    Console(width=110).print(table)


def main() -> None:
    """Parse arguments, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--models", nargs="+", default=["vit_s16", "vit_b16", "clip_b32"], choices=[*VITS, *CLIPS])
    parser.add_argument("--variants", nargs="+", help="only these, besides limit and forward")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 4, 8])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rows = []
    for name in options.models:
        for batch in options.batches:
            print(f"measuring {name}, batch {batch} ...", file=sys.stderr)
            rows += measure(name, batch, options.rounds, options.variants)
    show(rows)
    report("engine", rows, options.json, rounds=options.rounds)


if __name__ == "__main__":
    main()
