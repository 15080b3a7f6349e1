"""Whole runs in one process: what goes in comes out, once, with the numbers the engine gives."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from engine import explain, load_model
from engine.properties import PROPERTIES, measure
from jobs.errors import JobError
from jobs.pictures import decode
from jobs.run import RunResult, run_audit
from jobs.spec import RunSpec
from storage import RunReader, SpecMismatch, Store
from tests.jobs.conftest import noise

Audit = Callable[..., tuple[RunResult, RunReader]]


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    """Run an audit into a fresh store, without worker processes unless asked for, and open it."""

    def run(data: Path, model: str, **options: Any) -> tuple[RunResult, RunReader]:
        spec = RunSpec(data=str(data), model=model, store=str(tmp_path / "store"), workers=0, device="cpu")
        result = run_audit(replace(spec, **options))
        return result, Store.open(result.store).reader(result.run)

    return run


def write_rows(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def failures(reader: RunReader) -> dict[str, str]:
    return {row["uri"]: row["reason"] for row in reader.query("SELECT uri, reason FROM failures")}


@pytest.mark.parametrize("workers", [0, 2])
def test_folder_of_classes(audit: Audit, photos: Path, vit: str, workers: int) -> None:
    result, reader = audit(photos, vit, workers=workers, batch_size=3, part_size=8)
    assert (result.samples, result.explained, result.failed, result.skipped) == (21, 20, 1, 0)
    assert failures(reader) == {"dog/text.png": "not a picture"}
    rows = reader.query("SELECT * FROM samples JOIN explanations USING (sample_id) ORDER BY sample_id")
    uris = sorted(str(path.relative_to(photos)) for path in photos.rglob("*.png"))
    assert [(row["sample_id"], row["uri"]) for row in rows] == [
        (i, uri) for i, uri in enumerate(uris) if uri != "dog/text.png"
    ]
    assert {(row["label"], row["label_index"]) for row in rows} == {("cat", 0), ("dog", 1)}
    assert {(row["width"], row["height"]) for row in rows} == {(48, 40)}
    assert result.accuracy == np.mean([row["correct"] for row in rows])
    assert all(row["correct"] == (row["predicted"] == row["label"]) for row in rows)
    assert all(abs(sum(row["top_probs"]) - 1) < 1e-5 and row["top_probs"][0] == row["confidence"] for row in rows)
    manifest = json.loads((Path(result.store) / "runs" / result.run / "parts/00000.json").read_text())
    assert manifest["contents"]["seconds"]["compute"] > 0


def test_maps_and_scores_are_those_of_the_engine(audit: Audit, photos: Path, vit: str) -> None:
    _, reader = audit(photos, vit, target="class:fox", batch_size=7)
    loaded = load_model(vit)
    for sample in reader.query("SELECT sample_id, uri, score FROM samples JOIN explanations USING (sample_id)")[:5]:
        image = loaded.preprocess(decode(photos / sample["uri"]))[None]
        alone = explain(loaded, image, target=2)
        key = (sample["sample_id"], "class:fox")
        stored = reader.maps([key], "image")[key]
        assert torch.allclose(torch.tensor(stored), alone.relevancy["image"][0], atol=1e-6)
        assert abs(sample["score"] - float(alone.score[0])) < 1e-4


def test_properties_of_pictures_and_their_files(audit: Audit, tmp_path: Path, vit: str) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.fromarray(data.astronaut()).resize((500, 375)).save(folder / "photo.jpg", quality=95)
    Image.new("RGBA", (20, 30), (255, 0, 0, 255)).save(folder / "red.png")
    Image.new("L", (40, 1)).save(folder / "a jpeg.gif", format="JPEG")  # the format is the file's, not that of its name
    _, reader = audit(folder, vit, workers=1)
    rows = {row["uri"]: row for row in reader.query("SELECT * FROM samples")}
    assert {uri: row["file_format"] for uri, row in rows.items()} == {
        "photo.jpg": "JPEG", "red.png": "PNG", "a jpeg.gif": "JPEG"
    }  # fmt: skip
    assert all(row["file_bytes"] == (folder / uri).stat().st_size for uri, row in rows.items())
    for uri, row in rows.items():
        whole = measure(np.asarray(decode(folder / uri)))
        # Thumbnails are reduced a little more roughly: that much sharpness is lost.
        close = {name: pytest.approx(value, abs=0.1 if name == "sharpness" else 0.005) for name, value in whole.items()}
        assert {name: row[name] for name in PROPERTIES} == close, uri
    assert rows["red.png"]["warmth"] == 1 and rows["a jpeg.gif"]["sharpness"] == pytest.approx(-6)


@pytest.mark.parametrize("count", [0, 3])
def test_patches_are_those_of_the_engine(audit: Audit, photos: Path, vit: str, count: int) -> None:
    _, reader = audit(photos, vit, target="both", batch_size=7, patches=count, limit=9)
    assert reader.patch_widths == ((32,) if count else ())
    if not count:
        return
    loaded = load_model(vit)
    for sample in reader.query("SELECT sample_id, uri, label_index FROM samples ORDER BY ALL")[:4]:
        image = loaded.preprocess(decode(photos / sample["uri"]))[None]
        for target, asked in (("predicted", None), ("label", sample["label_index"])):
            found = explain(loaded, image, target=asked, patches=count).patches
            rows = reader.query(
                "SELECT slot, token, vec FROM patches_32 WHERE sample_id = ? AND target = ? ORDER BY slot",
                [sample["sample_id"], target],
            )
            assert [row["slot"] for row in rows] == [-1, 0, 1, 2]
            assert [row["token"] for row in rows] == [None, *found.tokens[0].tolist()]
            states = torch.tensor([row["vec"] for row in rows])
            assert torch.allclose(states, torch.cat([found.rest, found.states[0]]), atol=1e-5)


def test_second_call_explains_nothing(audit: Audit, photos: Path, vit: str) -> None:
    first, _ = audit(photos, vit, part_size=8)
    second, reader = audit(photos, vit, part_size=5, batch_size=2)  # neither changes results: the same run
    assert second.run == first.run
    assert (second.explained, second.failed, second.skipped, second.resumed_parts) == (0, 0, 21, 3)
    assert (second.total_explained, second.total_failed) == (20, 1) == (first.total_explained, first.total_failed)
    assert reader.query("SELECT count(*) AS n FROM explanations") == [{"n": 20}]


def test_a_name_belongs_to_one_choice(audit: Audit, photos: Path, vit: str) -> None:
    assert audit(photos, vit, name="mine")[0].run == "mine"
    with pytest.raises(SpecMismatch, match="method was 'gae' and is now 'rollout'"):
        audit(photos, vit, name="mine", method="rollout")


def test_every_kind_of_picture(audit: Audit, tmp_path: Path, vit: str) -> None:
    folder = tmp_path / "kinds"
    whole = noise(folder / "a.jpg", 0).read_bytes()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("hello")
    Image.new("CMYK", (20, 20)).save(folder / "cmyk.jpg")
    Image.fromarray(np.full((9, 9), 40000, np.uint16)).save(folder / "deep.png")
    Image.new("RGBA", (20, 30), (1, 2, 3, 4)).save(folder / "alpha.png")
    Image.new("L", (1, 1)).save(folder / "one.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 10)).save(folder / "turned.jpg", exif=exif)
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    result, reader = audit(folder, vit)
    assert failures(reader) == {
        "truncated.jpg": "truncated picture",
        "empty.png": "empty file (0 bytes)",
        "text.png": "not a picture",
    }
    assert (result.explained, result.failed) == (7, 3)
    size = reader.query("SELECT width, height FROM samples WHERE uri = 'turned.jpg'")
    assert size == [{"width": 10, "height": 30}]


def test_labels_targets_and_what_is_unknown(audit: Audit, tmp_path: Path, vit: str) -> None:
    labels = ["cat", "2", "7", "wolf", None]
    rows = [{"image": noise(tmp_path / f"{i}.png", i).name, "label": label} for i, label in enumerate(labels)]
    data = write_rows(tmp_path, [*rows, {"image": "none.png", "label": "cat"}, {"image": "0.png", "label": "dog"}])
    result, reader = audit(data, vit, target="both")
    assert failures(reader) == {
        "2.png": "label 7 is out of range: the model has 3 classes (0 to 2)",
        "none.png": "file not found",
        "0.png": "repeats the image of row 1",
    }
    assert any("wolf" in warning for warning in result.warnings)
    stored = reader.query("SELECT sample_id, target, target_index FROM explanations ORDER BY ALL")
    predicted = {row["sample_id"]: row["target_index"] for row in stored if row["target"] == "predicted"}
    assert predicted.keys() == {0, 1, 3, 4} and None not in predicted.values()
    assert [(r["sample_id"], r["target_index"]) for r in stored if r["target"] == "label"] == [(0, 0), (1, 2)]
    samples = {row["sample_id"]: row for row in reader.query("SELECT * FROM samples")}
    assert [samples[i]["label"] for i in (0, 1, 3, 4)] == ["cat", "fox", "wolf", None]
    assert [samples[i]["label_index"] for i in (0, 1, 3, 4)] == [0, 2, None, None]
    _, reader = audit(data, vit, target="label")
    assert failures(reader)["3.png"] == "label 'wolf' is not a class of the model"
    assert failures(reader)["4.png"] == "no label"


def test_a_model_without_names_takes_those_of_the_folders(audit: Audit, tmp_path: Path, nameless_vit: str) -> None:
    for i, name in enumerate(("zebra", "ant", "bee")):
        noise(tmp_path / "animals" / name / "1.png", i)
    _, reader = audit(tmp_path / "animals", nameless_vit, target="class:bee")
    found = reader.query("SELECT uri, label_index, target_index FROM samples JOIN explanations USING (sample_id)")
    assert {(r["uri"], r["label_index"], r["target_index"]) for r in found} == {
        ("ant/1.png", 0, 1),
        ("bee/1.png", 1, 1),
        ("zebra/1.png", 2, 1),
    }
    assert any("no class names" in note for note in reader.record.notes)


def test_masks_boxes_and_metadata(audit: Audit, tmp_path: Path, vit: str) -> None:
    for name, value in (("full", 255), ("none", 0)):
        Image.new("L", (48, 40), value).save(tmp_path / f"mask_{name}.png")
    extra = [
        {"mask": "mask_full.png", "boxes": [[0, 0, 48, 40]], "shot at": 1.5, "good": True, "label": "cat"},
        {"mask": "mask_none.png", "boxes": [[0, 0, 1, 1]], "shot at": None, "good": False, "split": "test"},
        {"mask": "missing.png", "boxes": "nonsense", "uri": "a metadata column with the name of one of ours"},
        {},
    ]
    rows = [{"image": noise(tmp_path / f"{i}.png", i).name, **columns} for i, columns in enumerate(extra)]
    result, reader = audit(write_rows(tmp_path, rows), vit)
    found = reader.query("SELECT * FROM samples JOIN explanations USING (sample_id) ORDER BY sample_id")
    assert found[0]["mask_share"] == pytest.approx(1, abs=1e-5)
    assert found[0]["box_share"] == pytest.approx(1, abs=1e-5)
    assert found[1]["mask_share"] == 0 and found[1]["box_share"] < 0.05
    assert [(row["mask_share"], row["box_share"]) for row in found[2:]] == [(None, None)] * 2
    kept = [(row["shot_at"], row["good"], row["split"]) for row in found[:2]]
    assert kept == [(1.5, True, None), (None, False, "test")]
    assert found[2]["uri"] == "2.png" and found[2]["meta_uri"].startswith("a metadata column")
    assert result.remarks == {
        "mask unusable: file not found": 1,
        "boxes unusable: expected JSON like [[x0, y0, x1, y1]]": 1,
    }


def test_half_a_mask_gets_the_share_on_its_half(audit: Audit, tmp_path: Path, vit: str) -> None:
    mask = np.zeros((40, 40), np.uint8)
    mask[:, :20] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    noise(tmp_path / "a.png", 0, (40, 40))
    _, reader = audit(write_rows(tmp_path, [{"image": "a.png", "mask": "mask.png"}]), vit)
    stored = np.asarray(reader.maps([(0, "predicted")], "image")[0, "predicted"]).reshape(4, 4)
    share = reader.query("SELECT mask_share FROM explanations")[0]["mask_share"]
    assert share == pytest.approx(stored[:, :2].sum() / stored.sum(), abs=1e-5)


def test_pairs_of_picture_and_text(audit: Audit, tmp_path: Path, clip: str) -> None:
    texts = ["a red cat", "a dog in the snow", None, "so " * 40]
    rows = [{"image": noise(tmp_path / f"{i}.png", i).name, "text": text} for i, text in enumerate(texts)]
    data = write_rows(tmp_path, [*rows, {"image": "0.png", "text": "one more caption"}])
    result, reader = audit(data, clip)
    assert (result.explained, result.failures) == (4, [{"reason": "no text", "n": 1}])
    assert list(result.remarks.values()) == [1] and "16 tokens" in next(iter(result.remarks))
    joined = "samples JOIN explanations USING (sample_id)"
    found = reader.query(f"SELECT * FROM {joined} WHERE sample_id = 1 ORDER BY modality")
    assert [(row["modality"], row["target"]) for row in found] == [("image", "clip-logit"), ("text", "clip-logit")]
    assert found[0]["score"] == found[1]["score"] and found[0]["predicted"] is None
    assert found[0]["tokens"] == ["", "a", "dog", "in", "the", "snow"] and found[0]["top_tokens"] is None
    assert set(found[1]["top_tokens"]) <= set(found[0]["tokens"]) - {""}
    assert len(reader.maps([(1, "clip-logit")], "text")[1, "clip-logit"]) == 6
    loaded = load_model(clip)
    image = loaded.preprocess(decode(tmp_path / "1.png"))[None]
    alone = explain(loaded, {"image": image, "text": [texts[1]]}, start_layer=loaded.default_start_layer)
    stored = reader.maps([(1, "clip-logit")], "image")[1, "clip-logit"]
    assert torch.allclose(torch.tensor(stored), alone.relevancy["image"][0], atol=1e-6)


def test_what_model_and_data_must_bring_along(audit: Audit, photos: Path, tmp_path: Path, vit: str, clip: str) -> None:
    noise(tmp_path / "flat" / "a.png", 0)
    with pytest.raises(JobError, match="needs labels"):
        audit(tmp_path / "flat", vit, target="label")
    with pytest.raises(JobError, match="compares pictures with texts"):
        audit(photos, clip)
    with pytest.raises(JobError, match="start-layer 3: the model has 3 layers"):
        audit(photos, vit, start_layer=3)
    noise(tmp_path / "strange" / "wolf" / "a.png", 0)
    with pytest.raises(JobError, match="the model does not know: wolf"):
        audit(tmp_path / "strange", vit, target="label")


def test_limit_and_bf16(audit: Audit, photos: Path, vit: str) -> None:
    result, reader = audit(photos, vit, limit=4, precision="bf16")
    assert result.samples == 4 and result.run != audit(photos, vit, precision="bf16")[0].run
    assert audit(photos, vit, limit=21)[0].run == audit(photos, vit)[0].run  # a limit that cuts nothing
    assert {row["label"] for row in reader.query("SELECT label FROM samples")} == {"cat", "dog"}
