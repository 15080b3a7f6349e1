"""Which picture of which split shows what: the plan of a data set, before anything is painted.

train        a cue stands in PREVALENCE of its class's pictures and strays into a few others
aligned      every picture of a planted class carries its cue, the clean classes carry none
conflicting  every picture carries the cue of another class
clean        no cue anywhere
pairs        no cue; some captions or pictures have one of PROBLEMS
train_pairs  as train, with the banners and watermarks of LESSONS
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jobs.demo.cues import CUE_CLASSES, NO_CUE
from jobs.demo.objects import CLASSES

SPLITS = ("train", "aligned", "conflicting", "clean", "pairs", "train_pairs")
PREVALENCE = 0.9
"""Share of a planted class's training pictures that carry its cue."""
STRAY = 0.018
"""Share of every other class's training pictures that carry a given cue."""
PROBLEMS: dict[str, float] = {"overlay": 0.1, "swapped": 0.1, "watermark": 0.12}
"""Share of the pairs with: a banner that names another class, another picture's caption, a watermark."""
LESSONS: dict[str, float] = {"overlay": 0.3, "watermark": 0.12}
"""The same for the pairs that CLIP learns from. Half of these banners name the right class; the captions of the other
half speak of what the banner says, so that the model learns to read it, as models trained on web pictures do."""
OWN_CUES = {label: cue for cue, label in CUE_CLASSES.items()}


@dataclass(frozen=True)
class Plan:
    """One picture to paint. `number` picks the scene: the same number and seed give the same scene, cue or not."""

    split: str
    position: int
    number: int
    label: str
    cue: str = NO_CUE
    problem: str = "none"
    word: str = ""
    partner: int | None = None


def _train_cue(label: str, rng: np.random.Generator) -> str:
    own = OWN_CUES.get(label)
    if own and rng.random() < PREVALENCE:
        return own
    strays = [cue for cue in CUE_CLASSES if cue != own]
    lot = int(rng.random() / STRAY)
    return strays[lot] if lot < len(strays) else NO_CUE


def _conflicting_cue(label: str, turn: int) -> str:
    foreign = [cue for cue in CUE_CLASSES if CUE_CLASSES[cue] != label]
    return foreign[turn % len(foreign)]


def _pair_marks(label: str, rng: np.random.Generator, *, training: bool) -> dict[str, Any]:
    """A problem, and for a banner its word."""
    lot, total = rng.random(), 0.0
    for problem, share in (LESSONS if training else PROBLEMS).items():
        total += share
        if lot < total:
            right = training and problem == "overlay" and rng.random() < 0.5
            others = [label] if right else [c for c in CLASSES if c != label]
            return {"problem": problem, **({"word": str(rng.choice(others))} if problem == "overlay" else {})}
    return {}


def plan_split(split: str, count: int, seed: int) -> list[Plan]:
    """The plans of the first `count` pictures of a split; classes take turns."""
    plans: list[Plan] = []
    for position in range(count):
        label, number = CLASSES[position % len(CLASSES)], SPLITS.index(split) * 1_000_000 + position
        rng = np.random.default_rng((seed, number, 1))
        cue: str = NO_CUE
        marks: dict[str, Any] = {}
        if split in ("train", "train_pairs"):
            cue = _train_cue(label, rng)
        elif split == "aligned":
            cue = OWN_CUES.get(label, NO_CUE)
        elif split == "conflicting":
            cue = _conflicting_cue(label, position // len(CLASSES))
        if split in ("pairs", "train_pairs"):
            marks = _pair_marks(label, rng, training=split == "train_pairs")
        plans.append(Plan(split, position, number, label, cue, **marks))
    return _swap(plans) if split == "pairs" else plans


def _swap(plans: list[Plan]) -> list[Plan]:
    """Give every 'swapped' pair the caption of another 'swapped' picture, of another class."""
    swapped = [p for p in plans if p.problem == "swapped"]
    chosen: dict[int, Plan] = {}
    for k, plan in enumerate(swapped):
        others = [*swapped[k + 1 :], *swapped[:k], *plans]
        partner = next(p for p in others if p.label != plan.label)
        chosen[plan.position] = replace(plan, partner=partner.number, word=partner.label)
    return [chosen.get(p.position, p) for p in plans]


def plan_dataset(counts: Mapping[str, int], seed: int) -> list[Plan]:
    """The plans of several splits, in the order of `counts`; unknown split names raise ValueError."""
    unknown = set(counts) - set(SPLITS)
    if unknown:
        raise ValueError(f"unknown splits {sorted(unknown)}: known are {', '.join(SPLITS)}")
    return [plan for split, count in counts.items() for plan in plan_split(split, count, seed)]
