"""Compile the Triton kernel for GPUs that need not be there; prints what each program takes, as JSON.

Started by test_triton_kernel.py without TRITON_INTERPRET: the interpreter accepts more than the compiler does, and has
no products of bfloat16.
"""

from __future__ import annotations

import json
import sys

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from engine.capture import triton_kernel

CASES = [(90, "bf16", 64), (80, "fp16", 128), (80, "fp32", 32), (80, "fp32", 128)]
"""H100 and A100 (compute capability), type, width of a head."""
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
PASSES = ("_sums", "_shares")
FLOATS = ("sums_at", "row_at", "shares_at")


def shared_memory(name: str, dtype: str, width: int, bias: bool, architecture: int) -> int:
    """Bytes of shared memory that a program takes once it is compiled."""
    kernel = getattr(triton_kernel, name)
    tile = triton_kernel.fitting_tile(width, TYPES[dtype])
    rows, keys = (2 * tile, tile) if name == "_sums" else (tile, 2 * tile)
    fixed = {"BIAS": bias, "ROWS": rows, "KEYS": keys, "D": width, "E": width}
    signature = {}
    for argument in kernel.arg_names:
        if argument in fixed:
            signature[argument] = "constexpr"
        elif argument.endswith("_at"):
            signature[argument] = "*fp32" if argument in FLOATS else f"*{dtype}"
        else:
            signature[argument] = "fp32" if argument == "scale" else "i32"
    source = ASTSource(fn=kernel, signature=signature, constexprs=fixed)
    options = {"num_stages": triton_kernel.STAGES, "num_warps": triton_kernel.WARPS[name.lstrip("_")]}
    return int(triton.compile(source, target=GPUTarget("cuda", architecture, 32), options=options).metadata.shared)


def main() -> None:
    """Compile every pass in every type."""
    found = {}
    for architecture, dtype, width in CASES:
        for name in PASSES:
            key = f"{name} {dtype} {width} sm_{architecture}"
            found[key] = shared_memory(name, dtype, width, width == 64, architecture)
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
