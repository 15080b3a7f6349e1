"""Pages of runs that real jobs made with tiny models: question answering, a detector, a text classifier."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest
from transformers import DetrForObjectDetection

from dashboard import tiles
from dashboard.boxes import RegionMap
from dashboard.data import Run
from dashboard.overlays import Look
from jobs.run import run_audit
from jobs.spec import RunSpec
from storage import SampleQuery
from tests.dashboard.test_pages import PAGES, open_page, text_of
from tests.dashboard.test_pages import tiles as tile_names
from tests.model_folders import REGION_WIDTH, bert_folder, detr_folder, visual_bert_folder

QUESTIONS = ["what is on the sea ?", "how many boat ?", "where is the tree"]
REVIEWS = ["a very good film .", "<b>bad</b> film", "good"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("kinds")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    for i in range(3):
        Image.fromarray(rng.integers(0, 256, (60, 90, 3), np.uint8)).save(base / f"{i}.png")
        corners = np.concatenate([rng.random((4 + i, 2)) * 0.5, 0.5 + rng.random((4 + i, 2)) * 0.5], axis=1)
        np.savez(base / f"{i}.npz", features=rng.normal(size=(4 + i, REGION_WIDTH)), boxes=corners)
    # the last picture is missing: its features are enough to compute with
    images = ["0.png", "1.png", "missing.png"]
    asked = [
        {"image": image, "text": text, "features": f"{i}.npz", "label": "red"}
        for i, (image, text) in enumerate(zip(images, QUESTIONS, strict=True))
    ]
    seen = [{"image": f"{i}.png"} for i in range(3)]
    read = [{"text": text, "label": "good"} for text in REVIEWS]
    for name, rows, model, options in (
        ("questions", asked, visual_bert_folder(base / "visual_bert"), {}),
        ("objects", seen, detr_folder(base / "detr"), {"threshold": 0.2, "on_zero_row": "identity"}),
        ("dropped", seen, without_gradient(detr_folder(base / "flat")), {"threshold": 0.2}),
        ("reviews", read, bert_folder(base / "bert"), {}),
    ):
        (base / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
        given: dict[str, Any] = {"store": str(base / "store"), "workers": 0, "device": "cpu", "name": name, **options}
        result = run_audit(RunSpec(data=str(base / f"{name}.jsonl"), model=f"hf:{model}", **given))
        assert result.explained == 3
    torch.set_num_threads(threads)
    return base / "store"


def without_gradient(folder: Path) -> Path:
    """A detector that is always sure of its first class, whatever it sees: no relevancy anywhere."""
    model = DetrForObjectDetection.from_pretrained(folder)
    with torch.no_grad():
        model.class_labels_classifier.weight.zero_()
        model.class_labels_classifier.bias.copy_(torch.tensor([5.0, 0.0, 0.0, 0.0]))
    model.save_pretrained(folder)
    return folder


def html_of(test: AppTest) -> str:
    return "".join(str(block.proto.body) for block in test.get("html"))


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("run", ["questions", "objects", "reviews"])
def test_every_page_renders(app: Any, store: Path, page: str, run: str) -> None:
    test = open_page(app, store, page, v="1", run=run)
    assert test.selectbox(key="run").value == run and not test.error and not test.warning


def test_questions_show_their_words_and_regions(app: Any, store: Path) -> None:
    gallery = open_page(app, store, "samples", run="questions")
    assert len(tile_names(gallery)) == 3 and QUESTIONS[0] in text_of(gallery)
    assert "region of each picture" in text_of(gallery)
    one = open_page(app, store, "sample", run="questions", sample="0")
    assert "(the answer)" in text_of(one) and "Question" in text_of(one)
    assert all(f">{word}</span>" in html_of(one) for word in ("what", "sea"))
    assert "picture itself is missing" not in text_of(one)
    assert "picture itself is missing" in text_of(open_page(app, store, "sample", run="questions", sample="2"))


def test_tiles_of_regions_are_painted_also_without_a_picture(store: Path) -> None:
    run = Run.open(store, "questions")
    rows = run.page(SampleQuery("answer"), 1, 10)
    painted = tiles.gallery(run, rows, Look())
    assert len(painted) == 3 and len(set(painted)) == 3
    for row in rows:
        layer = tiles.laid_out(run, row, run.maps([(row["sample_id"], "answer")], "image")[row["sample_id"], "answer"])
        assert isinstance(layer, RegionMap) and len(layer.boxes) == 4 + row["sample_id"]
    assert not tiles.is_there(run, rows[2]) and tiles.is_there(run, rows[0])
    data, size = tiles.large(run, rows[2], None, Look(), 400)
    assert size == (400, 300) and data


def test_a_detection_is_chosen_by_its_class_and_certainty(app: Any, store: Path) -> None:
    run = Run.open(store, "objects")
    targets = list(run.targets())
    assert targets == [f"detection:{k}" for k in range(len(targets))] and len(targets) > 1
    test = open_page(app, store, "sample", run="objects", sample="0")
    found = run.sample(0)["explanations"]
    best, second = (next(row for row in found if row["target"] == f"detection:{k}") for k in (0, 1))
    assert f"Why {best['predicted']} in the outlined box" in text_of(test)
    (pills,) = test.get("button_group")[-1:]
    assert pills.value == "detection:0" or pills.value == ["detection:0"]
    chosen = open_page(app, store, "sample", run="objects", sample="0", target="detection:1")
    assert f"{second['confidence']:.1%} sure" in text_of(chosen) and f"query {second['query']}" in text_of(chosen)
    assert tiles.box_of(second) == pytest.approx(tuple(second["box"]))


def test_overview_counts_the_objects(app: Any, store: Path) -> None:
    test = open_page(app, store, "overview", run="objects")
    assert "Objects found" in text_of(test)
    shown = next(frame.value for frame in test.dataframe if "mean_confidence" in frame.value.columns)
    stored = Run.open(store, "objects").reader.query("SELECT count(*) AS n FROM explanations")[0]["n"]
    assert shown["n"].sum() == stored and (shown["samples"] <= 3).all()
    assert "Objects found" not in text_of(open_page(app, store, "overview", run="reviews"))


def test_a_map_of_zeros_is_explained(app: Any, store: Path) -> None:
    test = open_page(app, store, "sample", run="dropped", sample="0")
    assert "--on-zero-row identity keeps it" in text_of(test)
    assert "--on-zero-row" not in text_of(open_page(app, store, "sample", run="objects", sample="0"))


def test_texts_stand_in_place_of_pictures(app: Any, store: Path) -> None:
    test = open_page(app, store, "samples", run="reviews")
    assert len(tile_names(test)) == 3 and not test.get("imgs")
    assert all(f">{word}</span>" in html_of(test) for word in ("very", "good", "film"))
    assert "<b>" not in html_of(test)  # escaped
    one = open_page(app, store, "sample", run="reviews", sample="1")
    assert "<b>bad</b> film" in text_of(one) and "No picture" not in text_of(one)
    filtered = open_page(app, store, "samples", run="reviews", f=json.dumps(["text", "contains", "very"]))
    assert len(tile_names(filtered)) == 1
