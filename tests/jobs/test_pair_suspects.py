"""`python -m jobs suspects` on image-text runs: the document, kinds, what is left out, and what is refused."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine import explain_targets, load_model
from engine.interventions.words import without_word
from engine.suspects import Candidate, PairCue
from engine.targets import Target
from jobs.demo.command import WEIGHTS
from jobs.demo.dataset import write_dataset
from jobs.run import run_audit
from jobs.spec import RunSpec
from jobs.suspects.command import SuspectsResult, find_suspects
from jobs.suspects.material import find_material
from jobs.suspects.pairs.gather import GatheredPairs, gather_pairs
from jobs.suspects.pairs.proof import prove_pairs, replacement
from jobs.suspects.pairs.subject import PairSubject
from jobs.suspects.show import suspect_lines
from jobs.suspects.spec import PAIR_KINDS, SuspectsSpec
from storage import Store, Suspects, read_suspects, write_suspects
from tests.jobs.conftest import Audited, assert_refused, noise, write_manifest
from tests.jobs.processes import Command, Start, until
from tests.jobs.test_suspects import KEYS, place
from tests.model_folders import FOLDERS

PAIRS, SWAPPED = 120, 14
QUICK = [word for kind in ("mismatch", "mark", "place", "property") for word in ("--kind", f"pair_{kind}")]
"""Kinds that need no maps of many words."""
Row = dict[str, Any]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Audited:
    """A finished run named "demo" of the demo's CLIP on 120 painted pairs, and what the first search in it printed.

    The last 14 pairs without a problem have each other's captions.
    """
    folder = tmp_path_factory.mktemp("pairs")
    with write_dataset(folder / "data", 11, {"pairs": PAIRS}).open(newline="") as file:
        rows = list(csv.DictReader(file))
    texts = [row["text"] for row in rows]
    fine = [k for k, row in enumerate(rows) if row["problem"] == "none"][-SWAPPED:]
    for k, other in zip(fine, np.roll(fine, 5), strict=True):
        texts[k] = rows[other]["text"]
    named = [{"image": row["image"], "text": text} for row, text in zip(rows, texts, strict=True)]
    data = write_manifest(folder / "data/pairs.csv", named)
    model = f"open_clip:local-dir:{shutil.copytree(WEIGHTS / 'clip', folder / 'clip')}"
    store = folder / "store"
    spec = RunSpec(str(data), model, store=str(store), target="clip-score", workers=0, device="cpu", name="demo")
    run_audit(replace(spec, part_size=16))
    return Audited(data, model, store, find_suspects(SuspectsSpec(store=str(store))).to_json())


@pytest.fixture
def copied(pairs: Audited, tmp_path: Path) -> Path:
    """A copy of the store, with the list of suspects."""
    return shutil.copytree(pairs.store, tmp_path / "store")


def kept(store: Path) -> Suspects:
    return read_suspects(Store.open(store).layout_of("demo"))


def document(answer: Any) -> dict[str, Any]:
    assert answer.code == 0, answer.err
    return json.loads(answer.out)


def of_kind(found: dict[str, Any], kind: str) -> list[Row]:
    return [row for row in found["suspects"] if row["kind"] == kind]


# --- the document -----------------------------------------------------------------------------------------------------


def test_the_document(pairs: Audited) -> None:
    rows = pairs.found["suspects"]
    assert (pairs.found["samples"], pairs.found["total"], pairs.found["complete"]) == (PAIRS, PAIRS, True)
    assert len(rows) >= 6 and [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
    assert len({row["id"] for row in rows}) == len(rows)
    with Store.open(pairs.store).reader("demo") as reader:
        samples = {row["sample_id"]: row for row in reader.query("SELECT sample_id, uri, text, words FROM samples")}
        about = reader.suspects().about
    for row in rows:
        assert set(row) == KEYS | {"sample_uris"}
        assert row["kind"] in PAIR_KINDS and row["class_index"] == -1 and row["class_name"]
        assert row["id"].startswith(row["kind"] + "-")
        assert row["sample_uris"] == [samples[i]["uri"] for i in row["sample_ids"]]
        assert row["n"] == len(row["sample_ids"]) == len(set(row["sample_ids"])) > 0
        whole = PAIRS
        if row["kind"] in ("pair_cue", "pair_place", "pair_property"):
            having = {i for i, one in samples.items() if row["class_name"] in [word.lower() for word in one["words"]]}
            assert set(row["sample_ids"]) <= having and row["cue"]["word"] == row["class_name"]
            whole = len(having)
        assert row["share"] == row["n"] / whole
        assert row["evidence"]["mean_score"] < 2.5 and row["evidence"]["usual_score"] > 1
        assert all(0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1 for x0, y0, x1, y1 in row["cue"]["boxes"].values())
    assert [row["rank"] for row in sorted(rows, key=lambda row: (place(row), -row["score"]))] == sorted(
        row["rank"] for row in rows
    )
    assert about["done"] and about["target"] == "clip-score" and about["settings"]["kinds"] == list(PAIR_KINDS)


def test_swapped_captions_and_banners_are_listed(pairs: Audited) -> None:
    (swapped,) = of_kind(pairs.found, "pair_mismatch")
    assert (swapped["class_name"], swapped["status"], swapped["flagged"]) == ("all pairs", "verified", True)
    effect = swapped["evidence"]["effects"]["replacement"]
    assert effect["mean"] > 0.5 > effect["control_mean"] + 0.1 and swapped["cue"] == {"boxes": {}}
    marks = [row for row in of_kind(pairs.found, "pair_mark") if row["flagged"]]
    assert marks and {row["class_name"] for row in marks} == {"low scores"} and marks[0]["cue"]["boxes"]


def test_the_list_for_people(pairs: Audited) -> None:
    rows, said = pairs.found["suspects"], "\n".join(suspect_lines(SuspectsResult(**pairs.found)))
    assert said.startswith(f"demo: {len(rows)} suspects in {PAIRS} samples")
    heads = [line for line in said.splitlines() if line.strip().split(".")[0].isdigit()]
    for line, row in zip(heads, rows, strict=True):
        assert f"{row['class_name']}: {row['name']} ({row['kind']}, {row['n']} pairs, {row['share']:.0%} of" in line
        assert line.endswith(row["status"]) and ("PROBABLY SPURIOUS" in line) == row["flagged"]
    (swapped,) = of_kind(pairs.found, "pair_mismatch")
    effect = swapped["evidence"]["effects"]["replacement"]
    assert (
        f"the caption that fits the picture best raises the score by {effect['mean']:.2f} of the usual gap; a random "
        f"one by {effect['control_mean']:.2f}" in said
    )
    effects = of_kind(pairs.found, "pair_mark")[0]["evidence"]["effects"]
    assert f"removing it raises the score by {effects['removal']['mean']:.2f} of the usual gap" in said
    assert f"pasting it into other pictures lowers the score by {effects['transplant']['mean']:.2f};" in said
    assert "usual gap: how far the median pair scores above" in said
    assert "(5 runs on captions dealt out to other pictures)" in said and "predictions" not in said


# --- options ----------------------------------------------------------------------------------------------------------


def gone(store: Path, pairs: Audited) -> None:
    """Let the record name data and a model that are not there."""
    record = store / "runs/demo/run.json"
    text = record.read_text().replace(str(pairs.data.parent), "/nowhere/data")
    record.write_text(text.replace(pairs.model, "open_clip:local-dir:/nowhere/clip"))


def test_without_verification_neither_model_nor_data_are_needed(jobs, pairs: Audited, copied: Path) -> None:
    gone(copied, pairs)
    (copied / "runs/demo/suspects.parquet").unlink()
    found = document(jobs("suspects", "demo", "--store", copied, "--no-verify", "--json", "--top", 40))
    assert "pair_mark, pair_cue, pair_unsupported need the model: not looked for (--no-verify)" in found["notes"]
    assert {(row["status"], row["flagged"]) for row in found["suspects"]} == {("unverified", False)}
    assert not any("tested_on" in row["evidence"] for row in found["suspects"])
    assert {"pair_mismatch", "pair_property"} <= {row["kind"] for row in found["suspects"]}
    assert not {"pair_mark", "pair_cue", "pair_unsupported"} & {row["kind"] for row in found["suspects"]}
    (swapped,) = of_kind(found, "pair_mismatch")
    (before,) = of_kind(pairs.found, "pair_mismatch")
    assert set(before["sample_ids"]) <= set(swapped["sample_ids"])  # some are explained by marks there
    alone = document(
        jobs("suspects", "demo", "--store", copied, "--no-verify", "--json", "--kind", "pair_mismatch", "--again")
    )
    assert [row["kind"] for row in alone["suspects"]] == ["pair_mismatch"] and alone["notes"] == []
    assert kept(copied).about["settings"]["kinds"] == ["pair_mismatch"]


def test_a_model_that_is_gone_or_other_is_refused(jobs, pairs: Audited, copied: Path, tmp_path: Path) -> None:
    gone(copied, pairs)
    command = ("suspects", "demo", "--store", copied)
    before = (copied / "runs/demo/suspects.parquet").read_bytes()
    assert_refused(jobs(*command), "pairs.csv", "no such file", "--data", "--no-verify")
    data = ("--data", pairs.data)
    assert_refused(jobs(*command, *data), "/nowhere/clip", "run 'demo'", "--model", "--no-verify")
    other = shutil.copytree(pairs.model.removeprefix("open_clip:local-dir:"), tmp_path / "clip")
    weights = other / "open_clip_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1  # one bit
    weights.write_bytes(content)
    model = ("--model", f"open_clip:local-dir:{other}")
    assert_refused(jobs(*command, *data, *model), "is not what run 'demo' was made with", "its weights differ")
    assert (copied / "runs/demo/suspects.parquet").read_bytes() == before


def test_kinds_of_the_other_runs_are_refused(jobs, pairs: Audited) -> None:
    answer = jobs("suspects", "demo", "--store", pairs.store, "--kind", "concept")
    assert_refused(answer, "--kind concept is not for runs of image-text scores", "pair_mismatch, pair_mark")
    answer = jobs("suspects", "demo", "--store", pairs.store, "--kind", "pair_marks")
    assert_refused(answer, "unknown kind of suspect 'pair_marks'", "did you mean pair_mark ")


def test_kinds_are_looked_for_alone(jobs, pairs: Audited, copied: Path) -> None:
    command = ("suspects", "demo", "--store", copied, "--json", "--kind", "pair_mismatch", "--kind", "pair_mark")
    found = document(jobs(*command))["suspects"]
    assert {row["kind"] for row in found} == {"pair_mismatch", "pair_mark"}
    before = {row["id"]: row for row in pairs.found["suspects"]}
    again = [row for row in found if row["id"] in before]
    assert of_kind({"suspects": again}, "pair_mismatch") and of_kind({"suspects": again}, "pair_mark")
    assert all(row["evidence"] == before[row["id"]]["evidence"] for row in again if row["flagged"])


def test_a_second_call_tests_nothing_anew(jobs, pairs: Audited, copied: Path) -> None:
    """What was tested is recognised by a mark that only a new test takes away."""
    with Store.open(copied).reader("demo") as reader:
        marked = [
            {**row, "evidence": {**row["evidence"], "untested_because": "a mark"}} for row in reader.suspects().rows
        ]
        write_suspects(reader.run, marked, reader.suspects().about)
    again = document(jobs("suspects", "demo", "--store", copied, "--json", *QUICK))["suspects"]
    before = {row["id"]: row for row in pairs.found["suspects"]}
    known = [row for row in again if row["id"] in before]
    assert {row["kind"] for row in known} >= {"pair_mismatch", "pair_mark"}
    assert {row["evidence"]["untested_because"] for row in known} == {"a mark"}
    assert all(row["evidence"]["effects"] == before[row["id"]]["evidence"]["effects"] for row in known)
    command = ("suspects", "demo", "--store", copied, "--json", "--kind", "pair_mismatch")
    (fresh,) = document(jobs(*command, "--again"))["suspects"]
    assert fresh["evidence"]["untested_because"] is None and fresh["status"] == "verified"


def test_no_suspects_are_wanted(jobs, copied: Path) -> None:
    answer = jobs("suspects", "demo", "--store", copied, "--top", 0, "--no-verify")
    assert answer.code == 0 and answer.out.startswith(f"demo: 0 suspects in {PAIRS} samples")
    assert "by chance" not in answer.out and "usual gap" not in answer.out and kept(copied).rows == []


def test_a_sample_of_the_pairs_is_noted(jobs, copied: Path) -> None:
    options = ("--sample", 60, "--no-verify", "--json", "--seed", 3)
    found = document(jobs("suspects", "demo", "--store", copied, *options))
    assert (found["samples"], found["total"]) == (60, PAIRS)
    assert "searched in 60 of 120 pairs, chosen at random (--sample)" in found["notes"]


def test_pictures_that_vanished_are_passed_over(jobs, pairs: Audited, copied: Path, tmp_path: Path) -> None:
    data = shutil.copytree(pairs.data.parent, tmp_path / "data")
    mark = next(row for row in of_kind(pairs.found, "pair_mark") if row["flagged"])
    (data / mark["sample_uris"][0]).unlink()
    (data / mark["sample_uris"][1]).write_text("not a picture")
    command = ("suspects", "demo", "--store", copied, "--data", data / "pairs.csv", "--again", "--json")
    found = document(jobs(*command, "--kind", "pair_mark", "--photos", 200))
    fewer = found["suspects"][0]
    lost = set(mark["sample_ids"][:2])
    assert fewer["flagged"] and not lost & set(fewer["sample_ids"])
    assert len(set(fewer["sample_ids"]) & set(mark["sample_ids"])) >= 0.7 * mark["n"]
    assert fewer["evidence"]["effects"]["removal"]["n"] <= fewer["n"]
    for picture in sorted((data / "images").iterdir())[1:]:
        picture.unlink()
    assert document(jobs(*command, "--kind", "pair_mark"))["suspects"] == []
    (swapped,) = document(jobs(*command, "--kind", "pair_mismatch"))["suspects"]
    assert swapped["status"] == "verified"  # vectors are enough


# --- runs that are small, unfinished, or of another kind --------------------------------------------------------------


def small_run(jobs, folder: Path, texts: list[str], *options: object, model: str) -> Path:
    """A run named "demo" of pictures of noise with texts; its store."""
    rows = [{"image": noise(folder / f"{k}.png", k).name, "text": text} for k, text in enumerate(texts)]
    data = write_manifest(folder / "pairs.csv", rows)
    command = ("--data", data, "--model", model, "--workers", 0, "--name", "demo", "--device", "cpu")
    answer = jobs("run", *command, "--store", folder / "s", *options)
    assert answer.code == 0, answer.err
    return folder / "s"


def test_three_pairs_have_no_suspects(jobs, pairs: Audited, tmp_path: Path) -> None:
    store = small_run(jobs, tmp_path, ["a boat", "a car", "a red tree"], model=pairs.model)
    found = document(jobs("suspects", "demo", "--store", store, "--json"))
    assert (found["suspects"], found["samples"], found["complete"]) == ([], 3, True)
    assert jobs("suspects", "demo", "--store", store).out.startswith("demo: 0 suspects in 3 samples")


def test_equal_texts_are_refused_in_one_line(jobs, pairs: Audited, tmp_path: Path) -> None:
    """There are no shuffled pairs to compare with."""
    store = small_run(jobs, tmp_path, ["a boat"] * 8, model=pairs.model)
    answer = jobs("suspects", "demo", "--store", store)
    assert_refused(answer, "run 'demo' explains image-text scores", "no scores of shuffled pairs", "texts are equal")


def test_runs_of_earlier_versions_are_refused_in_one_line(jobs, copied: Path) -> None:
    record = copied / "runs/demo/run.json"
    content = json.loads(record.read_text())
    del content["model"]["shuffled"]
    record.write_text(json.dumps(content))
    assert_refused(jobs("suspects", "demo", "--store", copied), "run 'demo'", "an earlier version")


def test_models_without_towers_of_their_own_are_refused_in_one_line(jobs, tmp_path: Path) -> None:
    """They are one network for both: there are no vectors that could be compared with others."""
    folder = FOLDERS["transformers/blip-itm"](tmp_path / "blip")
    store = small_run(jobs, tmp_path, ["what is this", "a boat", "the sea"], model=f"hf:{folder}")
    assert_refused(jobs("suspects", "demo", "--store", store), "run 'demo' explains image-text scores")


MODELS = {"open_clip/siglip": "open_clip:local-dir:", "transformers/siglip": "hf:", "transformers/clip": "hf:"}
WORDS = ["a red boat", "a blue house", "a tree", "red sea", "the boat on the sea", "a house", "tree"]


@pytest.mark.parametrize("target", ["clip-score", "clip-logit"])
@pytest.mark.parametrize("name", MODELS)
def test_other_models_and_targets(jobs, tmp_path: Path, name: str, target: str) -> None:
    """Tiny models know nothing, but every kind is looked for and tested."""
    model = MODELS[name] + str(FOLDERS[name](tmp_path / "model"))
    texts = [WORDS[k % len(WORDS)] for k in range(42)]
    store = small_run(jobs, tmp_path, texts, "--target", target, model=model)
    found = document(jobs("suspects", "demo", "--store", store, "--json", "--photos", 6, "--top", 8))
    assert found["samples"] == 42 and kept(store).about["target"] == target
    for row in found["suspects"]:
        assert np.isfinite(row["score"]) and row["evidence"]["tested_on"] == 6
        effects = row["evidence"]["effects"]
        assert effects or row["evidence"]["untested_because"]
        assert all(np.isfinite(effect["mean"]) for effect in effects.values())
    assert jobs("suspects", "demo", "--store", store, "--photos", 6, "--top", 8).code == 0


def test_a_logit_and_a_score_find_the_same_swapped_captions(jobs, pairs: Audited, tmp_path: Path) -> None:
    command = ("--data", pairs.data, "--model", pairs.model, "--workers", 0, "--name", "demo", "--device", "cpu")
    assert jobs("run", *command, "--store", tmp_path / "s", "--target", "clip-logit").code == 0
    options = ("--json", "--kind", "pair_mismatch", "--kind", "pair_mark")
    found = document(jobs("suspects", "demo", "--store", tmp_path / "s", *options))
    assert found["samples"] == PAIRS
    (swapped,), (before,) = of_kind(found, "pair_mismatch"), of_kind(pairs.found, "pair_mismatch")
    shared = set(swapped["sample_ids"]) & set(before["sample_ids"])
    assert swapped["flagged"] and len(shared) >= 0.9 * before["n"]
    assert swapped["evidence"]["mean_score"] < swapped["evidence"]["usual_score"] > 2.5, "else these were CLIPScores"


# --- killed and interrupted -------------------------------------------------------------------------------------------


def sizes_of_tests(store: Path) -> dict[str, int]:
    """Pairs that each suspect was tested on, of those that were tested."""
    return {row["id"]: row["evidence"]["tested_on"] for row in kept(store).rows if "tested_on" in row["evidence"]}


@pytest.fixture
def testing(start: Start, copied: Path) -> Command:
    """A search that has tested one suspect or two and stands still."""
    (copied / "runs/demo/suspects.parquet").unlink()
    search = start("suspects", "demo", "--store", copied, "--json", "--device", "cpu", *QUICK)
    until(search, lambda: kept(copied).about.get("done") is False)
    search.kill(signal.SIGSTOP)
    assert 0 < len(sizes_of_tests(copied)) < len(kept(copied).rows)
    return search


@pytest.mark.slow
def test_a_killed_search_leaves_a_list_and_the_next_goes_on(
    jobs, start: Start, testing: Command, copied: Path, tmp_path: Path
) -> None:
    testing.kill(signal.SIGKILL)
    assert testing.wait() == -signal.SIGKILL
    done, left = sizes_of_tests(copied), kept(copied)
    assert left.about["done"] is False
    unbroken = shutil.copytree(copied, tmp_path / "unbroken")
    (unbroken / "runs/demo/suspects.parquet").unlink()
    whole = document(jobs("suspects", "demo", "--store", unbroken, "--json", "--device", "cpu", *QUICK))["suspects"]
    assert {row["id"] for row in left.rows} == {row["id"] for row in whole} and len(whole) >= 4
    evidence = {row["id"]: row["evidence"] for row in left.rows}
    second = start("suspects", "demo", "--store", copied, "--json", "--device", "cpu", *QUICK)
    until(second, lambda: len(sizes_of_tests(copied)) > len(done))
    for row in kept(copied).rows:
        if row["id"] in done:
            assert row["evidence"] == evidence[row["id"]]
    assert second.wait() == 0, second.stderr.read_text()
    assert json.loads(second.stdout.read_text())["suspects"] == whole
    assert kept(copied).about["done"] is True


@pytest.mark.slow
def test_ctrl_c_says_what_is_kept(testing: Command, copied: Path) -> None:
    os.killpg(testing.pid, signal.SIGINT)
    testing.kill(signal.SIGCONT)
    assert testing.wait() == 130
    count = len(sizes_of_tests(copied))
    *steps, said = testing.stderr.read_text().splitlines()
    assert said == f"interrupted, {count} tested suspects are kept, run the same command to go on"
    assert all(step.split()[-1].replace("/", "").isdigit() for step in steps)  # how far it was, now and then
    assert 0 < count < len(kept(copied).rows) and testing.stdout.read_text() == ""


@pytest.mark.slow
def test_a_run_in_progress_is_searched_as_far_as_it_is(jobs, start: Start, pairs: Audited, tmp_path: Path) -> None:
    store = tmp_path / "growing"
    run = ["run", "--data", pairs.data, "--model", pairs.model, "--store", store, "--name", "demo"]
    run += ["--workers", 0, "--part-size", 6, "--batch-size", 6, "--device", "cpu", "--target", "clip-score"]
    job = start(*run)
    until(job, lambda: len(list(store.glob("runs/*/parts/*.json"))) >= 9)
    job.kill(signal.SIGKILL)
    assert job.wait() == -signal.SIGKILL
    committed = 6 * len(list(store.glob("runs/*/parts/*.json")))
    assert 54 <= committed < PAIRS
    found = document(jobs("suspects", "demo", "--store", store, "--no-verify", "--json"))
    assert (found["complete"], found["samples"], found["total"]) == (False, committed, committed)
    assert f"the run is not finished: this is what its first {committed} pairs say" in found["notes"]


# --- the model's answers against a plain recomputation ----------------------------------------------------------------


@dataclass(frozen=True)
class Plain:
    """The run's pairs as the search sees them, and the model as open_clip runs it."""

    gathered: GatheredPairs
    subject: PairSubject
    model: Any
    tokenizer: Any

    def vectors(self, texts: list[str]) -> torch.Tensor:
        with torch.no_grad():
            return self.model.encode_text(self.tokenizer(texts), normalize=True)

    def scores(self, images: torch.Tensor, texts: list[str]) -> np.ndarray:
        """CLIPScores of each picture with its text."""
        with torch.no_grad():
            pictures = self.model.encode_image(images, normalize=True)
        return (2.5 * (pictures * self.vectors(texts)).sum(dim=1).clamp(min=0)).numpy()


