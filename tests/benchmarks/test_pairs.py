"""The benchmarks of image-text pairs measure what they say: every variant explains the same pairs, equally."""

from __future__ import annotations

import csv
from typing import Any

import numpy as np
import open_clip
import pytest
import torch

from benchmarks import pair_evidence, pairs
from engine import LoadedModel, load_model
from jobs.pictures import decode


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    torch.manual_seed(0)
    vision = open_clip.CLIPVisionCfg(layers=3, width=24, head_width=8, patch_size=32, image_size=224)
    text = open_clip.CLIPTextCfg(context_length=20, vocab_size=49408, width=24, heads=3, layers=3)
    model = open_clip.model.CLIP(16, vision, text).eval()
    return pairs.wrapped(model, open_clip.SimpleTokenizer(context_length=20))


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))


def assert_same(found: torch.Tensor, expected: torch.Tensor) -> None:
    peak = expected.abs().amax()
    assert peak > 0
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=float(peak) * 1e-5)


@pytest.mark.parametrize(("ours", "authors"), [("ours", "authors"), ("ours_all_layers", "authors_all_layers")])
@pytest.mark.parametrize("picture", [0, 1])
def test_ours_and_the_notebook_give_the_same_maps(
    loaded: LoadedModel, images: torch.Tensor, picture: int, ours: str, authors: str
) -> None:
    variants = pairs.own_variants(loaded, images[[picture]], [pairs.captions(2)[picture]])
    expected = variants[ours]().explanation.relevancy
    seen, read = variants[authors]()
    assert_same(seen, expected["image"])
    words = expected["text"] != 0
    assert words.sum() >= 8  # a caption has ten words
    assert_same(read[words], expected["text"][words])


def test_layers_and_words_make_a_difference(loaded: LoadedModel, images: torch.Tensor) -> None:
    variants = pairs.own_variants(loaded, images, pairs.captions(2))
    last, whole = (variants[name]().explanation.relevancy["image"] for name in ("ours", "ours_all_layers"))
    assert not torch.allclose(last, whole, rtol=0.1)
    assert len(variants["ours_words_3"]().links) == 3 and not variants["ours"]().links
    falls = variants["ours_evidence"]()
    assert all(abs(fall).max() > 0 for fall in (*falls.patches.values(), falls.word))


def test_the_notebook_takes_pairs_one_by_one(loaded: LoadedModel, images: torch.Tensor) -> None:
    variants = pairs.own_variants(loaded, images, pairs.captions(2))
    assert "authors_all_layers" not in variants
    assert_same(variants["authors"]()[0], variants["ours"]().explanation.relevancy["image"])


def test_sharing_changes_no_number(loaded: LoadedModel, images: torch.Tensor) -> None:
    variants = pairs.shared_variants(loaded, images, pairs.captions(6))
    ours = variants["ours"]().explanation.relevancy
    for name in ("ours_unshared", "authors", "authors_shared"):
        seen, read = variants[name]()
        assert_same(seen, ours["image"])
        words = ours["text"] != 0
        assert_same(read[words], ours["text"][words])


def test_variants_leave_the_model_as_it_was(loaded: LoadedModel, images: torch.Tensor) -> None:
    before = {name: value.clone() for name, value in loaded.model.state_dict().items()}
    forwards = [module.forward.__func__ for module in loaded.model.modules()]
    for make in (pairs.own_variants, pairs.shared_variants):
        for work in make(loaded, images, pairs.captions(2)).values():
            work()
    assert all(torch.equal(value, before[name]) for name, value in loaded.model.state_dict().items())
    assert [module.forward.__func__ for module in loaded.model.modules()] == forwards
    assert all(weight.requires_grad and weight.grad is None for weight in loaded.model.parameters())


def test_captions_differ() -> None:
    count = pairs.PICTURES * pairs.CAPTIONS
    assert len(set(pairs.captions(count))) == count >= max(max(sizes) for sizes in pairs.BATCHES.values())


def test_rows_are_medians_over_rounds() -> None:
    seconds = {"forward": [1.0, 2.0, 4.0], "ours": [3.0, 4.0, 4.0]}
    forward, ours = pairs.rows_of("tiny", seconds, pairs=8, pictures=2)
    assert set(pairs.COLUMNS) <= set(ours) and (ours["batch"], ours["pictures"]) == (8, 2)
    assert (forward["ms_per_pair"], forward["pairs_per_s"], forward["ratio_to_forward"]) == (250, 4, 1)
    assert (ours["ms_per_pair"], ours["pairs_per_s"], ours["ratio_to_forward"]) == (500, 2, 2)  # of 3, 2 and 1


# ---- evidence


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return pair_evidence.paint(tmp_path_factory.mktemp("painted"), 3, 24)


