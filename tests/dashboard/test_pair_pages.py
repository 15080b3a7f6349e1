"""Pages of an image-text run with words and evidence, made by a real job with a tiny CLIP."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dashboard.data import Run
from jobs.run import run_audit
from jobs.spec import RunSpec
from tests.dashboard.test_pages import PAGES, open_page, text_of
from tests.jobs.conftest import write_manifest
from tests.model_folders import open_clip_folder

CAPTIONS = ["A red boat, on the sea", "<b>two</b> blue tree", "the house on the blue sea of a photo of the red boat"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base, rng = tmp_path_factory.mktemp("pairs"), np.random.default_rng(0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for i in range(3):
        Image.fromarray(rng.integers(0, 256, (60, 90, 3), np.uint8)).save(base / f"{i}.png")
    rows = [{"image": f"{i}.png", "text": text} for i, text in enumerate(CAPTIONS)]
    data, model = write_manifest(base / "pairs.csv", rows), open_clip_folder(base / "model")
    spec = RunSpec(
        str(data), f"open_clip:local-dir:{model}", store=str(base / "store"), workers=0, device="cpu", name="pairs",
        words=2, evidence=True,
    )  # fmt: skip
    assert run_audit(spec).explained == 3
    torch.set_num_threads(threads)
    return base / "store"


def html_of(test: Any) -> str:
    return "".join(str(block.proto.body) for block in test.get("html"))


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("target", ["clip-logit", "word-1"])
def test_every_page_renders(app: Any, store: Path, page: str, target: str) -> None:
    test = open_page(app, store, page, v="1", run="pairs", target=target)
    assert test.selectbox(key="run").value == "pairs" and not test.error and not test.warning


@pytest.mark.parametrize("sample", range(3))
def test_the_text_is_tinted_as_it_is_written(app: Any, store: Path, sample: int) -> None:
    test = open_page(app, store, "sample", run="pairs", sample=str(sample))
    html = html_of(test)
    (shown,) = re.findall(r'<div style="line-height[^>]*>(.*?)</div>', html)
    assert re.sub(r"</?span[^>]*>", "", shown) == CAPTIONS[sample].replace("<", "&lt;").replace(">", "&gt;")
    found = Run.open(store, "pairs").sample(sample)
    tinted = re.findall(r">([^<]*)</span>", shown)
    assert tinted == found["sample"]["words"]
    assert ("its end was not read" in text_of(test)) == found["sample"]["text_cut"] == (sample != 0)
    links = [row["word"] for row in found["explanations"] if row["target"].startswith("word-")]
    assert len(links) == min(2, len(found["sample"]["words"]))
    assert all(f"What the score owes to '{word}'" in text_of(test) for word in links)