@pytest.fixture(scope="module")
def plain(pairs: Audited) -> Plain:
    with Store.open(pairs.store).reader("demo") as reader:
        gathered = gather_pairs(reader, sample=1000, seed=0)
        material = find_material(reader.record, SuspectsSpec(device="cpu", batch_size=7))
        subject = PairSubject(material, gathered, int(reader.record.model["start_layer"]))
    loaded = load_model(pairs.model)
    return Plain(gathered, subject, loaded.model, loaded.tokenizer)


def test_what_is_gathered_is_what_the_model_says(plain: Plain) -> None:
    gathered = plain.gathered
    rows, images = plain.subject.images(np.arange(PAIRS))
    assert rows.tolist() == list(range(PAIRS)) == gathered.ids.tolist()
    np.testing.assert_allclose(gathered.scores, plain.scores(images, gathered.texts), atol=1e-5)
    np.testing.assert_allclose(gathered.texts_at, plain.vectors(gathered.texts), atol=1e-3)  # kept in half precision
    every = 2.5 * np.maximum(gathered.images @ gathered.texts_at.T, 0)
    shuffled = np.median(every[gathered.group[:, None] != gathered.group])
    assert gathered.unit == pytest.approx(np.median(gathered.scores) - shuffled, abs=0.02)
    assert gathered.middle == pytest.approx((np.median(gathered.scores) + shuffled) / 2, abs=0.02)
    for row in range(PAIRS):
        assert len(gathered.word_shares[row]) == len(gathered.words[row])
        told = gathered.scores[row] > 0  # a score that was cut off at 0 has a map of zeros
        assert gathered.word_shares[row].sum() == pytest.approx(1 if told else 0, abs=1e-5)
    assert gathered.having("stock").tolist() == ["stock" in text.lower() for text in gathered.texts]


