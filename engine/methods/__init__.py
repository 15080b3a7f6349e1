"""Relevancy methods by name. A new method is one file here and one line in ``METHODS``."""

from __future__ import annotations

from typing import Any

from engine.errors import UnknownName
from engine.methods.attn_lrp import AttnLRP
from engine.methods.direct import DirectMethod
from engine.methods.gae import GAE
from engine.methods.grad_cam import GradCAM
from engine.methods.legrad import LeGrad
from engine.methods.lrp import FullLRP
from engine.methods.method import LastMap, LayerProduct, Method
from engine.methods.partial_lrp import PartialLRP
from engine.methods.random import Random
from engine.methods.raw_attention import RawAttention
from engine.methods.rollout import Rollout
from engine.methods.transformer_attribution import TransformerAttribution

READING = (GAE, RawAttention, Rollout, GradCAM, PartialLRP, TransformerAttribution)
DIRECT = (FullLRP, AttnLRP, LeGrad, Random)
METHODS: dict[str, type[Method]] = {m.name: m for m in (*READING, *DIRECT)}


def make_method(method: str | Method, **options: Any) -> Method:
    """Return a method by name (with its options), or the given object.

    Raises:
        UnknownName: no method has this name; the message suggests the nearest.
    """
    if isinstance(method, Method):
        return method
    if method not in METHODS:
        raise UnknownName("method", method, METHODS)
    return METHODS[method](**options)


def unscaled_method(name: str) -> Method:
    """Return a method without steps that only serve display: what a store should keep.

    The min-max step of Grad-CAM and partial LRP takes the magnitude away and turns an all-zero map into NaN.
    """
    return make_method(name, **({"minmax": False} if name in (GradCAM.name, PartialLRP.name) else {}))


def list_methods() -> list[dict[str, Any]]:
    """Return name, paper, description, needs_gradient and engines of every method."""
    return [
        {
            "name": m.name,
            "paper": m.paper,
            "description": m.description,
            "needs_gradient": m.needs_gradient,
            "engines": list(m.engines),
        }
        for m in METHODS.values()
    ]


__all__ = [
    "GAE",
    "METHODS",
    "AttnLRP",
    "DirectMethod",
    "FullLRP",
    "GradCAM",
    "LastMap",
    "LayerProduct",
    "LeGrad",
    "Method",
    "PartialLRP",
    "Random",
    "RawAttention",
    "Rollout",
    "TransformerAttribution",
    "list_methods",
    "make_method",
    "unscaled_method",
]
