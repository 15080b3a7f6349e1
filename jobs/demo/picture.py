"""One finished picture: a planned scene with its marks, masks, caption and facts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from jobs.demo.captions import write_caption
from jobs.demo.cues import CUE_CLASSES, NO_CUE, paste_cue, paste_overlay, paste_watermark
from jobs.demo.plan import Plan
from jobs.demo.scenes import SIZE, Scene, paint_scene


@dataclass(frozen=True)
class Picture:
    """`image` [256,256,3] uint8, the caption, the scene's facts, and three masks [256,256] bool.

    `mask` is the subject, `cue_mask` all that was pasted over the scene, `banner_mask` of this the banner with a word.
    """

    plan: Plan
    scene: Scene
    image: np.ndarray
    mask: np.ndarray
    cue_mask: np.ndarray
    banner_mask: np.ndarray
    text: str
    facts: dict[str, str | int | float]


def _facts(scene: Scene, plan: Plan) -> dict[str, str | int | float]:
    return {
        "cue": plan.cue,
        "cue_class": CUE_CLASSES.get(plan.cue, ""),
        "problem": plan.problem,
        "problem_class": plan.word,
        "place": scene.place,
        "light": scene.light,
        "object_kind": scene.noun,
        "object_colour": scene.colour,
        "object_count": scene.count,
        "object_side": scene.side,
        "object_size": round(scene.size, 4),
        "distractors": " ".join(scene.distractors),
        "scene": plan.number,
    }


def _unmarked(plan: Plan) -> Plan:
    """The plan of the cue-free twin; a swapped caption stays swapped."""
    return plan if plan.problem == "swapped" else replace(plan, cue=NO_CUE, problem="none", word="")


def caption(scene: Scene, plan: Plan, seed: int, variant: int = 0) -> str:
    """A caption of the picture; variant 0 is the one of the manifest, others say the same in other words."""
    number, shown, instead = plan.number, scene, ""
    if plan.partner is not None:
        number, shown = plan.partner, paint_scene(seed, plan.partner, plan.word)
    elif plan.split == "train_pairs" and plan.word != plan.label:
        instead = plan.word
    rng = np.random.default_rng((seed, number, 3 + variant))
    return write_caption(shown, rng, stock=plan.problem == "watermark", instead=instead)


def _mark(scene: Scene, plan: Plan, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The scene's picture with the planned cue, banner or watermark, the mask of all of them, and the banner's."""
    image, mask = paste_cue(scene, scene.image, plan.cue, rng)
    banner = np.zeros_like(mask)
    if plan.problem == "overlay":
        image, banner = paste_overlay(image, plan.word, rng)
        mask = mask | banner
    elif plan.problem == "watermark":
        image, letters = paste_watermark(image, rng)
        mask = mask | letters
    return image, mask, banner


def paint(plan: Plan, seed: int, *, cues: bool = True) -> Picture:
    """Paint a planned picture. With cues=False its twin: the same scene without cue, banner or watermark.

    The scene depends on (seed, plan.number, plan.label) alone; marks and words have streams of random numbers of
    their own. `mask` is the visible part of the subject: what a cue covers belongs to the cue.
    """
    scene = paint_scene(seed, plan.number, plan.label)
    image, cue_mask = scene.image, np.zeros((SIZE, SIZE), bool)
    banner_mask = cue_mask
    if cues:
        image, cue_mask, banner_mask = _mark(scene, plan, np.random.default_rng((seed, plan.number, 2)))
    text = caption(scene, plan, seed)
    facts = _facts(scene, plan if cues else _unmarked(plan))
    return Picture(plan, scene, image, scene.mask & ~cue_mask, cue_mask, banner_mask, text, facts)