def test_the_manifest_for_the_job_tells_nothing_of_problems(painted: list[dict[str, Any]]) -> None:
    folder = painted[0]["path"].parents[1]
    with (folder / "plain.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [set(row) for row in rows] == [{"image", "text"}] * 24
    assert [(row["image"], row["text"]) for row in rows] == [(row["image"], row["text"]) for row in painted]
    assert len({row["problem"] for row in painted}) > 1


def test_falls_are_those_of_the_demo_clip(painted: list[dict[str, Any]]) -> None:
    loaded = load_model(pair_evidence.MODEL)
    found = pair_evidence.falls(loaded, painted, *pair_evidence.DEFAULT)
    again = pair_evidence.falls(loaded, painted, "random", -1)
    images = torch.stack([loaded.preprocess(decode(row["path"])) for row in painted])
    with torch.no_grad():
        seen = loaded.model.encode_image(images, normalize=True)
        read = loaded.model.encode_text(loaded.tokenizer([row["text"] for row in painted]), normalize=True)
    np.testing.assert_allclose(found["score"], 2.5 * (seen * read).sum(dim=1).clamp(min=0), atol=1e-5)
    for name in ("mean", "blur"):
        np.testing.assert_array_equal(found[f"{name}_random"], again[f"{name}_random"])  # all meet the same rival
        assert (found[name] > again[name]).mean() > 0.6
    assert (found["word"] != again["word"]).any()


def test_a_row_says_how_many_times_random_the_fall_is(painted: list[dict[str, Any]]) -> None:
    loaded = load_model(pair_evidence.MODEL)
    row = pair_evidence.deletion_row(loaded, painted[:8], "none", *pair_evidence.DEFAULT)
    found = pair_evidence.falls(loaded, painted[:8], *pair_evidence.DEFAULT)
    for name in ("mean", "blur", "word"):
        top, other = np.nanmedian(found[name]), np.nanmedian(found[f"{name}_random"])
        assert (row[name], row[f"{name}_random"]) == pytest.approx((top, other), abs=1e-4)
        assert row[f"{name}_ratio"] == (None if other <= 0 else pytest.approx(top / other, abs=1e-3))
        assert row[f"{name}_larger"] == pytest.approx((found[name] > found[f"{name}_random"]).mean(), abs=1e-3)
    assert row["n"] == 8 and row["method"] == "gae"


@pytest.mark.parametrize(("method", "start_layer"), pair_evidence.METHODS)
def test_every_method_takes_part(painted: list[dict[str, Any]], method: str, start_layer: int) -> None:
    found = pair_evidence.falls(load_model(pair_evidence.MODEL), painted[:3], method, start_layer)
    assert all(np.isfinite(values).all() and len(values) == 3 for values in found.values())


def suspect(
    rank: int, kind: str, samples: list[int], flagged: bool = False, status: str = "verified"
) -> dict[str, Any]:
    named = {"class_name": "all", "name": "alike", "evidence": {"host_likeness": 0.1}}
    return {"rank": rank, "kind": kind, "n": len(samples), "sample_ids": samples, "status": status,
            "flagged": flagged, **named}  # fmt: skip


PROBLEMS = ["swapped"] * 30 + ["overlay"] * 30 + ["none"] * 40


def test_the_first_suspect_of_the_right_kind_with_a_problem_counts() -> None:
    words = suspect(1, "pair_word", list(range(30)))
    mixed = suspect(2, "pair_mismatch", [*range(9), *range(60, 71)])  # 9 of 20
    half = suspect(3, "pair_mismatch", [*range(10), *range(60, 70), *range(10, 30)], flagged=True)
    whole = suspect(4, "pair_mismatch", list(range(20)))
    suspects = [words, mixed, half, whole]
    row = pair_evidence.problem_row(5, suspects, PROBLEMS, "swapped")
    assert (row["rank"], row["kind"], row["planted"], row["flagged"]) == (3, "pair_mismatch", 30, True)
    assert (row["precision_at_20"], row["precision"]) == (0.5, 0.75)
    assert pair_evidence.problem_row(5, suspects[:2], PROBLEMS, "swapped")["precision_at_20"] == 0.45  # not found
    other_kind = suspect(1, "pair_cue", list(range(30, 50)))
    missed = pair_evidence.problem_row(5, [other_kind], PROBLEMS, "overlay")
    assert (missed["rank"], missed["precision_at_20"]) == (None, 0)


def test_flags_without_a_planted_problem_are_false() -> None:
    suspects = [
        suspect(1, "pair_mismatch", list(range(20)), flagged=True),
        suspect(2, "pair_mark", list(range(70, 90)), flagged=True),
        suspect(3, "pair_cue", list(range(60, 80))),
    ]
    row = pair_evidence.flags_row("twins", 5, suspects, PROBLEMS)
    assert row["flagged"] == {"pair_mismatch": 1, "pair_mark": 1} and row["flagged_marks"] == 1
    assert row["flagged_false"] == ["2 pair_mark all: alike"]


def test_the_summary_counts_seeds() -> None:
    suspects = [suspect(2, "pair_mismatch", list(range(20)), flagged=True)]
    rows = [pair_evidence.problem_row(1, suspects, PROBLEMS, "swapped")]
    rows.append(pair_evidence.problem_row(2, [], PROBLEMS, "swapped"))
    swapped, overlay, _ = pair_evidence.summary(rows)
    assert (swapped["seeds"], swapped["found"], swapped["median_rank"], swapped["flagged"]) == (2, 1, 2, 1)
    assert (swapped["mean_precision_at_20"], swapped["least_precision_at_20"]) == (0.5, 0)
    assert overlay["found"] == 0 and overlay["median_rank"] is None