@pytest.mark.parametrize("sign", [1, -1])
def test_scores_of_changed_pictures_and_texts(plain: Plain, sign: int) -> None:
    rows, images = plain.subject.images([3, 50, 7, 9, 11, 90, 2, 100, 64])  # more than a batch
    changed = torch.flip(images, dims=(3,)) * 0.7
    texts = [plain.gathered.texts[row] for row in rows]
    answers = plain.subject.of_pictures(texts, sign)(changed)
    np.testing.assert_allclose(answers[:, 0], sign * plain.scores(changed, texts) / plain.gathered.unit, atol=2e-5)
    np.testing.assert_allclose(answers[:, 1], sign * plain.gathered.middle / plain.gathered.unit)
    others = [text + " and a boat" for text in texts]
    answers = plain.subject.of_texts(rows, sign)(others)
    np.testing.assert_allclose(answers[:, 0], sign * plain.scores(images, others) / plain.gathered.unit, atol=2e-3)


def test_rises_are_those_without_each_word(plain: Plain) -> None:
    for row in (0, 17, 60):
        text = plain.gathered.texts[row]
        words, rises = plain.subject.rises(row)
        places = list(re.finditer(r"\w+", text))
        assert words == [found.group().lower() for found in places] and len(rises) == len(words)
        _, image = plain.subject.images([row])
        (whole,) = plain.scores(image, [text])
        for found, rise in zip(places, rises, strict=True):
            shorter = re.sub(" +", " ", text[: found.start()] + text[found.end() :]).strip()
            (left,) = plain.scores(image, [shorter])
            assert rise == pytest.approx((left - whole) / plain.gathered.unit, abs=3e-3)
        assert np.abs(rises).max() > 0.02, "else any answer would do"


