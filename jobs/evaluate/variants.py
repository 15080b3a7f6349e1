"""The methods that are compared: a name, and how the engine is asked for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from engine import EngineError, LoadedModel
from engine.methods import METHODS, Method, make_method, unscaled_method
from jobs.errors import unknown

Made = TypeVar("Made")
BASELINES = ("raw_attention", "rollout", "grad_cam", "partial_lrp", "transformer_attribution")
"""Those of the paper; `transformer_attribution` is TiBA."""
RANDOM = "random"
SKIPPING = ("rollout", "transformer_attribution", "lrp")
"""Methods that the authors' evaluation of ViT begins at the second block."""
ABLATIONS: dict[str, dict[str, bool]] = {
    "gae, no normalisation": {"normalize": False},
    "gae, no self-attention in rule 10": {"self_in_rule_10": False},
    "gae, no aggregation": {"normalize": False, "aggregate": False},
    "gae, with LRP": {"use_lrp": True},
}
FOR_ANY = ("gae, no aggregation", "gae, with LRP")
"""Ablations that also change models with a single stream."""


@dataclass(frozen=True)
class Variant:
    """A method as it is compared."""

    name: str
    method: Method
    start_layer: int


def variants(
    loaded: LoadedModel, own: str, chosen: Sequence[str], *, ablations: bool, start_layer: int, vit: bool = False
) -> list[Variant]:
    """The variants to compare, the run's own method first, random last.

    Args:
        own: the run's method.
        chosen: names that the user gave; none for the paper's baselines and the run's own.
        start_layer: that of the run.
        vit: the authors' evaluation of ViT, where rollout, TiBA and LRP begin at the second block.
    """
    for name in chosen:
        if name not in METHODS:
            raise unknown("method", name, METHODS)
    names = list(dict.fromkeys([*(chosen or (own, "gae", *BASELINES)), RANDOM]))
    names.sort(key=lambda name: name == RANDOM)
    found = [Variant(n, unscaled_method(n), _start(n, start_layer, loaded, vit)) for n in names]
    if ablations:
        streams = loaded.adapter.steps(loaded.model) is not None
        for name, options in ABLATIONS.items():
            if streams or name in FOR_ANY:
                found.insert(-1, Variant(name, make_method("gae", **options), start_layer))
    return found


def tried(compared: list[Variant], work: Callable[[Variant], Made], notes: list[str]) -> dict[str, Made]:
    """What `work` gives for each variant, by name; one that this model does not have leaves the list, and is noted."""
    made = {}
    for variant in list(compared):
        try:
            made[variant.name] = work(variant)
        except EngineError as error:
            compared.remove(variant)
            notes.append(f"{variant.name} is left out: {error}")
    return made


def _start(name: str, start_layer: int, loaded: LoadedModel, vit: bool) -> int:
    later = vit and name in SKIPPING and start_layer == 0 and min(loaded.layers.values()) > 1
    return 1 if later else start_layer
