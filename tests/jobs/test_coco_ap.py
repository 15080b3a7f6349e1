"""COCO's AP and AR of masks from IoU 0.2, beside a plain writing and what pycocotools itself prints."""

from __future__ import annotations

import copy
import json

import cv2
import numpy as np
import oracles_faithfulness as plain
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from engine.faithfulness.otsu import to_levels
from jobs.errors import JobError
from jobs.evaluate.coco_ap import THRESHOLDS, Detection, coco_ap
from jobs.evaluate.coco_truth import CocoTruth
from jobs.evaluate.query_masks import query_mask

SIZE = (120, 160)  # rows, columns


def box(x0, y0, x1, y1):
    mask = np.zeros(SIZE, bool)
    mask[y0:y1, x0:x1] = True
    return mask


def scene(pictures=6, seed=0):
    """Annotations of rectangles in three sizes and two categories, and their boxes by picture."""
    rng = np.random.default_rng(seed)
    images = [
        {"id": n + 10, "file_name": f"{n + 10:012d}.jpg", "height": SIZE[0], "width": SIZE[1]} for n in range(pictures)
    ]
    instances = []
    for image in images:
        for width, height in ((10, 12), (50, 60), (110, 105)):
            x, y = int(rng.integers(0, SIZE[1] - width)), int(rng.integers(0, SIZE[0] - height))
            instances.append({
                "id": len(instances), "image_id": image["id"], "category_id": int(rng.choice([3, 7])),
                "bbox": [x, y, width, height], "area": width * height, "iscrowd": 0,
                "segmentation": [[x, y, x + width, y, x + width, y + height, x, y + height]],
            })  # fmt: skip
    return {
        "images": images,
        "annotations": instances,
        "categories": [{"id": 3, "name": "car"}, {"id": 7, "name": "traffic light"}],
    }


