"""VQA v2: questions and ten people's answers, from the json files of visualqa.org or as LXMERT made them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jobs.errors import JobError
from jobs.readers.annotations.files import (
    existing,
    is_number,
    list_of,
    name_of,
    read_json,
    require_some,
    text_of,
    value_of,
)
from jobs.readers.annotations.masks import MaskFolder
from jobs.readers.annotations.table import Rows
from jobs.readers.annotations.vqa_score import soft_scores

SCORES = "answers"  # the column with the soft accuracy of every answer, as JSON


def read_vqa(paths: Sequence[str], masks: MaskFolder) -> Rows:
    """`QUESTIONS.json ANNOTATIONS.json IMAGES [FEATURES]`: one row per question.

    `text` is the question, `label` the answer most people gave, `answers` the soft accuracy of each answer. FEATURES is
    a folder of .npz files or an HDF5 file of groups, named as the pictures are (see `jobs.regions`).
    """
    questions_file, answers_file = (existing(path, "annotation file") for path in paths[:2])
    folder, features = existing(paths[2], "picture folder", folder=True), _features(paths[3:])
    questions, content = read_json(questions_file), read_json(answers_file)
    subtype = _subtype(content, questions, answers_file.name)
    answered = {
        name_of(entry, "question_id", f"{answers_file.name}: an annotation"): entry
        for entry in list_of(content, "annotations", answers_file.name)
    }
    found = Rows()
    for entry in list_of(questions, "questions", questions_file.name):
        number = name_of(entry, "question_id", f"{questions_file.name}: a question")
        answers = answered.get(number)
        if answers is None:
            found.skipped["question without answers"] += 1
            continue
        image = value_of(entry, "image_id", f"{questions_file.name}: a question")
        if not isinstance(image, int):
            raise JobError(f"{questions_file.name}: image_id {image!r} is no number")
        said = [
            str(value_of(a, "answer", f"{answers_file.name}: an answer")) for a in _answers(answers, answers_file.name)
        ]
        scores = soft_scores(said)
        found.rows.append(
            {
                "image": folder / f"COCO_{subtype}_{image:012d}.jpg",
                "features": features(f"COCO_{subtype}_{image:012d}"),
                "label": answers.get("multiple_choice_answer") or next(iter(scores)),
                "text": str(value_of(entry, "question", f"{questions_file.name}: a question")).strip(),
                SCORES: scores,
                "question_id": number,
                "image_id": image,
                "question_type": answers.get("question_type"),
                "answer_type": answers.get("answer_type"),
            }
        )
    if not found.rows:
        raise JobError(
            f"no question of {questions_file.name} is answered in {answers_file.name}: are they of one split?"
        )
    require_some((row["image"].name for row in found.rows), folder, questions_file.name)
    return found


def read_lxmert(paths: Sequence[str], masks: MaskFolder) -> Rows:
    """`MINIVAL.json IMAGES [FEATURES]` (`valid.json` of the authors): questions with scores of their answers."""
    file, folder = existing(paths[0], "annotation file"), existing(paths[1], "picture folder", folder=True)
    features, content = _features(paths[2:]), read_json(file)
    if not isinstance(content, list) or not content:
        raise JobError(f"{file.name} is no list of questions; files of visualqa.org are of the kind 'vqa'")
    found = Rows()
    for entry in content:
        image = text_of(entry, "img_id", f"{file.name}: a question")
        scores = entry.get("label") or {}
        if not isinstance(scores, dict) or not all(map(is_number, scores.values())):
            raise JobError(f"{file.name}: 'label' of a question is not {{answer: score}}")
        found.rows.append(
            {
                "image": folder / f"{image}.jpg",
                "features": features(image),
                "label": max(scores, key=lambda answer: scores[answer]) if scores else None,
                "text": str(value_of(entry, "sent", f"{file.name}: a question")).strip(),
                SCORES: scores or None,
                "question_id": entry.get("question_id"),
                "question_type": entry.get("question_type"),
                "answer_type": entry.get("answer_type"),
            }
        )
    require_some((row["image"].name for row in found.rows), folder, file.name)
    return found


def _features(given: Sequence[str]) -> Callable[[str], str | None]:
    """From a picture's name to its features: `folder/NAME.npz`, `file.h5#NAME`, or nothing."""
    if not given:
        return lambda name: None
    if Path(given[0]).is_dir():
        folder = os.path.abspath(given[0])
        return lambda name: os.path.join(folder, f"{name}.npz")
    file = os.path.abspath(existing(given[0], "file of features"))
    if not file.lower().endswith((".h5", ".hdf5")):
        raise JobError(f"features in {given[0]} cannot be read: give a folder of .npz files, or an HDF5 file")
    return lambda name: f"{file}#{name}"


def _answers(entry: dict[str, Any], name: str) -> list[Any]:
    return list_of(entry, "answers", f"{name}: question {entry['question_id']}")


def _subtype(content: Any, questions: Any, name: str) -> str:
    """`val2014`, which is part of the pictures' names."""
    found = content.get("data_subtype") if isinstance(content, dict) else None
    found = found or (questions.get("data_subtype") if isinstance(questions, dict) else None)
    if not found:
        raise JobError(f"{name} has no 'data_subtype' (as val2014), which is part of the pictures' names")
    return str(found)
