"""Evaluation results as rows of the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from engine.faithfulness.curves import Curve, curve_of, gap
from engine.faithfulness.estimates import Estimate
from engine.faithfulness.protocols import Protocol
from jobs.evaluate.perturbing import Found, Perturbing, Setting

Row = dict[str, Any]


def curve_rows(perturbing: Perturbing, seed: int) -> list[Row]:
    """A row per variant, setting and direction, and the gap between the directions."""
    rows = []
    for setting, found in perturbing.found.items():
        for name, own in found.items():
            rows += _of_variant(name, own, setting, perturbing.protocol, seed)
    return rows


def _of_variant(name: str, own: Found, setting: Setting, protocol: Protocol, seed: int) -> list[Row]:
    steps = protocol.steps_of(setting.modality)
    positive = _joined(own.positive, len(steps))
    base = {"method": name, "modality": setting.modality, "protocol": protocol.name, "skipped": dict(own.skipped)}
    test = _test(protocol, setting)
    if not own.negative:
        return [{**base, "test": test, **_curve(curve_of(steps, positive, seed))}]
    negative = _joined(own.negative, len(steps))
    between = gap(positive, negative, steps, seed)
    return [
        {**base, "test": _directed(test, "positive"), **_curve(curve_of(steps, positive, seed))},
        {**base, "test": _directed(test, "negative"), **_curve(curve_of(steps, negative, seed))},
        {**base, "test": _directed(test, "gap"), **_number(between.mean, between.low, between.high, between.n)},
    ]


def _test(protocol: Protocol, setting: Setting) -> str:
    """What a test is called: `perturbation`, or what is done and with which fill."""
    if protocol.name not in ("deletion", "insertion"):
        return "perturbation"
    return f"{protocol.name} {setting.fill}".rstrip()


def _directed(test: str, direction: str) -> str:
    return f"{test} {direction}"


def number_row(method: str, test: str, protocol: str, found: Estimate, skipped: Mapping[str, int]) -> Row:
    """A test of picture maps that gives one number, in percent."""
    return {
        "method": method,
        "modality": "image",
        "test": test,
        "protocol": protocol,
        "skipped": dict(skipped),
        **_number(100 * found.value, 100 * found.low, 100 * found.high, found.n),
    }


def _joined(parts: list[np.ndarray], steps: int) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros((0, steps))


def _curve(found: Curve) -> Row:
    plain = found.to_json()
    return {
        "curve": {name: plain[name] for name in ("steps", "values", "low", "high")},
        "auc": plain["area"],
        "auc_low": plain["area_low"],
        "auc_high": plain["area_high"],
        "n": plain["n"],
    }


def _number(value: float, low: float, high: float, n: int) -> Row:
    numbers = {"auc": value, "auc_low": low, "auc_high": high}
    plain = {name: None if np.isnan(number) else round(float(number), 6) for name, number in numbers.items()}
    return {"curve": {"steps": [], "values": []}, **plain, "n": n}
