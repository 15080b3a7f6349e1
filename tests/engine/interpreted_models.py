"""Explain whole models with the Triton kernel on the CPU; prints calls of the kernel and distance to record as JSON."""

from __future__ import annotations

import json
import sys

import zoo

from engine import explain
from engine.capture import backward, triton_kernel


def main() -> None:
    """Every kind of walk that GAE takes: layers, a pool, windows with a bias, causal and padded texts."""
    found = {}
    real, calls = triton_kernel.add_row, []

    def counted(*args, **settings):  # type: ignore[no-untyped-def]
        calls.append(1)
        return real(*args, **settings, tile=16)

    triton_kernel.add_row = counted
    for name in ("vit_map_pool", "swin", "open_clip"):
        model, data = zoo.build(name), zoo.inputs(name, 1)  # interpreted_kernel.py has batches
        calls.clear()
        streamed = explain(model, data, engine="stream").relevancy
        recorded = explain(model, data, engine="record").relevancy
        error = max(float((streamed[m] - r).abs().max() / r.abs().max()) for m, r in recorded.items())
        found[name] = (len(calls), error)
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    import os

    os.environ[backward.VARIABLE] = "triton"
    main()
