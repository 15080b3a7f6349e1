"""The generated scenes are annotated right, and the committed detector finds what its card says."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO
from scipy.optimize import linear_sum_assignment
from torchvision.ops import box_iou
from transformers import DetrForObjectDetection

from benchmarks.detection import model as detector
from benchmarks.detection.coco import run_lengths
from benchmarks.detection.dataset import write_dataset
from benchmarks.detection.examples import make_examples, varied
from benchmarks.detection.objective import NOTHING, dense_loss, generalised_iou, match, owners, set_loss
from benchmarks.detection.scenes import SIZE, paint_scene
from benchmarks.detection.score import box_precision, fresh_scenes
from benchmarks.detection.shapes import CLASSES
from benchmarks.detection.train import Recipe, nearness, new_detector, train_detector
from engine import explain_detections, load_model
from jobs.coverage import cover_of_mask
from jobs.readers import read_dataset

CARD = json.loads((detector.WEIGHTS / "card.json").read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """12 scenes on disk."""
    return write_dataset(tmp_path_factory.mktemp("scenes"), 12).parent


@pytest.fixture(scope="module")
def weights():
    return detector.load_detector()


def test_the_same_numbers_paint_the_same_scene():
    first, again, other = paint_scene(3, 5), paint_scene(3, 5), paint_scene(3, 6)
    assert (first.image == again.image).all() and (first.masks == again.masks).all()
    assert (first.image != other.image).any()


def test_masks_are_apart_and_boxes_are_tight():
    for k in range(8):
        scene = paint_scene(3, k)
        assert 1 <= len(scene.labels) <= 4 and len(scene.masks) == len(scene.boxes) == len(scene.labels)
        assert scene.masks.sum(0).max() == 1
        for mask, (x0, y0, x1, y1) in zip(scene.masks, scene.boxes.astype(int), strict=True):
            assert mask[y0:y1, x0:x1].sum() == mask.sum() > 0
            assert mask[y0].any() and mask[y1 - 1].any() and mask[:, x0].any() and mask[:, x1 - 1].any()


def test_a_shape_is_where_its_mask_is():
    """Inside a mask the picture differs from its surroundings: painted and told are the same place."""
    gaps = []
    for k in range(40):
        scene = paint_scene(4, k)
        if scene.background != "plain":
            continue
        wall = np.median(scene.image[~scene.masks.any(0)], 0)
        away = np.abs(scene.image - wall).sum(-1)
        gaps += [np.median(away[mask]) - np.median(away[~scene.masks.any(0)]) for mask in scene.masks]
    assert len(gaps) > 8 and min(gaps) > 25


def test_pycocotools_reads_the_annotations(folder, capsys):
    coco = COCO(str(folder / "annotations.json"))
    assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == list(CLASSES)
    for image in coco.loadImgs(coco.getImgIds()):
        instances = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
        masks = [coco.annToMask(a).astype(bool) for a in instances]
        for instance, mask in zip(instances, masks, strict=True):
            x, y, width, height = (int(v) for v in instance["bbox"])
            assert mask.shape == (image["height"], image["width"]) == (SIZE, SIZE)
            assert mask[y : y + height, x : x + width].sum() == mask.sum() == instance["area"]
            assert instance["iscrowd"] == 0
        union = np.asarray(Image.open(folder / image["file_name"].replace("images", "masks"))) > 0
        assert (np.any(masks, axis=0) == union).all()
    assert len(coco.getAnnIds()) == len({a["id"] for a in coco.dataset["annotations"]}) > 12


def test_a_job_reads_the_manifest(folder):
    data = read_dataset(folder / "manifest.csv")
    names = [image["file_name"] for image in json.loads((folder / "annotations.json").read_text())["images"]]
    assert data.uris.to_pylist() == names and len(data) == 12 and not data.problems
    with (folder / "manifest.csv").open() as file:
        assert sum(int(row["objects"]) for row in csv.DictReader(file)) == len(
            json.loads((folder / "annotations.json").read_text())["annotations"]
        )


@pytest.mark.parametrize("mask", [[[1, 0], [1, 0], [0, 1]], [[0, 0], [0, 0]], [[1, 1], [1, 1]], [[0, 1], [1, 0]]])
def test_run_lengths(mask):
    from pycocotools import mask as rle

    lengths = run_lengths(np.array(mask, bool))
    assert sum(lengths["counts"]) == np.size(mask)
    assert (rle.decode(rle.frPyObjects(lengths, *lengths["size"])) == mask).all()


def test_boxes_follow_what_is_varied():
    """A bright square on black stays in its box however the batch is mirrored and turned."""
    torch.manual_seed(0)
    for _ in range(12):
        pixels, box = torch.zeros(2, 3, 20, 20), torch.tensor([0.3, 0.65, 0.2, 0.3]).expand(2, 1, 4)
        pixels[:, :, 10:16, 4:8] = 100.0
        moved, boxes = varied(pixels, box)
        rows, columns = torch.nonzero(moved[0].mean(0) > 20, as_tuple=True)
        x, y, width, height = (boxes[0, 0] * 20).round().int().tolist()
        seen = (columns.min() + columns.max() + 1) / 2, (rows.min() + rows.max() + 1) / 2
        assert seen == (x, y)
        assert (columns.max() - columns.min() + 1, rows.max() - rows.min() + 1) == (width, height)


def test_the_matching_is_the_cheapest_one():
    """Against costs written out one by one."""
    torch.manual_seed(1)
    logits, boxes = torch.randn(2, 3, 5, NOTHING + 1), torch.rand(2, 3, 5, 4) * 0.3 + 0.3
    labels, truth = torch.tensor([[0, 3, -1], [2, -1, -1], [1, 1, 4]]), torch.rand(3, 3, 4) * 0.3 + 0.3
    found = match(logits, boxes, labels, truth)
    assert found.shape == (2, 3, 3)
    for layer in range(2):
        for sample in range(3):
            count = int((labels[sample] >= 0).sum())
            cost = np.zeros((5, count))
            for q in range(5):
                for k in range(count):
                    box, true = boxes[layer, sample, q], truth[sample, k]
                    chance = logits[layer, sample, q].softmax(-1)[labels[sample, k]]
                    cost[q, k] = 5 * (box - true).abs().sum() - chance - 2 * generalised_iou(box, true)
            queries, objects = linear_sum_assignment(cost)
            assert found[layer, sample, objects].tolist() == queries.tolist()


def test_generalised_iou_of_known_boxes():
    unit = torch.tensor([0.5, 0.5, 1.0, 1.0])
    assert generalised_iou(unit, unit).item() == pytest.approx(1)
    assert generalised_iou(unit, torch.tensor([1.0, 0.5, 1.0, 1.0])).item() == pytest.approx(1 / 3)
    assert generalised_iou(unit, torch.tensor([2.5, 0.5, 1.0, 1.0])).item() == pytest.approx(0 - 1 / 3)


def test_the_losses_fall_to_zero_for_the_truth():
    labels, truth = torch.tensor([[4, 0]]), torch.tensor([[[0.3, 0.3, 0.2, 0.2], [0.7, 0.6, 0.3, 0.2]]])
    logits, boxes = torch.full((1, 1, 3, NOTHING + 1), -30.0), torch.rand(1, 1, 3, 4)
    for query, (label, box) in enumerate([(0, truth[0, 1]), (NOTHING, None), (4, truth[0, 0])]):
        logits[0, 0, query, label] = 30.0
        boxes[0, 0, query] = torch.rand(4) if box is None else box
    assert sum(set_loss(logits, boxes, labels, truth)).item() == pytest.approx(0, abs=1e-4)
    assert sum(set_loss(logits.flip(2), boxes, labels, truth)).item() > 1
    classes, owner = owners(labels, truth, 6)
    sure = torch.nn.functional.one_hot(classes, NOTHING + 1) * 60.0 - 30.0
    told = truth[0][owner]
    assert sum(dense_loss(sure, told, labels, truth)).item() == pytest.approx(0, abs=1e-4)
    assert dense_loss(sure, told.flip(1), labels, truth).boxes.item() > 0.5


def test_cells_belong_to_the_smallest_box_whose_middle_they_lie_in():
    labels, truth = torch.tensor([[1, 2, -1]]), torch.tensor([[[0.5, 0.5, 1.0, 1.0], [0.5, 0.5, 0.3, 0.3], [0.1] * 4]])
    classes, owner = owners(labels, truth, 12)
    for cell in range(144):
        far = max(abs((cell % 12 + 0.5) / 12 - 0.5), abs((cell // 12 + 0.5) / 12 - 0.5))
        assert classes[0, cell] == (2 if far < 0.09 else 1 if far < 0.3 else NOTHING)
        assert far >= 0.3 or owner[0, cell] == (1 if far < 0.09 else 0)


def test_a_query_looks_near_its_place_first():
    """In every head, position codes match best with those of places nearby."""
    config = detector.config()
    codes = detector.positions(new_detector(1)[0], (12, 12))[0]
    heads = (codes @ nearness(config).T).unflatten(1, (config.decoder_attention_heads, -1)).transpose(0, 1)
    match = heads @ heads.transpose(1, 2)
    row, column = torch.arange(144) // 12, torch.arange(144) % 12
    far = (row[:, None] - row).abs() + (column[:, None] - column).abs()
    for matches in match:
        assert (matches.argmax(1) == torch.arange(144)).all()
        assert matches[far == 1].min() > matches[far >= 6].max()


def test_training_computes_what_the_library_computes(weights):
    """The layers are called one by one in training, with several sets of queries: the first set is the model's own."""
    pixels = make_examples(5, 0, 3).pixels
    own = weights.model.query_position_embeddings.weight
    with torch.no_grad():
        whole = weights(pixel_values=pixels)
        logits, boxes = detector.decode(weights, detector.encode(weights, pixels), torch.stack([own, own.flip(0)]))
    assert logits.shape == (3, 2, 3, 10, NOTHING + 1)
    torch.testing.assert_close(logits[-1, 0], whole.logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(boxes[-1, 0], whole.pred_boxes, atol=1e-4, rtol=1e-4)


def test_a_short_training_learns_and_freezes_its_norms(tmp_path):
    """Loss falls, and the saved folder computes what the trained model computes, up to half precision."""
    losses: list[float] = []
    examples = make_examples(6, 0, 16)
    recipe = Recipe(first_steps=2, first_batch=8, steps=14, batch=8, sets=2, warm_up=2)
    trained = train_detector(examples, recipe, 1, lambda step, steps, parts: losses.append(sum(parts)))
    assert len(losses) == 16 and np.mean(losses[-3:]) < 0.9 * losses[2]
    detector.save_detector(trained, tmp_path)
    saved = DetrForObjectDetection.from_pretrained(tmp_path).eval()
    assert saved.dtype == torch.float32
    with torch.no_grad():
        found, again = (m(pixel_values=examples.pixels[:4]).logits for m in (trained, saved))
    torch.testing.assert_close(found, again, atol=0.02, rtol=0.02)


def test_the_committed_weights_find_what_their_card_says(weights):
    found = box_precision(weights, fresh_scenes(CARD["test"]["seed"], 60))
    assert found["AP50"] == pytest.approx(CARD["test"]["boxes"]["AP50"], abs=0.07)
    assert found["AP50"] > 0.85


def test_the_committed_weights_are_a_small_ordinary_folder():
    loaded = load_model(str(detector.WEIGHTS))
    assert loaded.family == "detr" and loaded.class_names == list(CLASSES) and loaded.grid == (12, 12)
    assert type(loaded.model) is DetrForObjectDetection
    assert sum(file.stat().st_size for file in detector.WEIGHTS.iterdir()) < 3e6
    picture = paint_scene(8, 0).image
    assert torch.allclose(loaded.preprocess(Image.fromarray(picture)), detector.to_inputs(picture[None])[0], atol=1e-5)


def test_maps_lie_on_the_object_that_was_found():
    """GAE's relevance inside the object's mask, against the mask's share of the picture: what chance would give."""
    loaded = load_model(str(detector.WEIGHTS))
    scenes = fresh_scenes(11, 16)
    found = explain_detections(
        loaded, {"image": detector.to_inputs(np.stack([s.image for s in scenes]))}, threshold=0.5
    )
    inside, chance = [], []
    for detection in found:
        for k, scene in enumerate(scenes):
            if detection.kept[k]:
                overlaps = box_iou(detection.query_box[k, None] * SIZE, torch.from_numpy(scene.boxes).float())
                mask = scene.masks[int(overlaps.argmax())]
                cover = cover_of_mask(mask, (0, 0, 1, 1), (12, 12)).flatten()
                relevancy = detection.relevancy["image"][k].numpy()
                inside.append((relevancy * cover).sum() / relevancy.sum())
                chance.append(mask.mean())
    assert len(inside) > 20
    assert np.mean(inside) > 2 * np.mean(chance)
    assert np.mean(np.greater(inside, chance)) > 0.9
