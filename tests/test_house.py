"""What the papers on the wall say is true of the house."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_tree_in_the_readme_exists():
    block = re.search(r"## Where things are\n\n```\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    parent, seen = "", []
    for line in block.splitlines():
        indent, name = len(line) - len(line.lstrip()), line.split()[0]
        parent = name if indent == 0 else parent
        seen.append(ROOT / (name if indent == 0 else parent + name))
    assert len(seen) > 15
    assert [str(path) for path in seen if not path.exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_make_help_lists_every_target():
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("help", "setup", "demo", "audit", "dashboard", "test", "lint", "bench"):
        assert f"make {target} " in shown


def test_make_audit_without_data_says_how():
    run = subprocess.run(
        ["make", "audit", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert "usage: make audit DATA=" in run.stderr


def test_requirements_are_pinned_and_give_a_reason():
    for file in ("requirements.txt", "requirements-dev.txt"):
        for line in (ROOT / file).read_text().splitlines():
            if line and not line.startswith(("#", "-r")):
                assert re.fullmatch(r"[\w-]+==[\w.]+ +# .+", line), line


def test_telemetry_is_off():
    assert "gatherUsageStats = false" in (ROOT / ".streamlit" / "config.toml").read_text()