def test_linked_maps_are_of_the_change_by_a_word(plain: Plain) -> None:
    """Taken out of the texts that have it, put into those that do not; through all layers."""
    word = "boat"
    having = plain.gathered.having(word)
    rows = np.r_[np.flatnonzero(having)[:4], np.flatnonzero(~having)[:4]]
    rows, images = plain.subject.images(rows)
    texts = [plain.gathered.texts[row] for row in rows]
    found = plain.subject.linked(images, texts, word, 5)
    less = [without_word(text, word) for text in texts]
    more = [text if k < 4 else f"{word} {text}" for k, text in enumerate(texts)]
    assert [one != other for one, other in zip(texts, less, strict=True)] == [True] * 4 + [False] * 4
    change = plain.scores(images, more) - plain.scores(images, less)
    np.testing.assert_allclose(found.score.numpy(), change, atol=1e-5)
    assert np.abs(change).max() > 0.02

    class Plainly(Target):
        name = "plainly"

        def score(self, output: Any) -> torch.Tensor:
            longer, shorter = plain.vectors(more), plain.vectors(less)
            cosines = [(output.embeds * vectors).sum(dim=1) for vectors in (longer, shorter)]
            return 2.5 * cosines[0].clamp(min=0) - 2.5 * cosines[1].clamp(min=0)

    expected = explain_targets(plain.subject.image_half.loaded, images, [Plainly()], start_layer=0)[0]
    peak = expected.relevancy["image"].abs().max()
    assert peak > 0 and (found.relevancy["image"] - expected.relevancy["image"]).abs().max() <= 1e-4 * peak
    assert found.patches is not None and found.patches.states.shape[:2] == (8, 5)


