"""Weights: damaged safetensors and .pt files, and pickles that would run code."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import subprocess
import warnings
import zipfile
from functools import cache
from typing import Any

import torch
from hypothesis import strategies as st
from safetensors.torch import save
from torch import nn

from engine.errors import EngineError
from engine.models.checkpoint import load_checkpoint, read_checkpoint
from tests.reliability.fuzz.mutating import damaged, few_edits, json_edits, rewritten
from tests.reliability.fuzz.scratch import scratch
from tests.reliability.fuzz.target import Target, tried

WEIGHTS = {"weight": torch.arange(12.0).reshape(3, 4), "bias": torch.zeros(3)}


class Payload:
    """Unpickled, it would make a file."""

    def __init__(self, call: str) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        made = str(executed())
        return {
            "system": (os.system, (f"touch {made}",)),
            "open": (open, (made, "w")),
            "exec": (exec, (f"open({made!r}, 'w')",)),
            "eval": (eval, (f"open({made!r}, 'w')",)),
            "process": (subprocess.Popen, (["touch", made],)),
            "torch": (torch.save, ({"a": 1}, made)),
            "dynamo": (torch.hub.load, (str(scratch("checkpoint")), "x")),
        }[self.call]


SUFFIXES = dict.fromkeys(("safetensors", "many", "header"), ".safetensors")
CALLS = ("system", "open", "exec", "eval", "process", "torch", "dynamo")


def executed() -> Any:
    """The file that a payload would make."""
    return scratch("checkpoint") / "executed"


def _torch(content: Any, new: bool) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=new)
    return file.getvalue()


def _swapped(inner: bytes) -> bytes:
    """A .pt file whose `data.pkl` is another pickle."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(_torch(WEIGHTS, True))) as whole, zipfile.ZipFile(out, "w") as changed:
        for name in whole.namelist():
            changed.writestr(name, inner if name.endswith("data.pkl") else whole.read(name))
    return out.getvalue()


def poisoned(call: str, wrapping: str, protocol: int) -> bytes:
    """A file with a payload in it, in one of the forms that weights are pickled in."""
    content: Any = {**WEIGHTS, "extra": Payload(call)}
    if wrapping == "pickle":
        return pickle.dumps(content if protocol else Payload(call), protocol)
    if wrapping == "swapped":
        return _swapped(pickle.dumps({"state_dict": Payload(call)}, protocol))
    return _torch(content if wrapping == "new" else {"state_dict": content}, wrapping == "new")


@cache
def corpus() -> dict[str, bytes]:
    """Whole files."""
    return {
        "safetensors": save(WEIGHTS),
        "many": save({f"layer.{i}.weight": torch.ones(2, 2) for i in range(9)}),
        "pt": _torch(WEIGHTS, True),
        "legacy": _torch({"state_dict": WEIGHTS}, False),
        "half": _torch({"model": {name: t.half() for name, t in WEIGHTS.items()}}, True),
        "shared": _torch({"weight": WEIGHTS["weight"][:, :2].t(), "bias": WEIGHTS["weight"][0]}, True),
        "numbers": _torch({"weight": 1, "bias": [1, 2], "epoch": 3}, True),
        "pickle": pickle.dumps({"weight": [1.0, 2.0]}),
    }


def _header(changes: Any) -> bytes:
    """A safetensors file whose header says something else."""
    content = corpus()["safetensors"]
    length = struct.unpack("<Q", content[:8])[0]
    header = json.dumps(rewritten(json.loads(content[8 : 8 + length]), changes)).encode()
    return struct.pack("<Q", len(header)) + header + content[8 + length :]


def _strategy() -> Any:
    broken = st.tuples(st.just("damaged"), st.tuples(st.sampled_from(sorted(corpus())), few_edits))
    header = st.tuples(st.just("header"), json_edits)
    forms = st.tuples(
        st.sampled_from(CALLS), st.sampled_from(("pickle", "swapped", "new", "legacy")), st.integers(0, 5)
    )
    payload = st.tuples(st.just("poisoned"), st.tuples(forms, st.one_of(st.just([]), few_edits)))
    cases = st.one_of(broken, broken, header, payload, st.tuples(st.just("bytes"), st.binary(max_size=64)))
    own = cases.map(lambda case: (case, SUFFIXES.get(case[1][0] if case[0] == "damaged" else case[0], ".pt")))
    return st.one_of(own, own, st.tuples(cases, st.sampled_from((".safetensors", ".pt", ".pth", ".bin", ""))))


def content_of(case: tuple[str, Any]) -> bytes:
    """The bytes of an input."""
    kind, detail = case
    if kind == "damaged":
        return damaged(corpus()[detail[0]], detail[1])
    if kind == "header":
        return _header(detail)
    if kind == "poisoned":
        return damaged(poisoned(*detail[0]), detail[1])
    return bytes(detail)


def check(case: tuple[tuple[str, Any], str]) -> str:
    """Reading ends in an EngineError about the file or in tensors by name; nothing in a file ever runs."""
    path = scratch("checkpoint") / f"weights{case[1]}"
    path.write_bytes(content_of(case[0]))
    executed().unlink(missing_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        end = tried(lambda: _loaded(path), EngineError, names=("weights",))
    assert not executed().exists(), "code in the file was run"
    return end


def _loaded(path: Any) -> None:
    tensors = read_checkpoint(path)
    assert tensors and all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in tensors.items())
    for tensor in tensors.values():
        tensor.clone()  # touches all of its memory
    model = nn.Linear(4, 3)
    load_checkpoint(model, path, "linear", tensors)
    assert model.weight.shape == (3, 4)


TARGET = Target(
    "checkpoint",
    "safetensors and .pt files, some with code in them (engine/models/checkpoint.py)",
    _strategy,
    check,
    share=12.0,
    quick=120,
)
