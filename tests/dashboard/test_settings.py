"""Where the store is, and the commands that start the dashboard and resume a run."""

from __future__ import annotations

import shlex
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
from typer.main import get_command

from dashboard import resume
from dashboard.__main__ import ROOT, command
from dashboard.settings import store_path
from jobs.cli import app
from jobs.spec import RunSpec, identity
from storage import RunRecord


def test_the_option_comes_before_the_environment_before_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RELEVANCY_AUDIT_STORE", raising=False)
    assert store_path([]) == Path.cwd() / "audits"
    monkeypatch.setenv("RELEVANCY_AUDIT_STORE", "/from/env")
    assert store_path(["--unknown", "x"]) == Path("/from/env")
    assert store_path(["--store", "/from/option"]) == Path("/from/option")


def test_the_launcher_binds_to_this_machine_and_phones_nobody() -> None:
    words = command(Path("/s"), "127.0.0.1", 8501)
    assert "--server.address=127.0.0.1" in words and "--browser.gatherUsageStats=false" in words
    assert words[-3:] == ["--", "--store", "/s"]


def record(spec: dict[str, object], root: str | None = None) -> RunRecord:
    return RunRecord(
        "my-run", 1, "interrupted", "2026-01-01T00:00:00+00:00", spec=spec, dataset={"root": root} if root else {}
    )


def test_the_resume_command_of_a_zero_shot_classifier_names_its_texts() -> None:
    spec = {"data": "/d", "model": "m", "classes": [{"name": "cat", "prompts": []}], "templates": ["a {}"]}
    words = shlex.split(resume.command(record({**spec, "classes_from": "/my classes.txt"}), Path("/s")))
    assert words[words.index("--classes") + 1] == "/my classes.txt" and "--templates" not in words
    both = {**spec, "classes_from": "labels", "templates_from": "openai"}
    words = shlex.split(resume.command(record(both), Path("/s")))
    assert (words[words.index("--classes") + 1], words[words.index("--templates") + 1]) == ("labels", "openai")


def test_the_resume_command_makes_the_same_run() -> None:
    """Whatever changes results is in the command: read by the command line, it leads to the same settings."""
    given = RunSpec(
        "/d", "timm:m", method="rollout", start_layer=3, on_zero_row="identity", threshold=0.5,
        max_detections=7, patches=0, words=2, evidence=True, limit=9, precision="bf16", target="clip-score",
    )  # fmt: skip

    def settings(spec: RunSpec) -> dict[str, object]:
        return identity(spec, fingerprint="f", target=spec.target or "", start_layer=spec.start_layer or 0)

    shown = shlex.split(resume.command(record({"data": "/d", **settings(given)}), Path("/s")))
    assert shown[shown.index("--words") + 1] == "2" and shown[shown.index("--patches") + 1] == "0"
    parsed = get_command(app).commands["run"].make_context("run", shown[4:]).params
    again = RunSpec(**{field.name: parsed[field.name] for field in fields(RunSpec)})
    assert settings(again) == settings(given)
    plain = RunSpec("/d", "timm:m", target="clip-score", start_layer=0)
    shown = shlex.split(resume.command(record({"data": "/d", **settings(plain)}), Path("/s")))
    assert not {"--words", "--evidence", "--patches", "--threshold"} & set(shown)


def test_the_resume_command_repeats_what_was_given() -> None:
    spec = {
        "data": "/photos of cats",
        "model": "timm:vit",
        "checkpoint": None,
        "method": "gae",
        "target": "both",
        "start_layer": 0,
        "weights": "abcd",
        "precision": "fp32",
        "limit": None,
        "workers": 3,
    }
    assert shlex.split(resume.command(record(spec), Path("/store"))) == [
        "python",
        "-m",
        "jobs",
        "run",
        "--data",
        "/photos of cats",
        "--model",
        "timm:vit",
        "--method",
        "gae",
        "--target",
        "both",
        "--start-layer",
        "0",
        "--precision",
        "fp32",
        "--store",
        "/store",
        "--name",
        "my-run",
    ]


@pytest.mark.parametrize(
    ("typed", "root", "shown"),
    [
        ("photos", "/home/me/photos", "/home/me/photos"),
        ("tables/manifest.csv", "/home/me/tables", "/home/me/tables/manifest.csv"),
        ("elsewhere/other", "/home/me/photos", "elsewhere/other"),
        ("", "/home/me/photos", "/home/me/photos"),
    ],
)
def test_a_relative_dataset_becomes_absolute_where_that_is_certain(typed: str, root: str, shown: str) -> None:
    assert resume.data(record({"data": typed}, root)) == shown


def test_a_hostile_path_cannot_add_a_command() -> None:
    text = resume.command(record({"data": "/x; rm -rf ~ #", "model": "$(reboot)"}), Path("/s"))
    assert shlex.split(text)[4:7] == ["--data", "/x; rm -rf ~ #", "--model"] and "'$(reboot)'" in text


@pytest.mark.parametrize("folder", [".", "dashboard"])
def test_the_settings_hold_wherever_the_server_is_started(folder: str) -> None:
    """Streamlit reads the file of the working directory and the one beside the script; they are one and the same."""
    config = tomllib.loads((ROOT / folder / ".streamlit" / "config.toml").read_text())
    assert config["browser"]["gatherUsageStats"] is False
    assert config["server"]["address"] == "127.0.0.1" and config["server"]["headless"] is True
    assert {"light", "dark"} <= set(config["theme"])
    assert not [key for key in ("font", "headingFont", "codeFont") if "http" in str(config["theme"].get(key))]
