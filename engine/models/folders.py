"""Model folders of this machine: refused before anything is built when configuration and weights do not belong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import nn

from engine.errors import EngineError

WEIGHTS = (".safetensors", ".bin", ".pt", ".pth")
MOST_LAYERS = 1000  # of one kind: modules are built one by one, and a wrong number would keep that busy for ever
COUNTER = re.compile("layer|depth|block")
UNCOUNTED = re.compile("norm|scale|init|type|drop")  # as in layer_norm_eps: no number of layers
PER_BYTE = 2  # parameters: weights of four bits


def is_folder(path: Path) -> bool:
    """Whether there is such a folder; a name that the file system refuses is none."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def read_config(file: Path) -> dict[str, Any]:
    """The configuration in a JSON file. Raises EngineError when it is none, or says more layers than any model has."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise EngineError(f"{file} is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise EngineError(f"{file} is no JSON object")
    for name, value in _counts(content):
        if value > MOST_LAYERS:
            raise EngineError(f"{file} cannot be that of a model: its {name!r} is {str(value)[:20]}")
    return content


def _counts(node: Any, name: str = "") -> Iterator[tuple[str, int | float]]:
    """Every number of layers in a configuration, by its name."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _counts(value, str(key))
    elif isinstance(node, list):
        for value in node:
            yield from _counts(value, name)
    elif isinstance(node, int | float) and COUNTER.search(name) and not UNCOUNTED.search(name):
        yield name, node


def check_size(model: nn.Module, folder: Path | None, name: str) -> None:
    """Refuse a model with more parameters than the weights in its folder can hold: building it could take all memory.

    Args:
        model: on the meta device, where it takes none.
        folder: None for a model of a hub.
        name: for the message.

    Raises:
        EngineError: with both numbers.
    """
    if folder is None:
        return
    stored = sum(file.stat().st_size for file in folder.iterdir() if file.suffix in WEIGHTS and file.is_file())
    needed = sum(parameter.numel() for parameter in model.parameters())
    if needed > PER_BYTE * stored:
        raise EngineError(
            f"cannot load {name!r}: by its configuration it has {needed} parameters, and the weights in its folder "
            f"have {stored} bytes"
        )
