"""The one-way flow: who may import whom, read from the source."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = {"engine", "storage", "jobs", "dashboard"}
ALLOWED = {"engine": set(), "storage": set(), "jobs": {"engine", "storage"}, "dashboard": {"storage"}}
FORBIDDEN = {
    "engine": {"duckdb", "streamlit", "pyarrow", "plotly", "ray"},
    "storage": {"torch", "torchvision", "timm", "transformers", "open_clip", "streamlit", "pandas"},
    "jobs": {"streamlit", "plotly"},
    "dashboard": {"torch", "torchvision", "timm", "transformers", "open_clip"},
}
LIVE = ROOT / "dashboard" / "live.py"  # explains on a button: it imports the engine when that is pressed
MODEL_LIBRARIES = {"timm", "transformers", "open_clip", "huggingface_hub"}


def imports(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names.add((node.module or "").split(".")[0])
    return names


def sources(package: str) -> list[Path]:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files, package
    return files


@pytest.mark.parametrize("package", sorted(OURS))
def test_arrows(package):
    for file in sources(package):
        used = imports(file) - ({"engine", "torch"} if file == LIVE else set())
        assert used & OURS <= ALLOWED[package] | {package}, file
        assert not used & FORBIDDEN[package], file


def test_only_a_button_loads_the_engine():
    """The live module, and the page that uses it, are imported without the engine and the model libraries."""
    code = "import sys, dashboard.live, dashboard.scores.detail; sys.exit(bool({'torch', 'engine'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_model_libraries_stay_in_the_models_folder():
    for file in sources("engine"):
        if file.parent.name != "models":
            assert not imports(file) & MODEL_LIBRARIES, file


def test_reading_needs_no_torch():
    """`jobs list` and the dashboard's data layer start without the model libraries."""
    code = "import sys, storage, jobs.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