def guesses(content, seed=1, wrong=6):
    """Shifted copies of the objects with random scores, and some that lie anywhere."""
    rng = np.random.default_rng(seed)
    found = []
    for instance in content["annotations"]:
        x, y, w, h = instance["bbox"]
        dx, dy = rng.integers(-w // 3, w // 3 + 1), rng.integers(-h // 3, h // 3 + 1)
        mask = box(max(0, x + dx), max(0, y + dy), max(0, x + w + dx), max(0, y + h + dy))
        found.append(Detection(instance["image_id"], instance["category_id"], float(rng.uniform(0.5, 1)), mask))
    for _ in range(wrong):
        x, y = rng.integers(0, 100), rng.integers(0, 70)
        image = int(rng.choice([i["id"] for i in content["images"]]))
        found.append(Detection(image, int(rng.choice([3, 7])), float(rng.uniform(0.5, 1)), box(x, y, x + 40, y + 40)))
    return found


def test_perfect_masks_score_one_and_none_score_nought():
    content = scene()
    perfect = [
        Detection(a["image_id"], a["category_id"], 0.9, box(x, y, x + w, y + h))
        for a in content["annotations"]
        for x, y, w, h in [a["bbox"]]
    ]
    table = coco_ap(content, perfect)
    assert {name: value for name, value in table.numbers.items() if name not in ("AR_1", "AR_10")} == {
        name: pytest.approx(1.0)
        for name in ("AP", "AP50", "AP75", "AP_S", "AP_M", "AP_L", "AR", "AR_S", "AR_M", "AR_L")
    }
    assert (table.images, table.objects, table.detections) == (6, 18, 18)
    nothing = coco_ap(content, [])
    assert nothing.numbers["AP"] == nothing.numbers["AR"] == 0 and nothing.detections == 0


@pytest.mark.parametrize("seed", range(3))
def test_ap_and_ar_equal_the_plain_writing(seed):
    content = scene(seed=seed)
    found = guesses(content, seed)
    truth = [(a["image_id"], a["category_id"], box(x, y, x + w, y + h)) for a in content["annotations"]
             for x, y, w, h in [a["bbox"]]]  # fmt: skip
    precision, recall = plain.coco_numbers(truth, found, [0.2 + 0.05 * i for i in range(16)])
    numbers = coco_ap(content, found).numbers
    assert 0.2 < precision < 1
    assert numbers["AP"] == pytest.approx(precision, abs=1e-9)
    assert numbers["AR"] == pytest.approx(recall, abs=1e-9)


def test_the_usual_thresholds_give_what_pycocotools_prints(tmp_path):
    content = scene(seed=4)
    found = guesses(content, 4)
    numbers = coco_ap(content, found, thresholds=np.linspace(0.5, 0.95, 10)).numbers
    renumbered = copy.deepcopy(content)
    for number, instance in enumerate(renumbered["annotations"], 1):
        instance["id"] = number  # the library takes the id 0 for no match
    (tmp_path / "truth.json").write_text(json.dumps(renumbered))
    ground = COCO(str(tmp_path / "truth.json"))
    from pycocotools import mask as rle

    results = [
        {"image_id": d.image_id, "category_id": d.category_id, "score": d.score,
         "segmentation": rle.encode(np.asfortranarray(d.mask.astype(np.uint8)))}
        for d in found
    ]  # fmt: skip
    evaluator = COCOeval(ground, ground.loadRes(results), "segm")
    evaluator.evaluate()
    evaluator.accumulate()
    evaluator.summarize()
    assert list(numbers.values()) == pytest.approx(evaluator.stats.tolist())


def test_the_thresholds_are_the_authors_and_easier_than_the_usual():
    assert THRESHOLDS[0] == 0.2 and THRESHOLDS[-1] == 0.95
    assert np.allclose(np.diff(THRESHOLDS), 0.05)
    content = scene(seed=2)
    found = guesses(content, 2)
    usual = coco_ap(content, found, thresholds=np.linspace(0.5, 0.95, 10)).numbers
    ours = coco_ap(content, found).numbers
    assert ours["AP"] > usual["AP"] and ours["AR"] > usual["AR"]
    assert ours["AP50"] == pytest.approx(usual["AP50"])
    assert (COCOeval(iouType="segm").params.iouThrs == np.linspace(0.5, 0.95, 10)).all()  # the library is as it was


def test_nothing_is_printed_and_nothing_changed(capfd):
    content = scene()
    before = copy.deepcopy(content)
    truth = CocoTruth(content)
    first = coco_ap(truth, guesses(content))
    assert coco_ap(truth, iter(guesses(content))) == first  # the same truth again, from a generator
    assert capfd.readouterr() == ("", "")
    assert content == before


def test_only_pictures_that_were_looked_at_are_missed():
    content = scene(seed=3)
    first = content["images"][0]["id"]
    found = [d for d in guesses(content, 3) if d.image_id == first]
    half = coco_ap(content, found, image_ids=[first])
    assert half.images == 1 and half.objects == 3
    assert half.numbers["AR"] > coco_ap(content, found).numbers["AR"]


def test_what_cannot_be_scored_is_counted():
    content = scene()
    good = guesses(content)
    bad = [
        Detection(999, 3, 0.9, box(0, 0, 9, 9)),
        Detection(10, 4, 0.9, box(0, 0, 9, 9)),
        Detection(10, 3, 0.9, np.ones((5, 5), bool)),
        Detection(10, 3, float("nan"), box(0, 0, 9, 9)),
        Detection(15, 3, 0.9, box(0, 0, 9, 9)),
    ]
    looked_at = range(10, 15)
    kept = [d for d in good if d.image_id in looked_at]
    table = coco_ap(content, kept + bad, image_ids=looked_at)
    assert table.numbers == coco_ap(content, kept, image_ids=looked_at).numbers
    assert table.skipped == {
        "its picture is not annotated": 1,
        "its category is not annotated": 1,
        "mask of another size": 1,
        "its score is no number": 1,
        "its picture was not to be looked at": 1,
    }
    empty = coco_ap(content, [Detection(10, 3, 0.6, box(0, 0, 0, 0))])
    assert empty.empty == empty.detections == 1 and empty.numbers["AP"] == 0
    with pytest.raises(JobError, match=r"none of 4 detections can be scored .*its picture is not annotated"):
        coco_ap(content, bad[:4])
    with pytest.raises(JobError, match="none of 1 pictures is annotated"):
        coco_ap(content, [], image_ids=[999])


def test_crowds_swallow_what_lies_in_them():
    content = scene(pictures=1)
    content["annotations"] = [
        {"image_id": 10, "category_id": 3, "bbox": [0, 0, 60, 60], "segmentation": [[0, 0, 60, 0, 60, 60, 0, 60]]},
        {"image_id": 10, "category_id": 3, "bbox": [80, 0, 80, 120], "iscrowd": 1,
         "segmentation": {"size": list(SIZE), "counts": [80 * 120, 80 * 120]}},
    ]  # fmt: skip
    found = [Detection(10, 3, 0.6, box(0, 0, 60, 60)), Detection(10, 3, 0.9, box(90, 10, 140, 80))]
    assert coco_ap(content, found).numbers["AP"] == pytest.approx(1)
    content["annotations"].pop()
    assert coco_ap(content, found).numbers["AP"] == pytest.approx(0.5, abs=0.01)


def test_files_that_are_no_annotations(tmp_path):
    content = scene()
    for name, change, message in [
        ("a", lambda c: c.pop("categories"), r"a.json has no list 'categories'"),
        ("b", lambda c: c.update(image=c.pop("images")), r"did you mean 'image'\?"),
        ("c", lambda c: c["images"][0].pop("height"), "an entry of 'images' has no 'height'"),
        ("d", lambda c: c["annotations"][0].update(image_id=5), "of image 5, which is not among its images"),
        ("e", lambda c: c["annotations"][0].update(category_id=5), "of category 5, which is not listed"),
        ("f", lambda c: c["annotations"][0].pop("segmentation"), "has no segmentation"),
    ]:
        broken = copy.deepcopy(content)
        change(broken)
        (tmp_path / f"{name}.json").write_text(json.dumps(broken))
        with pytest.raises(JobError, match=message):
            coco_ap(tmp_path / f"{name}.json", guesses(content))
    (tmp_path / "g.json").write_text("[1, 2")
    with pytest.raises(JobError, match=r"g.json is not readable JSON"):
        CocoTruth(tmp_path / "g.json")
    with pytest.raises(JobError, match=r"gg.json does not exist; did you mean .*g.json"):
        CocoTruth(tmp_path / "gg.json")


def test_names_of_categories_and_pictures():
    truth = CocoTruth(scene())
    assert truth.category_id("Traffic Light") == 7
    with pytest.raises(JobError, match="unknown category 'trafic light'; did you mean traffic light"):
        truth.category_id("trafic light")
    assert truth.image_id("val2017/000000000011.jpg") == 11
    assert truth.image_id("val2017/000000000099.jpg") is None
    content = scene()
    for image in content["images"]:
        del image["file_name"]
    assert CocoTruth(content).image_id("COCO_val2014_000000000011.jpg") == 11
    assert CocoTruth(content).image_id("eleven.jpg") is None


def test_masks_of_queries_follow_the_authors_order():
    rng = np.random.default_rng(0)
    cells = rng.random((8, 10)).astype(np.float32)
    cells[2:5, 3:7] += 2
    inputs = (96, 128)
    cut = cv2.threshold(to_levels(cells), 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)[1].astype(np.float64)
    enlarged = plain.bilinear(cut, inputs)
    kept = 1 / (1 + np.exp(-enlarged.clip(-50, 50))) > 0.5  # DETR's post-processing: a sigmoid and a half
    rows = [min(int((i + 0.5) * inputs[0] / SIZE[0]), inputs[0] - 1) for i in range(SIZE[0])]
    columns = [min(int((j + 0.5) * inputs[1] / SIZE[1]), inputs[1] - 1) for j in range(SIZE[1])]
    assert (query_mask(cells, SIZE, inputs=inputs) == kept[np.ix_(rows, columns)]).all()
    smooth = query_mask(cells, SIZE, "picture")
    assert smooth.sum() < query_mask(cells, SIZE).sum()
    assert not query_mask(np.full((3, 3), np.nan), SIZE).any()
    assert not query_mask(np.zeros((3, 3)), SIZE).any()
