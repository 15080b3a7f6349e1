"""Text classifiers: a manifest of texts, no picture anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.properties import PROPERTIES
from jobs.errors import JobError
from jobs.run import run_audit
from jobs.spec import RunSpec
from storage import Store
from tests.jobs.conftest import noise
from tests.model_folders import bert_folder


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"hf:{bert_folder(tmp_path_factory.mktemp('models') / 'bert')}"


@pytest.mark.parametrize("workers", [0, 1])
def test_texts_are_classified_and_explained(bert: str, tmp_path: Path, workers: int) -> None:
    rows = [
        '"good film , good",good',
        '"a very bad film",bad',
        ",good",
        '"this is " ,bad',
        f'"{"very " * 20}good",good',
    ]
    (tmp_path / "rows.csv").write_text("text,label\n" + "\n".join(rows) + "\n")
    spec = RunSpec(str(tmp_path / "rows.csv"), bert, store=str(tmp_path / "store"), workers=workers, device="cpu")
    result = run_audit(spec)
    assert (result.explained, result.failures) == (4, [{"reason": "no text", "n": 1}])
    assert result.remarks == {"the text is longer than the model's 12 tokens: its end was cut": 1}
    assert result.labelled == 4 and result.accuracy is not None
    with Store.open(spec.store).reader(result.run) as reader:
        found = reader.query("SELECT * FROM samples JOIN explanations USING (sample_id) ORDER BY sample_id")
        assert [row["uri"] for row in found] == ["row 1", "row 2", "row 4", "row 5"]
        assert {(row["target"], row["modality"]) for row in found} == {("predicted", "text")}
        assert {(row["width"], row["view_x0"], row["grid_h"], row["zero_rows"]) for row in found} == {(None,) * 4}
        names = (*PROPERTIES, "file_format", "file_bytes", "camera", "software")
        assert {row[name] for row in found for name in names} == {None}
        assert [token for token in found[1]["tokens"] if token] == ["a", "very", "bad", "film"]
        for row in found:
            values = reader.maps([(row["sample_id"], "predicted")], "text")[row["sample_id"], "predicted"]
            assert len(values) == len(row["tokens"]) and values.any()
        assert reader.query("SELECT * FROM rollup_class") == []


def test_what_texts_and_pictures_are_for(bert: str, vit: str, tmp_path: Path) -> None:
    (tmp_path / "texts.csv").write_text("text\ngood\nbad\n")
    noise(tmp_path / "photos" / "a.png", 0)
    with pytest.raises(JobError, match="reads pictures: give a folder, or a manifest with a column 'image'"):
        run_audit(RunSpec(str(tmp_path / "texts.csv"), vit, store=str(tmp_path / "store"), workers=0))
    with pytest.raises(JobError, match="reads texts: give a manifest with a column 'text'"):
        run_audit(RunSpec(str(tmp_path / "photos"), bert, store=str(tmp_path / "store"), workers=0))
