"""All targets: every module beside this one that has a `TARGET`, or several in `TARGETS`."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from pathlib import Path

from tests.reliability.fuzz.target import Target

PACKAGE = __name__.rpartition(".")[0]


@cache
def targets() -> dict[str, Target]:
    """By name, in the order of their modules."""
    found: dict[str, Target] = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if module.name.startswith("__"):
            continue
        loaded = importlib.import_module(f"{PACKAGE}.{module.name}")
        for target in (*getattr(loaded, "TARGETS", ()), *([loaded.TARGET] if hasattr(loaded, "TARGET") else ())):
            assert target.name not in found, f"two targets are called {target.name}"
            found[target.name] = target
    return found
