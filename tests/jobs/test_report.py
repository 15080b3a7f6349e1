"""The command `report`: one document, one file, one line for what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jobs.cli import main
from jobs.errors import JobError
from jobs.report import make_report, report_text
from tests.dashboard import make_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("report")
    make_store.write_pairs(base / "store", base / "pairs")
    make_store.write_classes(base / "store", base / "classes", n=120, failed=4)
    make_store.write_suspects(base / "store")
    return base / "store"


def test_it_makes_the_file_in_the_working_directory(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["report", "shapes-vit", "--store", str(store), "--suspect", "concept-tag", "--json"]) == 0
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert told["path"] == str(tmp_path / "shapes-vit-report.html")
    assert told["bytes"] == (tmp_path / "shapes-vit-report.html").stat().st_size < 5_000_000
    assert told["suspects"] == 1 and told["samples"] > 3
    assert said.err == ""  # Streamlit warns of nothing
    assert [path.name for path in tmp_path.iterdir()] == ["shapes-vit-report.html"]
    assert f"{told['path']}: " in report_text(told)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["shapes-vti"], "did you mean"),
        (["shapes-vit", "--suspect", "concept-tga"], "did you mean concept-tag?"),
        (["shapes-vit", "--max-mb", "0.001", "--top", "1"], "the smallest version of this report has"),
        (["shapes-vit", "--out", "/nowhere/report.html"], "there is no folder /nowhere"),
    ],
)
def test_what_is_wrong_is_one_line(arguments: list[str], said: str, store: Path, tmp_path: Path, capsys: Any) -> None:
    place = [] if "--out" in arguments else ["--out", str(tmp_path / "r.html")]
    assert main(["report", *arguments, *place, "--store", str(store)]) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.startswith("error: ") and shown.err.count("\n") == 1
    assert said in shown.err
    assert not list(tmp_path.iterdir())


def test_a_process_that_breaks_is_told(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="--top"):
        make_report(["--top=many", f"--store={tmp_path}"])
