"""Everything about one GPU in one call, in less than eight minutes.

    python benchmarks/gpu.py [--json FILE] [--sections rate models kernels job tests]
    python benchmarks/gpu.py --device cpu --tiny     # does the script itself work? Its figures mean nothing.

``rate``: TFLOP/s of a large square product in ``--precision``, which is what this card can do at best.
``models``: random weights, autocast: ``forward`` (no gradient), ``limit`` (fused forward and backward to the input,
weights frozen), ``stream`` (ours, all layers, kernel chosen by itself) and ``stream_plain`` (ours, the kernel in
PyTorch); samples per second, peak memory, ratio to the limit, and the share of the measured rate. The last counts
for all but ``forward`` the operations of the *limit* (formulas of ``torch.utils.flop_counter``: 2 m n k per product,
attention included on CUDA), so what ours forms anew is no merit of it. ``kernels``: one attention call on the way back,
without and with a row of GAE. ``job``: ``python -m jobs run`` on JPEGs of 500 x 375 over the bare engine. ``tests``:
those that need a GPU. What is done is written after every section. Exit code 2 without a GPU, 1 when something failed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from benchmarks import job
from benchmarks.engine import limit, pair_limit
from benchmarks.harness import ROOT, Work, interleaved, median_ratio, peak_megabytes, report, synchronise
from engine import LoadedModel, explain
from engine.capture.backward import VARIABLE, attention_backward
from engine.capture.calls import AttentionCall
from engine.capture.fused import FusedCall
from engine.capture.kernel import AttentionOperands
from engine.errors import EngineError
from engine.methods import GAE
from engine.models import find_adapter
from engine.precision import PRECISIONS

SECTIONS = ("rate", "models", "kernels", "job", "tests")
CALLS = 20
"""Attention calls that are timed together on a GPU."""
Row = dict[str, Any]


@dataclass(frozen=True)
class Sizes:
    """How large everything is.

    Attributes:
        product: rows of the square product.
        models: name -> (how to build it, size of pictures, batch).
        calls: name -> (batch, heads, tokens, width of a head, causal) of an attention call.
        jobs: models of jobs, and how many pictures.
    """

    product: int
    models: dict[str, tuple[Callable[[], nn.Module], int, int]]
    calls: dict[str, tuple[int, int, int, int, bool]]
    jobs: list[tuple[job.Architecture, int]]


def main() -> int:
    """Measure some sections, print each row when it is there; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=SECTIONS)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--precision", default="bf16", choices=[p.name for p in PRECISIONS.values() if p.half])
    parser.add_argument("--tiny", action="store_true", help="small models, to try the script")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if not options.tiny and not (options.device.startswith("cuda") and torch.cuda.is_available()):
        print("benchmarks/gpu.py needs a CUDA GPU and sees none; --device cpu --tiny tries the script", file=sys.stderr)
        return 2
    bench = Bench(TINY if options.tiny else FULL, options.device, options.precision, options.rounds)
    rows: list[Row] = []
    for section in options.sections:
        for row in bench.section(section):
            rows.append({"section": section, **row})
            print(" ".join(f"{key}={value}" for key, value in rows[-1].items()), flush=True)
        report("gpu", rows, options.json, device=options.device, precision=options.precision, tiny=options.tiny)
    return int(any(row.get("failed") for row in rows))


