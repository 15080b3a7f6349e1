"""The command that goes on with an interrupted run."""

from __future__ import annotations

import shlex
from pathlib import Path

from storage import RunRecord, address_of
from storage.media import is_url

# Options of `python -m jobs run` by the name of the field in the record; None was not given.
OPTIONS = (
    "model", "checkpoint", "method", "target", "start_layer", "on_zero_row", "threshold", "max_detections", "patches",
    "words", "text_start_layer", "precision", "decode", "limit", "device",
)  # fmt: skip
FLAGS = ("evidence",)  # without a value
SOURCES = {"classes": "classes_from", "templates": "templates_from"}  # of a zero-shot classifier: file or word


def command(record: RunRecord, store: Path) -> str:
    """The shell command that explains what is missing of a run; finished parts are kept."""
    words = ["python", "-m", "jobs", "run", "--data", data(record)]
    for name in (*OPTIONS, *SOURCES):
        value = record.spec.get(SOURCES.get(name, name))
        if value is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    words += [f"--{name}" for name in FLAGS if record.spec.get(name)]
    for folder in record.spec.get("allow_outside") or ():
        words += ["--allow-outside", str(folder)]
    return shlex.join([*words, "--store", address_of(store), "--name", record.run_id])


def data(record: RunRecord) -> str:
    """The dataset as an absolute path where that can be told; it may have been typed relative to another folder."""
    if is_url(str(record.spec.get("data") or "")):
        return str(record.spec["data"])
    typed, root = Path(str(record.spec.get("data") or "")), record.dataset.get("root")
    if typed.is_absolute() or not root:
        return str(typed)
    for candidate in (Path(root), Path(root) / typed.name):
        if candidate.parts[-len(typed.parts) :] == typed.parts:
            return str(candidate)
    return str(typed) if typed.parts else str(root)
