"""All targets: every module beside this one that has a `TARGET`."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from functools import cache
from pathlib import Path

from tests.reliability.fuzz.target import Target

PACKAGE = __name__.rpartition(".")[0]
HERE = Path(__file__).parent
TESTS = str(HERE.parent.parent)
if TESTS not in sys.path:  # where pytest finds model_folders and zoo
    sys.path.append(TESTS)


@cache
def targets() -> dict[str, Target]:
    """By name, in the order of their modules."""
    modules = (module.name for module in pkgutil.iter_modules([str(HERE)]) if not module.name.startswith("__"))
    found = [target for target in map(_of_module, modules) if target is not None]
    names = [target.name for target in found]
    assert len(set(names)) == len(names), f"two targets have one name: {names}"
    return {target.name: target for target in found}


def find(name: str) -> Target:
    """One target by its name, or by `module:NAME` elsewhere.

    The module that is called like it is looked into first, which spares the imports of all others.
    """
    module, colon, attribute = name.partition(":")
    if colon:
        elsewhere: Target = getattr(importlib.import_module(module), attribute)
        return elsewhere
    own = _of_module(name) if (HERE / f"{name}.py").exists() else None
    return own if own is not None and own.name == name else targets()[name]


def _of_module(name: str) -> Target | None:
    target = getattr(importlib.import_module(f"{PACKAGE}.{name}"), "TARGET", None)
    return target if isinstance(target, Target) else None