# --- proof of mismatched pairs ----------------------------------------------------------------------------------------


def test_replacement_equals_a_plain_loop(plain: Plain) -> None:
    gathered = plain.gathered
    rows = np.array([0, 5, 40, 41, 80, 119])
    effect = replacement(gathered, rows, np.random.default_rng(0))
    rng = np.random.default_rng(0)
    others = rng.choice(PAIRS, PAIRS, replace=False)
    own = [float(gathered.images[k] @ gathered.texts_at[k]) for k in range(PAIRS)]
    dealt = rng.permutation(PAIRS)
    usual = np.median([float(gathered.images[k] @ gathered.texts_at[dealt[k]]) for k in range(PAIRS)])
    unit, middle = np.median(own) - usual, (np.median(own) + usual) / 2
    rises, controls, flips, control_flips = [], [], [], []
    for row in rows:
        cosines = [
            float(gathered.images[row] @ gathered.texts_at[k])
            for k in others
            if gathered.texts[k] != gathered.texts[row]
        ]
        best, control = max(cosines), float(rng.choice(cosines))
        rises.append((best - own[row]) / unit)
        controls.append((control - own[row]) / unit)
        flips.append(own[row] < middle <= best)
        control_flips.append(own[row] < middle <= control)
    assert effect.n == 6 and effect.mean == pytest.approx(np.mean(rises), abs=1e-5)
    assert effect.control_mean == pytest.approx(np.mean(controls), abs=1e-5)
    assert (effect.flips, effect.control_flips) == (np.mean(flips), np.mean(control_flips))
    assert np.std(rises) > 0.05


def test_there_is_nothing_to_replace_a_text_with_where_all_are_equal(plain: Plain) -> None:
    alike = replace(plain.gathered, group=np.zeros(PAIRS, np.int64))
    assert replacement(alike, np.arange(8), np.random.default_rng(0)) is None


def test_pairs_that_belong_together_are_no_proven_mismatch(plain: Plain, pairs: Audited) -> None:
    (swapped,) = of_kind(pairs.found, "pair_mismatch")
    best = np.argsort(-plain.gathered.scores)[:20]
    assert not set(best) & set(swapped["sample_ids"])
    one = Candidate("pair_mismatch", -1, best, np.ones(20), np.zeros(0, np.int64), 0.5, PairCue())
    proof = prove_pairs(one, plain.gathered, plain.subject, photos=20, seed=0)
    assert proof.effects["replacement"].verdict != "verified"
    worst = replace(one, members=np.array(swapped["sample_ids"]), strength=np.ones(swapped["n"]))
    proof = prove_pairs(worst, plain.gathered, plain.subject, photos=20, seed=0)
    assert proof.effects["replacement"].verdict == "verified"
