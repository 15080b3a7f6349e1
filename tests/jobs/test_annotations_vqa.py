"""VQA v2: questions with soft accuracy, beside the plain writing over all choices of people."""

from __future__ import annotations

import json
import random

import h5py
import numpy as np
import oracles_faithfulness as plain
import pyarrow.parquet as pq
import pytest
from PIL import Image

from jobs.errors import JobError
from jobs.readers import read_dataset
from jobs.readers.annotations.command import write_manifest
from jobs.readers.annotations.vqa_score import normalised, soft_accuracy, soft_scores
from jobs.regions import read_regions


@pytest.mark.parametrize("seed", range(20))
def test_soft_accuracy_equals_the_mean_over_all_choices(seed):
    rng = random.Random(seed)
    answers = [rng.choice(["cat", "dog", "red", "left", "2"]) for _ in range(rng.choice([1, 3, 10]))]
    for answer in ("cat", "dog", "blue"):
        assert soft_accuracy(answer, answers) == pytest.approx(plain.vqa_accuracy_by_subsets(answer, answers))
        if answer in answers:
            assert soft_scores(answers)[answer] == soft_accuracy(answer, answers)


def test_ten_people_give_the_known_steps():
    """LXMERT's labels use the same steps: 0.3, 0.6, 0.9, 1."""
    steps = [soft_accuracy("yes", ["yes"] * k + ["no"] * (10 - k)) for k in range(11)]
    assert steps == pytest.approx([0, 0.3, 0.6, 0.9, *[1] * 7])


@pytest.mark.parametrize(("given", "expected"), [
    ("The Dog", "dog"),
    ("two", "2"),
    ("none", "0"),
    ("dont know", "don't know"),
    ("don't know", "don't know"),
    ("red/white", "red white"),
    ("red / white", "red white"),
    ("10,000", "10000"),
    ("yes, it is", "yes it is"),
    ("u.s.", "us"),
    ("2.5", "2.5"),
    (" a\tcat\n", "cat"),
    ("t-shirt", "t shirt"),
    ("well-known, red-hot", "well known red hot"),
    ("sunny - day-time", "sunny daytime"),
    ("hes", "hes"),
])  # fmt: skip
def test_normalisation_by_hand(given, expected):
    assert normalised(given) == expected


def test_both_sides_are_normalised():
    assert soft_accuracy("2", ["two", "Two", "2.", "a 2", "three", "3"]) == 1
    assert soft_accuracy("the cat!", ["cat"] * 10) == 1


@pytest.fixture
def vqa(tmp_path):
    folder = tmp_path / "val2014"
    folder.mkdir()
    for number in (42, 43):
        Image.new("RGB", (8, 8)).save(folder / f"COCO_val2014_{number:012d}.jpg")
    questions = [
        {"question_id": 420, "image_id": 42, "question": "How many dogs? "},
        {"question_id": 421, "image_id": 42, "question": "Is it red?"},
        {"question_id": 430, "image_id": 43, "question": "Unanswered?"},
    ]
    said = {420: ["2"] * 6 + ["two", "3", "3", "many"], 421: ["yes"] * 10}
    annotations = [
        {"question_id": number, "image_id": 42, "question_type": "how many", "answer_type": "number",
         "multiple_choice_answer": answers[0],
         "answers": [{"answer": answer, "answer_id": i} for i, answer in enumerate(answers)]}
        for number, answers in said.items()
    ]  # fmt: skip
    one, other = tmp_path / "questions.json", tmp_path / "annotations.json"
    one.write_text(json.dumps({"questions": questions, "data_subtype": "val2014"}))
    other.write_text(json.dumps({"annotations": annotations, "data_subtype": "val2014"}))
    return one, other, folder


