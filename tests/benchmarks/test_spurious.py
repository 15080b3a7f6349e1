"""The generated benchmark is what it says: cues stay in their masks, plans are spread, scores count right."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
import torch

from benchmarks.spurious import backbone, case, domino, pictures, run, spray, words
from benchmarks.spurious.cues import cue_painter
from benchmarks.spurious.plant import NO_CUE, deal_cues
from benchmarks.spurious.pool import paint_pool
from benchmarks.spurious.reliance import Reliance
from benchmarks.spurious.score import hits_of, rank_of, summarise, too_rare
from benchmarks.spurious.settings import PICTURE_KINDS, PREVALENCES, SIZES, STRENGTHS, CueSpec, DatasetSpec, plan
from benchmarks.spurious.slices import Slice
from benchmarks.spurious.subject import Truth


@pytest.fixture(scope="module")
def pool():
    return paint_pool("train", 6)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", PICTURE_KINDS)
def test_painters_change_pixels_inside_their_mask_only(pool, kind, seed):
    for strength, size in zip(STRENGTHS, SIZES, strict=True):
        paint = cue_painter(CueSpec(kind, 0, 0.5, strength, size, seed), ("boat", "car"), pool)
        for k in range(6):
            marked, mask = paint(pool.images[k], pool.masks[k], np.random.default_rng(k))
            changed = (marked != pool.images[k]).any(-1)
            assert marked.dtype == np.uint8 and marked.shape == (96, 96, 3)
            assert not (changed & ~mask).any()
            assert changed[mask].mean() > 0.5
            if kind == "texture":
                assert not (mask & pool.masks[k]).any()


def test_the_same_random_numbers_paint_the_same_and_stickers_move(pool):
    paint = cue_painter(CueSpec("sticker", 0, 0.5, 1.0, 0.25, 1), ("boat", "car"), pool)
    first, again, other = (paint(pool.images[0], pool.masks[0], np.random.default_rng(k))[1] for k in (0, 0, 1))
    assert (first == again).all() and (first != other).any()


def test_a_plan_is_spread_and_reproducible():
    specs = plan(160)
    assert specs == plan(160) and specs[:6] == plan(20)[:6] and specs != plan(160, seed=1)
    cues = [cue for spec in specs if spec.modality == "image" for cue in spec.cues]
    kinds = Counter(cue.kind for cue in cues)
    assert set(kinds) == set(PICTURE_KINDS) and max(kinds.values()) - min(kinds.values()) <= 1
    for kind in PICTURE_KINDS:
        dealt = Counter(cue.prevalence for cue in cues if cue.kind == kind)
        assert set(dealt) == set(PREVALENCES) and max(dealt.values()) - min(dealt.values()) <= 1
    for spec in specs:
        owners = [cue.class_index for cue in spec.cues]
        assert len(set(owners)) == len(owners) < len(spec.classes) and max(owners) < len(spec.classes)
    assert {spec.modality for spec in specs} == {"image", "text"}


def test_cues_are_dealt_as_often_as_asked():
    labels, cues = np.repeat([0, 1, 2], 100), (CueSpec("tag", 0, 0.75, 1, 0.2, 0), CueSpec("frame", 1, 0.02, 1, 0.2, 0))
    cue_of = deal_cues(labels, cues, np.random.default_rng(0))
    assert (cue_of[labels == 0] == 0).sum() == 75 and (cue_of[labels == 1] == 1).sum() == 2
    assert (cue_of[labels != 0] == 0).sum() == 4  # strays: 2 % of the others
    assert (cue_of[labels == 2] == NO_CUE).sum() >= 96


def test_a_cue_counts_as_found_only_above_eighty_per_cent():
    hits = np.zeros(100, bool)
    hits[:20] = True
    nine, eight = (*range(9), 50), (*range(8), 50, 51)
    assert rank_of([Slice(0, eight, 2.0), Slice(0, nine, 1.0)], hits) == 2
    assert rank_of([Slice(0, eight, 2.0)], hits) is None
    assert rank_of([Slice(0, tuple(range(5)), 2.0)], hits) is None  # five hits and nothing more are not nine of ten
    assert rank_of([Slice(0, (50,), 1.0)] * 25 + [Slice(0, nine, 1.0)], hits) is None  # too far down
    few = np.arange(100) < 3
    assert rank_of([Slice(0, (2, 0, 1, 77), 1.0)], few) == 1 and not too_rare(few)
    assert rank_of([Slice(0, (0, 1), 1.0)], np.arange(100) < 2) is None and too_rare(np.arange(100) < 2)


def test_hits_carry_the_cue_and_are_predicted_its_class():
    truth = Truth(np.array([0, 0, -1, 1]), (CueSpec("tag", 1, 0.5, 1, 0.2, 0), CueSpec("tint", 0, 0.5, 1, 0.2, 0)), [])
    assert hits_of(truth, np.array([1, 0, 1, 0]), 0).tolist() == [True, False, False, False]


def test_reliance_needs_twenty_per_cent():
    assert Reliance(0.2, 0.0).relies and Reliance(-0.1, 0.3).relies and not Reliance(0.19, 0.19).relies


def test_the_summary_counts_relied_cues_and_alarms_on_clean_classes():
    found = {"row": "found", "auditor": "a", "kind": "tag", "prevalence": 0.4, "too_rare": False}
    rows = [
        {**found, "relies": True, "found": True, "rank": 3},
        {**found, "relies": True, "found": False, "rank": None},
        {**found, "relies": False, "found": False, "rank": None},
        {**found, "relies": True, "found": False, "rank": None, "too_rare": True},
        {"row": "class", "auditor": "a", "class": "boat", "clean": True, "flagged": False, "flagged_twin": True},
        {"row": "class", "auditor": "a", "class": "car", "clean": False, "flagged": True, "flagged_twin": True},
        {"row": "class", "auditor": "a", "class": "tree", "clean": True, "flagged": False, "flagged_twin": False},
    ]
    (row,) = summarise(rows)
    assert (row["settings"], row["too_rare"], row["found"], row["local_20"], row["median_rank"]) == (3, 1, 0.5, 0.5, 3)
    assert (row["clean_classes"], row["false_alarms"], row["false_alarms_beside_cues"]) == (2, 0.5, 0.0)
    assert row["by_prevalence"]["20-40 %"] == 0.5 and row["by_kind"]["tint"] is None


def planted_rows(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """60 rows around the origin and 20 far away; the places of the 20."""
    rows = rng.normal(0, 1, (80, 12))
    rows[60:, :4] += 8
    return rows, np.arange(60, 80)


def test_spray_finds_a_planted_cluster():
    rows, planted = planted_rows(np.random.default_rng(0))
    slices = sorted(spray.class_slices(rows, np.arange(80), 1), key=lambda s: -s.score)
    hits = np.isin(np.arange(80), planted)
    assert rank_of(slices, hits) in (1, 2) and all(s.class_index == 1 for s in slices)
    values, _ = spray.spectral_embedding(rows)
    assert values[0] == pytest.approx(0, abs=1e-8) and values[1] == pytest.approx(0, abs=1e-8)  # two components


def test_domino_finds_a_planted_group_of_errors_first():
    rows, planted = planted_rows(np.random.default_rng(1))
    labels, probabilities = np.repeat([0, 1], 40), np.full((80, 2), 0.05)
    predicted = labels.copy()
    predicted[planted] = 0
    probabilities[np.arange(80), predicted] = 0.95
    slices = domino.mixture_slices(rows, labels, probabilities)
    assert len(slices) == domino.SLICES and rank_of(slices, np.isin(np.arange(80), planted)) == 1
    assert slices[0].class_index == 0


def test_hidden_captions_name_no_subject_and_twins_differ_in_the_word(pool):
    spec = DatasetSpec(0, ("boat", "car"), (CueSpec("word", 0, 0.5, 1.0, 2.0, 1),), 3, "text")
    chosen = np.flatnonzero(pool.labels < 2)
    scenes = words.word_scenes(spec, pool, chosen)
    for k in range(len(chosen)):
        text, mask = scenes.paint(k, 0, np.random.default_rng(k))
        left = [word for word, marked in zip(text.split(), mask, strict=True) if not marked]
        assert " ".join(left) == scenes.samples[k] and mask.sum() == 2 and "stock image" in text
    assert any("thing" in text for text in scenes.samples)


@pytest.mark.slow
@pytest.mark.parametrize("modality", ["image", "text"])
def test_a_small_dataset_runs_and_repeats(tmp_path, monkeypatch, modality):
    torch.set_num_threads(1)
    monkeypatch.setattr(backbone, "COPIES", 1)
    monkeypatch.setattr(backbone, "RECIPE", pictures.Recipe(0, 1, 16, 1e-3, warm_up=5))
    monkeypatch.setattr(pictures, "RECIPE", pictures.Recipe(0, 1, 16, 1e-3, warm_up=5))
    kinds = ("word", "word") if modality == "text" else ("tag", "part")
    cues = tuple(CueSpec(kind, k, 0.5, 1.0, 1.0 if modality == "text" else 0.25, k) for k, kind in enumerate(kinds))
    spec = DatasetSpec(3, ("boat", "car", "tree"), cues, 5, modality)
    pools = case.load_pools(tmp_path, train=20, audit=16)
    auditors = {name: run.AUDITORS[name] for name in run.RIVALS}
    rows = run.run_dataset(spec, auditors, pools, tmp_path, audited=15)
    again = run.run_dataset(spec, auditors, case.load_pools(tmp_path, train=20, audit=16), tmp_path, audited=15)
    timeless = [[r for r in some if r["row"] not in ("audit", "dataset")] for some in (rows, again)]
    assert timeless[0] == timeless[1] and json.loads(json.dumps(rows))
    kinds_of_rows = Counter(r["row"] for r in rows)
    assert kinds_of_rows == {"dataset": 1, "cue": 2, "found": 6, "class": 9, "audit": 3}
    assert {r["samples"] for r in rows if r["row"] == "cue"} == {8 + 1}  # half of 15, and a stray


def test_a_killed_run_goes_on_and_an_auditor_can_run_anew(tmp_path):
    file = tmp_path / "rows.jsonl"
    case_row, found = {"digest": "d", "row": "dataset"}, {"digest": "d", "row": "found", "auditor": "spray", "rank": 1}
    run._append(file, [case_row, found])
    with file.open("a") as out:
        out.write('[{"digest": "e", "ro')
    run._append(file, [{**found, "rank": 2}])
    assert run._read(file, {("d", ""), ("d", "spray"), ("e", "")}) == {
        ("d", ""): [case_row],
        ("d", "spray"): [{**found, "rank": 2}],
    }
