"""Labels and targets by name, number and convention."""

from __future__ import annotations

import pyarrow as pa
import pytest

from jobs.errors import JobError
from jobs.labels import Labels, resolve_labels
from jobs.targets import parse_target

NAMES = ["tench, Tinca tinca", "great white shark, white shark", "tabby, tabby cat", "tiger cat"]


def resolve(labels: list[str | None], names: list[str] | None = NAMES, classes: int = 4) -> Labels:
    return resolve_labels(pa.array(labels, pa.string()), len(labels), names, classes)


def test_names_in_many_spellings() -> None:
    found = resolve(["tench, Tinca tinca", "Tabby_Cat", "tiger-cat", "WHITE SHARK", None])
    assert found.index.tolist() == [0, 2, 3, 1, -1]
    assert (found.unknown, found.problems, found.warnings) == (0, {}, ())


def test_numbers_and_their_range() -> None:
    found = resolve(["0", "3", "4", "-1", None], None)
    assert found.index.tolist() == [0, 3, -1, -1, -1]
    assert found.problems == {
        2: "label 4 is out of range: the model has 4 classes (0 to 3)",
        3: "label -1 is out of range: the model has 4 classes (0 to 3)",
    }


def test_a_name_that_is_a_number_wins() -> None:
    assert resolve(["0", "1"], ["1", "0"], 2).index.tolist() == [1, 0]


def test_unknown_names_are_kept_and_named() -> None:
    found = resolve(["tiger cats", "tench", "tiger cats"])
    assert found.index.tolist() == [-1, 0, -1] and found.unknown == 2 and not found.problems
    assert found.warnings == ("2 samples have labels that the model does not know: tiger cats (nearest: tiger cat)",)


def test_sorted_folders_stand_in_for_missing_names() -> None:
    found = resolve(["b", "a", "b"], None, 2)
    assert found.index.tolist() == [1, 0, 1] and found.names == ["a", "b"] and "sorted order" in found.notes[0]
    assert resolve(["b", "a"], None, 3).index.tolist() == [-1, -1]


def test_what_two_classes_share_belongs_to_neither() -> None:
    assert resolve(["crane"], ["crane, bird", "crane, machine"], 2).index.tolist() == [-1]


def names(
    text: str | None, task: str = "classify", known: list[str] | None = NAMES
) -> list[tuple[str, tuple[int, ...]]]:
    found = parse_target(text, model="timm:x", task=task, names=known, classes=None if task == "pair" else 4)
    return [(target.name, target.classes) for target in found]


def test_targets() -> None:
    assert names(None) == [("predicted", ())] and names(None, "pair") == [("clip-logit", ())]
    assert names(None, "answer") == names("predicted", "answer") == [("answer", ())]
    assert names("both", "answer") == [("answer", ()), ("label", ())]
    assert names("class:2", "answer") == [("class:tabby, tabby cat", (2,))]
    assert names(None, "detect") == names("detections", "detect") == [("detections", ())]
    assert names("both") == [("predicted", ()), ("label", ())]
    assert names("class:tiger_cat") == [("class:tiger cat", (3,))]
    assert names("class:3", known=None) == [("class:3", (3,))]
    assert names("contrast:tiger cat,0") == [("contrast:tiger cat,tench, Tinca tinca", (3, 0))]
    assert names("contrast:tabby, tabby cat,tiger cat") == [("contrast:tabby, tabby cat,tiger cat", (2, 3))]


@pytest.mark.parametrize(
    ("text", "task", "message"),
    [
        ("answer", "classify", "target 'answer' is not supported by timm:x; it can explain predicted"),
        ("detections", "pair", "not supported by timm:x; it can explain clip-logit"),
        ("label", "detect", "target 'label' is not supported by timm:x; it can explain detections"),
        ("detections", "answer", "it can explain answer, label"),
        ("label", "pair", "not supported by timm:x"),
        ("clip-score", "classify", "not supported by timm:x"),
        ("predict", "classify", "unknown target 'predict'; did you mean predicted?"),
        ("class:", "classify", "not supported"),
        ("class:tiger ca", "classify", "the model has no such class; did you mean tiger cat"),
        ("class:9", "classify", "out of range: the model has 4 classes (0 to 3)"),
        ("contrast:tench,nothing", "classify", "target class 'nothing'"),
    ],
)
def test_wrong_targets(text: str, task: str, message: str) -> None:
    with pytest.raises(JobError) as caught:
        names(text, task)
    assert message in str(caught.value)