def test_questions_become_rows(vqa, tmp_path):
    told = write_manifest("vqa", vqa, tmp_path / "vqa.parquet")
    first, second = pq.read_table(tmp_path / "vqa.parquet").to_pylist()
    assert told["skipped"] == {"question without answers": 1}
    assert first["image"] == "val2014/COCO_val2014_000000000042.jpg"
    assert (first["text"], first["label"], second["label"]) == ("How many dogs?", "2", "yes")
    scores = json.loads(first["answers"])
    assert scores == pytest.approx({"2": 1.0, "3": 0.6, "many": 0.3})
    assert first["answer_type"] == "number" and first["question_id"] == 420
    dataset = read_dataset(str(tmp_path / "vqa.parquet"))
    assert dataset.problems == {} and dataset.text.to_pylist()[1] == "Is it red?"


def test_questions_as_lxmert_made_them(vqa, tmp_path):
    rows = [
        {"img_id": "COCO_val2014_000000000042", "sent": "How many?", "question_id": 1, "label": {"3": 0.3, "2": 1}},
        {"img_id": "COCO_val2014_000000000043", "sent": "What?", "question_id": 2, "label": {}},
    ]
    (tmp_path / "valid.json").write_text(json.dumps(rows))
    write_manifest("lxmert", [tmp_path / "valid.json", vqa[2]], tmp_path / "l.parquet")
    first, second = pq.read_table(tmp_path / "l.parquet").to_pylist()
    assert (first["label"], json.loads(first["answers"])) == ("2", {"3": 0.3, "2": 1})
    assert second["label"] is None and second["answers"] is None


def test_features_are_named_as_the_pictures(vqa, tmp_path):
    (tmp_path / "features").mkdir()
    regions = {"features": np.ones((2, 4), np.float32), "boxes": np.array([[0, 0, 1, 1], [0, 0, 0.5, 1]], np.float32)}
    np.savez(tmp_path / "features" / "COCO_val2014_000000000042.npz", **regions)
    with h5py.File(tmp_path / "all.h5", "w") as file:
        for name, values in regions.items():
            file[f"COCO_val2014_000000000042/{name}"] = values
    for features in ("features", "all.h5"):
        write_manifest("vqa", [*vqa, tmp_path / features], tmp_path / "vqa.csv")
        dataset = read_dataset(str(tmp_path / "vqa.csv"))
        found = read_regions(dataset.folder, dataset.features[0].as_py(), 4, None)
        assert found.features.shape == (2, 4)
    with pytest.raises(JobError, match=r"give a folder of .npz files, or an HDF5 file"):
        write_manifest("vqa", [*vqa, vqa[0]], tmp_path / "vqa.csv")


def test_what_does_not_fit_together_is_one_clear_line(vqa, tmp_path):
    questions, annotations, folder = vqa
    out = tmp_path / "out.csv"
    with pytest.raises(JobError, match=r"has no 'questions'"):
        write_manifest("vqa", [annotations, annotations, folder], out)
    with pytest.raises(JobError, match="is no list of questions"):
        write_manifest("lxmert", [questions, folder], out)
    (tmp_path / "valid.json").write_text(json.dumps([{"img_id": "x", "sent": "?", "label": ["yes"]}]))
    with pytest.raises(JobError, match="'label' of a question is not"):
        write_manifest("lxmert", [tmp_path / "valid.json", folder], out)
    (tmp_path / "text.json").write_text(questions.read_text().replace("42,", '"42",'))
    with pytest.raises(JobError, match="image_id '42' is no number"):
        write_manifest("vqa", [tmp_path / "text.json", annotations, folder], out)
    content = json.loads(annotations.read_text())
    content["annotations"] = [{**entry, "question_id": 7} for entry in content["annotations"]]
    annotations.write_text(json.dumps(content))
    with pytest.raises(JobError, match="are they of one split"):
        write_manifest("vqa", [questions, annotations, folder], out)
    annotations.write_text(json.dumps({"annotations": content["annotations"]}))
    questions.write_text(json.dumps({"questions": [{"question_id": 7, "image_id": 42, "question": "?"}]}))
    with pytest.raises(JobError, match="has no 'data_subtype'"):
        write_manifest("vqa", [questions, annotations, folder], out)
    assert not out.exists()
