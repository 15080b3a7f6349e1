"""How two runs were made differently."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from storage.record import RunRecord

# neither changes a result
IGNORED = {"part_size", "batch_size", "workers", "launcher", "ray_address", "data_fingerprint", "name", "store"}
OF_MODEL = ("name", "family", "class", "grid", "image_size", "parameters", "preprocess")
OF_DATASET = ("root", "fingerprint", "samples")


def differences(a: RunRecord, b: RunRecord) -> list[dict[str, str]]:
    """`{"setting", "a", "b"}` for every setting, property of the model or of the data, and version that differs."""
    of_a, of_b = _settings(a), _settings(b)
    names = [*of_a, *(name for name in of_b if name not in of_a)]
    return [
        {"setting": name, "a": _text(of_a.get(name)), "b": _text(of_b.get(name))}
        for name in names
        if of_a.get(name) != of_b.get(name)
    ]


def _settings(record: RunRecord) -> dict[str, Any]:
    """Everything that may differ, flat, by a name for people."""
    spec = {name: value for name, value in record.spec.items() if name not in IGNORED}
    found = dict(_flat("", spec))
    found |= dict(_flat("model ", {name: record.model.get(name) for name in OF_MODEL}))
    found |= dict(_flat("dataset ", {name: record.dataset.get(name) for name in OF_DATASET}))
    return found | dict(_flat("version of ", record.versions))


def _flat(prefix: str, values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Nested values as `prefix name`, one level after the other."""
    found: list[tuple[str, Any]] = []
    for name, value in values.items():
        label = f"{prefix}{str(name).replace('_', ' ')}"
        found += _flat(f"{label} ", value) if isinstance(value, Mapping) else [(label, value)]
    return found


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, list | tuple):
        return " x ".join(map(str, value))
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