class Bench:
    """Measures on one device in one format."""

    def __init__(self, sizes: Sizes, device: str, precision: str, rounds: int) -> None:
        self.sizes, self.device, self.rounds = sizes, device, rounds
        self.precision = PRECISIONS[precision]
        self.rate: float | None = None

    def section(self, name: str) -> Iterator[Row]:
        """Rows of one of ``SECTIONS``, as they are measured; an error ends the section, not the lease of a machine."""
        rows = {
            "rate": self.products,
            "models": self.models,
            "kernels": self.kernels,
            "job": self.whole_job,
            "tests": gpu_tests,
        }[name]()
        try:
            yield from rows
        except Exception as error:  # whatever a driver raises
            yield failure(error)

    def products(self) -> Iterator[Row]:
        """The best of the rounds of a square product, in TFLOP/s."""
        n, repeats = self.sizes.product, 20
        a, b = (torch.randn(n, n, device=self.device).to(self.precision.dtype) for _ in range(2))
        seconds = interleaved({"product": lambda: [a @ b for _ in range(repeats)]}, self.rounds)["product"]
        self.rate = repeats * 2 * n**3 / min(seconds)
        yield {"rows": n, "tflops": round(self.rate / 1e12, 3)}

    def models(self) -> Iterator[Row]:
        """Every way to run every model."""
        for name, (build, size, batch) in self.sizes.models.items():
            torch.manual_seed(0)
            model = build().eval().to(self.device)
            images = torch.randn(batch, 3, size, size, device=self.device)
            works = self._ways(model, images)
            flops = dict.fromkeys(works, operations(works["limit"])) | {"forward": operations(works["forward"])}
            seconds = interleaved(works, self.rounds)
            for way, work in works.items():
                middle = statistics.median(seconds[way])
                yield {
                    "model": name,
                    "batch": batch,
                    "way": way,
                    "samples_per_s": round(batch / middle, 2),
                    "peak_mb": round(peak_megabytes(work), 1),
                    "over_limit": round(median_ratio(seconds[way], seconds["limit"]), 3),
                    "gflop_per_sample": round(flops[way] / batch / 1e9, 6),
                    "share_of_rate": round(flops[way] / middle / self.rate, 3) if self.rate else None,
                }
            del model, images, works, work
            if self.device.startswith("cuda"):
                torch.cuda.empty_cache()

    def _ways(self, model: Any, images: Tensor) -> dict[str, Work]:
        adapter = find_adapter(model)
        loaded = LoadedModel(model, "random", adapter, None, None, None, self.precision.name)
        texts = texts_of(model, images) if "text" in adapter.modalities else None
        inputs: Any = images if texts is None else {"image": images, "text": texts}

        def plain_forward() -> None:
            with torch.no_grad():
                model(images) if texts is None else model(images, texts)

        def to_the_input() -> None:
            limit(model, images) if texts is None else pair_limit(model, images, texts)

        def streamed(kernel: str) -> Work:
            def work() -> object:
                with forced(kernel):
                    return explain(loaded, inputs, engine="stream")

            return work

        return {
            "forward": self._under_autocast(plain_forward),
            "limit": self._under_autocast(to_the_input),
            "stream": streamed("auto"),
            "stream_plain": streamed("plain"),
        }

    def _under_autocast(self, work: Work) -> Work:
        def inside() -> object:
            with self.precision.autocast(self.device.partition(":")[0]):
                return work()

        return inside

    def kernels(self) -> Iterator[Row]:
        """What a call costs on the way back: the library's gradients alone, and with a row of GAE by each kernel."""
        for name, (batch, heads, tokens, width, causal) in self.sizes.calls.items():
            q, k, v, d_out = self._heads(batch, heads, tokens, width)
            call = AttentionCall(name, q, k, v, None, causal, None, F.scaled_dot_product_attention)
            fused, row = FusedCall(call), torch.rand(batch, tokens, device=self.device)
            operands = AttentionOperands(q, k, v, call.softmax_scale, call.bias())
            outs = {kernel: torch.zeros_like(row) for kernel in ("plain", "triton")}
            works = {kernel: backward_by(kernel, operands, d_out, row, out, fused) for kernel, out in outs.items()}
            try:
                works["triton"]()
                works["plain"]()
            except EngineError as error:
                yield {"call": name, "kernel": "triton", "skipped": str(error)}
                del works["triton"]
            else:
                far = float((outs["triton"] - outs["plain"]).abs().max() / outs["plain"].abs().max())
                yield {"call": name, "kernel": "triton", "row_apart": far, "failed": int(not far < 1e-5)}
            works["library"] = partial(fused.gradients, d_out)
            calls = CALLS if self.device.startswith("cuda") else 1
            seconds = interleaved({kernel: repeated(work, calls) for kernel, work in works.items()}, self.rounds)
            for kernel, work in works.items():
                yield {
                    "call": name,
                    "kernel": kernel,
                    "ms": round(1000 * statistics.median(seconds[kernel]) / calls, 3),
                    "over_library": round(median_ratio(seconds[kernel], seconds["library"]), 3),
                    "peak_mb": round(peak_megabytes(work), 1),
                }

    def _heads(self, batch: int, heads: int, tokens: int, width: int) -> list[Tensor]:
        """q, k, v and the gradient of the output, [B, H, N, d], as the layers of a model leave them in memory."""
        dtype = self.precision.dtype
        packed = torch.randn(batch, tokens, 3, heads, width, device=self.device).to(dtype)
        d_out = torch.randn(batch, tokens, heads, width, device=self.device).to(dtype)
        return [*packed.permute(2, 0, 3, 1, 4).unbind(), d_out.transpose(1, 2)]

    def whole_job(self) -> Iterator[Row]:
        """The command line over the bare engine, for a model that takes its time and for one that hardly does."""
        for architecture, count in self.sizes.jobs:
            begun = time.perf_counter()
            with tempfile.TemporaryDirectory() as folder:
                try:
                    row = job.beside_engine(Path(folder), count, self.device, self.precision.name, architecture)
                except Exception as error:  # the other model may do better
                    row = failure(error)
            yield {"model": architecture[0], **row, "seconds_in_all": round(time.perf_counter() - begun, 1)}


