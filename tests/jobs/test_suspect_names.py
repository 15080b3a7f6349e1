"""Names of suspects: words of their samples' texts, and words that an image-text model finds in their crops."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from jobs.demo.command import WEIGHTS
from jobs.suspects.concept_words import VOCABULARY, crop, read_vocabulary
from storage import Store
from tests.jobs.conftest import Audited, assert_refused, write_manifest

CLIP = f"open_clip:local-dir:{WEIGHTS / 'clip'}"


@pytest.fixture
def words(tmp_path: Path) -> Path:
    file = tmp_path / "words.txt"
    file.write_text("# of the demo\nred\nblue\n\n  a label on it \nred\nsun\n")
    return file


def boxed(rows: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Words of the suspects that have boxes; the others have none."""
    assert not any("concept_words" in row["evidence"] for row in rows if not row["cue"]["boxes"])
    return {row["id"]: row["evidence"]["concept_words"] for row in rows if row["cue"]["boxes"]}


def test_a_clip_names_what_was_tested(jobs, audited: Audited, copied: Path, words: Path) -> None:
    command = ("suspects", "demo", "--store", copied)
    naming = ("--name-with", CLIP, "--vocabulary", words)
    first = json.loads(jobs(*command, *naming, "--json").out)["suspects"]
    named = boxed(first)
    assert named and all(len(found) == 3 for found in named.values())
    assert {word for found in named.values() for word, _ in found} <= {"red", "blue", "a label on it", "sun"}
    for found in named.values():
        assert [contrast for _, contrast in found] == sorted((contrast for _, contrast in found), reverse=True)
    assert len({json.dumps(found) for found in named.values()}) > 1  # each is named from crops of its own

    with Store.open(copied).reader("demo") as reader:
        stored = reader.suspects()
    assert boxed(stored.rows) == named and stored.about["settings"]["name_with"] == CLIP
    assert boxed(json.loads(jobs(*command, "--json").out)["suspects"]) == named  # they stay with the suspect
    assert boxed(json.loads(jobs(*command, *naming, "--json").out)["suspects"]) == named
    said = jobs(*command).out
    assert all(f"looks like: {', '.join(word for word, _ in found)}" in said for found in named.values())

    def rest(rows: list[dict[str, Any]]) -> list[Any]:
        return [(row["id"], row["rank"], row["status"], row["flagged"], row["cue"]) for row in rows]

    assert rest(first) == rest(audited.found["suspects"])  # names change nothing else


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "cannot be read: No such file"), ("# only\n\n", "has no words"), (b"\xff\xfe\x00", "UTF-8")],
)
def test_a_vocabulary_without_words(jobs, audited: Audited, tmp_path: Path, content: Any, said: str) -> None:
    file = tmp_path / "words.txt"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    naming = ("--name-with", CLIP, "--vocabulary", file)
    assert_refused(jobs("suspects", "demo", "--store", audited.store, *naming), str(file), said)


def test_only_an_image_text_model_can_name(jobs, audited: Audited, words: Path) -> None:
    command = ("suspects", "demo", "--store", audited.store)
    assert_refused(jobs(*command, "--name-with", audited.model), "no image-text model", "'classify'", "CLIP or SigLIP")
    assert_refused(jobs(*command, "--name-with", "open_clip:nothing"), "unknown open_clip model 'nothing'")
    assert_refused(jobs(*command, "--vocabulary", words), "give --name-with too")


def test_data_that_are_gone_cannot_be_named(jobs, copied: Path, tmp_path: Path, words: Path) -> None:
    options = ("--no-verify", "--name-with", CLIP, "--vocabulary", words, "--data", tmp_path / "gone")
    assert_refused(jobs("suspects", "demo", "--store", copied, *options), "gone", "or leave out --name-with")


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ([0.4, 0.4, 0.6, 0.6], (72, 34, 128, 66)),  # 40 x 20 pixels, padded by 8 and 4 to 56 x 28; then 32 high
        ([0.0, 0.0, 0.5, 1.0], (0, 0, 120, 100)),
        ([0.99, 0.0, 1.0, 0.02], (168, 0, 200, 32)),
    ],
)
def test_crops(box: list[float], expected: tuple[int, int, int, int]) -> None:
    across, down = (
        Image.linear_gradient("L").rotate(90).resize((200, 100)),
        Image.linear_gradient("L").resize((200, 100)),
    )
    picture = Image.merge("RGB", (across, down, down))
    assert crop(picture, box).tobytes() == picture.crop(expected).tobytes()


def test_a_small_picture_is_its_own_crop() -> None:
    small = Image.new("RGB", (20, 10))
    assert crop(small, [0.4, 0.4, 0.5, 0.5]).size == (20, 10)


def test_the_words_that_come_with_it() -> None:
    known = read_vocabulary(VOCABULARY)
    assert 140 <= len(known) <= 200 and {"text", "watermark", "grass", "hand"} <= set(known)
    lines = [line for line in VOCABULARY.read_text().splitlines() if line and not line.startswith("#")]
    assert known == lines  # no word twice


# -- texts --------------------------------------------------------------------------------------------


def test_captions_of_a_classifier(jobs, audited: Audited, tmp_path: Path) -> None:
    """Pictures of one class with a tag have captions that speak of a label; the model reads none of them."""
    with audited.data.open(newline="") as file:
        rows = list(csv.DictReader(file))
    folder = shutil.copytree(audited.data.parent, tmp_path / "data")
    for k, row in enumerate(rows):
        row["text"] = f"a picture of some thing {k % 7}" + (" with a Label" if row["scanner"] == "old" else "")
    data = write_manifest(folder / "captioned.csv", rows)
    command = ("--data", data, "--model", audited.model, "--name", "captioned", "--store", tmp_path / "s")
    assert jobs("run", *command, "--workers", 0, "--device", "cpu").code == 0
    options = ("--store", tmp_path / "s", "--no-verify", "--kind", "property", "--top", 30)
    found = json.loads(jobs("suspects", "captioned", *options, "--json").out)["suspects"]
    (scanner,) = (row for row in found if row["name"] == "scanner = old")
    words = {word: (share, other) for word, share, other in scanner["evidence"]["words"]}
    assert words["label"] == (1.0, 0.0) and not {"a", "picture", "thing"} & set(words)
    assert all(len(row["evidence"]["words"]) <= 5 for row in found)
    assert "captions say: label (100% against 0%)" in jobs("suspects", "captioned", *options).out


def test_without_texts_there_are_no_words(audited: Audited) -> None:
    assert not any("words" in row["evidence"] for row in audited.found["suspects"])
