from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from jobs.demo.command import DemoResult, run_demo
from jobs.demo.cues import CUE_CLASSES
from jobs.demo.objects import CLASSES
from jobs.errors import JobError

LIMIT = 36


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def printed() -> io.StringIO:
    return io.StringIO()


@pytest.fixture(scope="module")
def result(place: Path, printed: io.StringIO) -> DemoResult:
    console = Console(file=printed, width=140)
    return run_demo(place / "store", place / "data", limit=LIMIT, console=console)


def test_both_models_explain_every_picture(result: DemoResult) -> None:
    assert [run["explained"] for run in result.runs] == [3 * LIMIT, LIMIT]
    assert all(run["failed"] == 0 for run in result.runs)
    document = result.to_json()
    assert document["run"] == result.runs[0]["run"] and document["explained"] == 3 * LIMIT


def test_every_class_has_a_row_and_its_shares_add_up(result: DemoResult) -> None:
    assert [row["class_name"] for row in result.classes] == list(CLASSES)
    for row in [*result.classes, *(row for row in result.cues if row["fooled"]), *result.pairs]:
        assert row["on_object"] + row["on_cue"] + row["elsewhere"] == pytest.approx(1, abs=2e-4)


def test_fooled_pictures_have_their_relevancy_on_the_cue(result: DemoResult) -> None:
    for row in result.cues:
        assert row["fooled"] >= 0.4 * row["n"]
        assert row["on_cue"] > row["cue_area"], row["cue"]


def test_clean_classes_have_their_relevancy_on_the_object(result: DemoResult) -> None:
    for row in result.classes:
        if row["class_name"] not in CUE_CLASSES.values():
            assert row["on_cue"] == 0 and row["on_object"] > 2 * row["object_area"]


def test_the_shares_are_those_of_the_stored_maps(result: DemoResult, place: Path) -> None:
    from PIL import Image

    from jobs.demo.shares import read_findings
    from storage import Store

    with Store.open(place / "store").reader(result.runs[0]["run"]) as reader:
        finding = read_findings(reader, place / "data" / "scenes" / "demo-scenes.csv", "predicted")[0]
        maps = reader.maps([(0, "predicted")], "image")[0, "predicted"]
    mask = np.asarray(Image.open(place / "data" / "scenes" / finding.row["mask"]), float) / 255
    fine = np.repeat(mask, 3, 0).repeat(3, 1)  # 768 = 12 * 64: whole pixels per cell
    cells = fine.reshape(12, 64, 12, 64).mean((1, 3))
    assert finding.on_object == pytest.approx(float((cells * maps.reshape(12, 12)).sum() / maps.sum()), abs=1e-5)


def test_the_tables_are_printed(result: DemoResult, printed: io.StringIO) -> None:
    text = printed.getvalue()
    assert all(name in text for name in (*CLASSES, *CUE_CLASSES, "aligned", "conflicting", "clean", "CLIPScore"))


def test_suspects_are_printed_and_no_clean_class_is_flagged(result: DemoResult, printed: io.StringIO) -> None:
    suspects = result.to_json()["suspects"]
    first = [row for row in suspects if row["flagged"]]
    assert {row["class_name"] for row in first} <= set(CUE_CLASSES.values()), "a clean class was called spurious"
    assert all(row["status"] == "verified" for row in first) and first
    assert [row["rank"] for row in suspects] == list(range(1, len(suspects) + 1))
    assert "PROBABLY SPURIOUS" in printed.getvalue() and "by chance alone" in printed.getvalue()


def test_a_second_call_explains_nothing_anew(result: DemoResult, place: Path) -> None:
    again = run_demo(place / "store", place / "data", limit=LIMIT, console=Console(file=io.StringIO()))
    assert [run["explained"] for run in again.runs] == [0, 0]
    assert again.classes == result.classes and again.pairs == result.pairs


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JobError, match=r"cannot write the demo pictures to .*file/scenes"):
        run_demo(tmp_path / "store", tmp_path / "file", limit=1, console=Console(file=io.StringIO()))
    with pytest.raises(JobError, match="--limit 0"):
        run_demo(tmp_path / "store", tmp_path / "data", limit=0, console=Console(file=io.StringIO()))
