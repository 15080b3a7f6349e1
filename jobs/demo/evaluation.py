"""How well the demo models do, and how much they lean on the cues."""

from __future__ import annotations

from typing import Any

import numpy as np

from jobs.demo.cues import CUE_CLASSES
from jobs.demo.examples import Examples
from jobs.demo.objects import CLASSES


def _mean(values: np.ndarray) -> float:
    return round(float(values.mean()), 4) if values.size else float("nan")


def class_accuracy(predicted: np.ndarray, examples: Examples) -> dict[str, float]:
    """Accuracy per class and over all ('all')."""
    right = predicted == examples.labels
    per_class = {name: _mean(right[examples.labels == k]) for k, name in enumerate(CLASSES)}
    return {"all": _mean(right), **per_class}


def cue_effect(with_cue: np.ndarray, without: np.ndarray, examples: Examples) -> dict[str, dict[str, float]]:
    """Per cue, over conflicting pictures: accuracy with and without the cue, share called the cue's class each time.

    `with_cue` and `without` are the predictions [N] on the pictures and on their cue-free twins.
    """
    cues = np.array([plan.cue for plan in examples.plans])
    effect = {}
    for cue, label in CUE_CLASSES.items():
        here, wanted = cues == cue, CLASSES.index(label)
        effect[cue] = {
            "n": int(here.sum()),
            "accuracy_with": _mean((with_cue == examples.labels)[here]),
            "accuracy_without": _mean((without == examples.labels)[here]),
            "called_its_class_with": _mean((with_cue == wanted)[here]),
            "called_its_class_without": _mean((without == wanted)[here]),
        }
    return effect


def retrieval(cosines: np.ndarray, examples: Examples) -> dict[str, float]:
    """Quality of caption ranking from cosines [N,N] of N pictures and their captions (row i belongs to column i).

    `above_others` is the chance that the right caption scores above a random other one.
    """
    own = np.diag(cosines)
    ranks = (cosines > own[:, None]).sum(1)
    fair = np.array([plan.problem == "none" for plan in examples.plans])
    other_class = examples.labels[:, None] != examples.labels[None]
    return {
        "n": int(fair.sum()),
        "above_others": round(1 - float(ranks[fair].mean()) / (len(ranks) - 1), 4),
        "above_other_classes": _mean((own[:, None] > cosines)[fair][other_class[fair]]),
        "recall_at_1": _mean(ranks[fair] < 1),
        "recall_at_5": _mean(ranks[fair] < 5),
        "recall_at_10": _mean(ranks[fair] < 10),
    }


def problem_scores(cosines: np.ndarray, examples: Examples) -> dict[str, Any]:
    """Mean cosine of the pairs of every kind of problem."""
    own, problems = np.diag(cosines), np.array([plan.problem for plan in examples.plans])
    return {str(problem): _mean(own[problems == problem]) for problem in np.unique(problems)}
