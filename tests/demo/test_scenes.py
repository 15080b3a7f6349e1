from __future__ import annotations

import numpy as np
import pytest

from jobs.demo.cues import CUE_CLASSES
from jobs.demo.objects import CLASSES
from jobs.demo.picture import paint
from jobs.demo.plan import OWN_CUES, PREVALENCE, PROBLEMS, Plan, plan_dataset, plan_split
from jobs.demo.scenes import paint_scene

MARKED = [
    *(Plan("aligned", 0, k, label, cue) for k, (cue, label) in enumerate(CUE_CLASSES.items())),
    Plan("pairs", 0, 7, "tree", problem="overlay", word="car"),
    Plan("pairs", 0, 8, "lamp", problem="watermark"),
]


@pytest.mark.parametrize("label", CLASSES)
def test_a_seed_fixes_the_scene_and_another_one_changes_it(label: str) -> None:
    first, again, other = paint_scene(1, 5, label), paint_scene(1, 5, label), paint_scene(2, 5, label)
    assert np.array_equal(first.image, again.image) and np.array_equal(first.mask, again.mask)
    assert not np.array_equal(first.image, other.image)


@pytest.mark.parametrize("plan", MARKED, ids=lambda plan: f"{plan.cue}-{plan.problem}")
def test_twins_differ_in_the_cue_mask_and_nowhere_else(plan: Plan) -> None:
    marked, twin = paint(plan, 3), paint(plan, 3, cues=False)
    differs = (marked.image != twin.image).any(-1)
    assert not differs[~marked.cue_mask].any()
    assert differs[marked.cue_mask].mean() > 0.9
    assert not twin.cue_mask.any()
    assert marked.text == twin.text
    assert not (marked.mask & marked.cue_mask).any()


@pytest.mark.parametrize(("cue", "low", "high"), [("tag", 0.02, 0.05), ("border", 0.13, 0.23), ("texture", 0.1, 0.6)])
def test_cues_cover_what_is_documented(cue: str, low: float, high: float) -> None:
    areas = [paint(Plan("aligned", k, k, CUE_CLASSES[cue], cue), 3).cue_mask.mean() for k in range(5)]
    assert low < min(areas) and max(areas) < high


def test_the_object_mask_holds_the_object() -> None:
    for k, label in enumerate(CLASSES):
        scene = paint_scene(4, k, label)
        assert 0.004 < scene.mask.mean() < 0.5
        rows, columns = np.nonzero(scene.mask)
        inside = scene.image[scene.mask].astype(float).mean(0)
        box = scene.image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        around = box[~scene.mask[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]].astype(float).mean(0)
        assert np.abs(inside - around).max() > 8, f"{label}: mask and surroundings look the same"


def test_captions_name_the_subject_its_number_and_mostly_its_colour() -> None:
    coloured = []
    for plan in plan_split("clean", 30, 5):
        picture = paint(plan, 5)
        scene, words = picture.scene, picture.text.lower().replace(",", "").replace(".", "").split()
        nouns = {scene.noun.split()[-1], scene.label, f"{scene.label}s"}
        subject = next(k for k, word in enumerate(words) if word in nouns)
        assert {1: {"a", "an"}, 2: {"two"}, 3: {"three"}}[scene.count] & set(words[max(subject - 4, 0) : subject])
        coloured.append(scene.colour in words[max(subject - 3, 0) : subject])
    assert np.mean(coloured) > 0.7


def test_splits_plant_cues_as_documented() -> None:
    train = plan_split("train", 3000, 1)
    for cue, label in CUE_CLASSES.items():
        own = [p.cue == cue for p in train if p.label == label]
        foreign = [p.cue == cue for p in train if p.label != label]
        assert abs(np.mean(own) - PREVALENCE) < 0.04
        assert 0.005 < np.mean(foreign) < 0.03
    assert all(p.cue == OWN_CUES.get(p.label, "none") for p in plan_split("aligned", 60, 1))
    assert all(p.cue != "none" and CUE_CLASSES[p.cue] != p.label for p in plan_split("conflicting", 60, 1))
    assert all(p.cue == "none" and p.problem == "none" for p in plan_split("clean", 60, 1))


def test_pairs_have_the_documented_problems() -> None:
    pairs = plan_split("pairs", 900, 1)
    for problem, share in PROBLEMS.items():
        assert abs(np.mean([p.problem == problem for p in pairs]) - share) < 0.04
    assert all(p.word != p.label for p in pairs if p.problem in ("overlay", "swapped"))
    swapped = next(p for p in pairs if p.problem == "swapped")
    partner = next(p for p in pairs if p.number == swapped.partner)
    scene = paint_scene(1, partner.number, partner.label)
    assert scene.noun in paint(swapped, 1).text or scene.label in paint(swapped, 1).text
    lessons = [p for p in plan_split("train_pairs", 900, 1) if p.problem == "overlay"]
    assert 0.35 < np.mean([p.word == p.label for p in lessons]) < 0.65
    misled = next(p for p in lessons if p.word != p.label)
    assert misled.word in paint(misled, 1).text


def test_an_unknown_split_is_named() -> None:
    with pytest.raises(ValueError, match="alligned"):
        plan_dataset({"alligned": 3}, 1)
