"""Command lines with wild values: one line and exit code 2, or what was asked for."""

from __future__ import annotations

import contextlib
import io
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from tests.reliability.fuzz.mutating import STRANGE_TEXTS
from tests.reliability.fuzz.scratch import scratch
from tests.reliability.fuzz.target import REFUSED, RIGHT, Target, clear, tried

WORDS = ("auto", "cpu", "cuda:99", "fp32", "bf16", "gae", "rollout", "predicted", "label", "class:cat", "contrast:a,b",
         "labels", "openai", "local", "ray", "exact", "fast", "authors", "identity", "both", "detections", 
         "clip-logit")  # fmt: skip
NUMBERS = ("0", "-1", "1", "3", "1.5", "nan", "1e400", "99999999999999999999", "0x10", "٣", " 4", "")
TEXTS = ("--method", "--target", "--classes", "--templates", "--on-zero-row", "--precision", "--decode", "--device",
         "--launcher", "--name", "--checkpoint")  # fmt: skip
COUNTS = ("--threshold", "--max-detections", "--start-layer", "--text-start-layer", "--patches", "--words", "--limit",
          "--batch-size", "--workers", "--part-size", "--ray-workers", "--max-failures")  # fmt: skip
FLAGS = ("--json", "--evidence", "--nonsense", "--", "extra")
OTHERS = ("list", "show", "suspects", "evaluate", "compare", "annotations", "methods", "features", "document", "rm")


@cache
def place() -> Path:
    """A folder with two pictures, a manifest, a store without runs, and a model folder that does not load."""
    root = scratch("spec")
    (root / "pictures").mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(root / "pictures" / name)
    (root / "rows.csv").write_text("image,label\npictures/a.png,cat\npictures/b.png,dog\n")
    (root / "model").mkdir()
    (root / "model" / "config.json").write_text(json.dumps({"model_type": "vit", "architectures": ["ViTModel"]}))
    return root


def _given(text: str) -> bool:
    """Whether a shell could hand it over."""
    return "\0" not in text


def _strategy() -> Any:
    strange = st.one_of(st.sampled_from(STRANGE_TEXTS), st.text(max_size=12)).filter(_given)
    words = st.one_of(st.sampled_from(WORDS), strange)
    numbers = st.one_of(st.sampled_from(NUMBERS), st.integers().map(str), strange)
    datas = st.one_of(
        st.sampled_from(("pictures", "rows.csv", "model", "nothing", "pictures/a.png", "{0..9}.tar", "*.csv")), strange
    )
    models = st.one_of(
        st.sampled_from(
            ("model", "timm:nonsense", "hf:", "open_clip:ViT-B-32/none", "timm:local-dir:model", "pictures", "x:y")
        ),
        strange.filter(lambda text: not text.startswith(("timm:", "hf:"))),
    )
    option = st.one_of(
        st.tuples(st.sampled_from(TEXTS), words),
        st.tuples(st.sampled_from(COUNTS), numbers),
        st.tuples(st.sampled_from(FLAGS)),
    )
    run = st.tuples(st.just("run"), datas, models, st.lists(option, max_size=5))
    other = st.tuples(
        st.just("other"), st.sampled_from(OTHERS), st.lists(words, max_size=2), st.lists(option, max_size=2)
    )
    return st.one_of(run, run, run, other)


def arguments(case: tuple[Any, ...]) -> list[str]:
    """The command line of an input."""
    kind, first, second, options = case
    flat = [word for option in options for word in option]
    if kind == "other":
        return [first, *second, *flat]
    return ["run", "--data", first, "--model", second, "--store", "audits", *flat]


def check(case: tuple[Any, ...]) -> str:
    """The command ends with 0 and output, or with 2 and one line; never with a traceback."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    with contextlib.chdir(place()):
        ends: list[str] = []
        tried(lambda: ends.append(_run(arguments(case))))
    return ends[0]


def _run(words: list[str]) -> str:
    from jobs.cli import main

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    said = err.getvalue()
    assert code in (0, 1, 2), code
    assert "error: unexpected " not in said, said[:400]
    assert "Traceback" not in said + out.getvalue(), said
    if code != 2:
        return RIGHT
    lines = [line for line in said.splitlines() if line]
    assert len(lines) >= 1 and lines[-1].startswith("error: "), said[:400]
    clear(lines[-1])
    assert sum(line.startswith("error: ") for line in lines) == 1, said[:400]
    return REFUSED


TARGET = Target(
    "spec",
    "command lines of python -m jobs (jobs/cli.py, jobs/spec.py)",
    _strategy,
    check,
    share=3.0,
    quick=40,
    pinned=(
        ("run", "ftp://127.0.0.1:9/y", "", []),
        ("run", "http://[::1", "", []),
        ("run", "file://[::1/x", "", []),
        ("run", "x" * 5000, "", []),
    ),
)