def failure(error: Exception) -> Row:
    """What a row says of an error."""
    return {"failed": 1, "error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}


class _Counter(TorchDispatchMode):
    """Adds up PyTorch's own formulas; its FlopCounterMode cannot look into ``autograd.grad``."""

    flops = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        formula = flop_registry.get(function._overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **(kwargs or {}), out_val=out)
        return out


def operations(work: Work) -> int:
    """Multiplications and additions of all products, 2 m n k each."""
    with _Counter() as counter:
        work()
    return counter.flops


def backward_by(
    kernel: str, call: AttentionOperands, d_out: Tensor, row: Tensor, out: Tensor, fused: FusedCall
) -> Work:
    """One call's backward with GAE's fold; ``out`` is emptied first."""

    def work() -> object:
        out.zero_()
        return attention_backward(call, d_out, GAE().folded(out, row), True, kernel=kernel, fused=fused)

    return work


def repeated(work: Work, times: int) -> Work:
    """The same thing several times over: a GPU is done with one call before the next has been asked for."""

    def all_of_it() -> None:
        for _ in range(times):
            work()

    return all_of_it


@contextmanager
def forced(kernel: str) -> Iterator[None]:
    """Have the engine take a kernel."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = kernel
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


def gpu_tests() -> Iterator[Row]:
    """The tests that need a GPU, in a process of their own."""
    synchronise()
    command = [sys.executable, "-m", "pytest", "tests/engine/test_gpu.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.strip()] or ["pytest said nothing"]
    yield {"file": command[-1], "failed": done.returncode, "outcome": lines[-1]}


def texts_of(model: Any, images: Tensor) -> Tensor:
    """Token ids [B, context] for an open_clip model: words, then its largest id, which ends a text."""
    vocabulary, context = model.token_embedding.num_embeddings, model.context_length
    words = torch.randint(1, vocabulary - 2, (len(images), context), device=images.device)
    words[:, 0], words[:, context // 2], words[:, context // 2 + 1 :] = vocabulary - 2, vocabulary - 1, 0
    return words


def timm_model(name: str, **arguments: Any) -> Callable[[], nn.Module]:
    """A timm model with random weights."""

    def build() -> nn.Module:
        import timm

        return timm.create_model(name, num_classes=1000, **arguments)

    return build


def open_clip_model(name: str) -> Callable[[], nn.Module]:
    """An open_clip model with random weights."""

    def build() -> nn.Module:
        import open_clip

        return open_clip.create_model(name, load_weights=False)

    return build


def tiny_clip() -> nn.Module:
    """Two blocks per tower."""
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    vision = CLIPVisionCfg(layers=2, width=32, head_width=16, patch_size=8, image_size=32)
    return CLIP(16, vision, CLIPTextCfg(context_length=12, vocab_size=50, width=32, heads=2, layers=2))


FULL = Sizes(
    product=8192,
    models={
        "ViT-B/16 224": (timm_model("vit_base_patch16_224"), 224, 256),
        "ViT-L/14 336": (timm_model("vit_large_patch14_clip_336"), 336, 64),
        "CLIP L/14": (open_clip_model("ViT-L-14"), 224, 128),
    },
    calls={
        "ViT-B/16 224": (64, 12, 197, 64, False),
        "ViT-L/14 336": (32, 16, 577, 64, False),
        "CLIP L/14 text": (64, 12, 77, 64, True),
    },
    jobs=[(job.LARGE, 4096), (job.BASE, 32768)],
)
TINY = Sizes(
    product=128,
    models={
        "tiny ViT": (timm_model(job.TINY[0], **job.TINY[2]), 32, 2),
        "tiny CLIP": (tiny_clip, 32, 2),
    },
    calls={"tiny": (2, 2, 20, 16, False), "tiny, causal": (2, 2, 20, 16, True)},
    jobs=[(job.TINY, 4)],
)


if __name__ == "__main__":
    sys.exit(main())
