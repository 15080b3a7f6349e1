"""Readers of public annotations, on small files in the real formats, through to a manifest that a run can read."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from PIL import Image
from pycocotools import mask as rle

from jobs.errors import JobError
from jobs.pictures import decode_mask
from jobs.readers import read_dataset
from jobs.readers.annotations.command import KINDS, write_manifest
from jobs.readers.annotations.masks import VOID, read_void_mask

SIZE = (30, 40)  # rows, columns


def picture(path, size=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)).save(path)
    return path


def rectangle(x0, y0, x1, y1, size=SIZE):
    mask = np.zeros(size, bool)
    mask[y0:y1, x0:x1] = True
    return mask


def polygon(x0, y0, x1, y1):
    return [[x0, y0, x1, y0, x1, y1, x0, y1]]


def counts(mask):
    """Uncompressed run lengths, down the columns, beginning with background."""
    flat, runs, value = mask.T.ravel().tolist(), [0], False
    for pixel in flat:
        if pixel != value:
            runs.append(0)
            value = pixel
        runs[-1] += 1
    return {"size": list(mask.shape), "counts": runs}


def rows_of(path):
    """The rows of a manifest; empty cells of a CSV are none."""
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    return pa_csv.read_csv(path, convert_options=pa_csv.ConvertOptions(strings_can_be_null=True)).to_pylist()


@pytest.fixture
def coco(tmp_path):
    """Two annotated pictures and an empty one: polygons, a crowd as run lengths, a compressed RLE."""
    folder = tmp_path / "val2017"
    for number in (1, 2, 3):
        picture(folder / f"{number:012d}.png")
    compressed = rle.encode(np.asfortranarray(rectangle(0, 0, 5, 5).astype(np.uint8)))
    compressed["counts"] = compressed["counts"].decode()
    content = {
        "images": [
            {"id": n, "file_name": f"{n:012d}.png", "height": SIZE[0], "width": SIZE[1]} for n in (1, 2, 3)
        ],
        "categories": [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}],
        "annotations": [
            {"id": 0, "image_id": 1, "category_id": 18, "bbox": [10, 5, 20, 10], "area": 200, "iscrowd": 0,
             "segmentation": polygon(10, 5, 30, 15)},
            {"id": 1, "image_id": 1, "category_id": 18, "bbox": [0, 20, 40, 10], "area": 400, "iscrowd": 1,
             "segmentation": counts(rectangle(0, 20, 40, 30))},
            {"id": 2, "image_id": 2, "category_id": 18, "bbox": [10, 5, 20, 10], "area": 200, "iscrowd": 0,
             "segmentation": polygon(10, 5, 30, 15)},
            {"id": 3, "image_id": 2, "category_id": 1, "bbox": [0, 0, 5, 5], "area": 25, "iscrowd": 0,
             "segmentation": compressed},
        ],
    }  # fmt: skip
    file = tmp_path / "instances_val2017.json"
    file.write_text(json.dumps(content))
    return file, folder, content


def test_coco_pictures_with_boxes_and_masks(coco, tmp_path):
    file, folder, _ = coco
    told = write_manifest("coco", [file, folder], tmp_path / "coco.parquet")
    first, second, third = rows_of(tmp_path / "coco.parquet")
    assert told["rows"] == 3 and told["masks"] == 2 and told["masks_empty"] == 1 and told["notes"] == []
    assert first["image"] == "val2017/000000000001.png" and first["label"] == "dog"
    assert json.loads(first["boxes"]) == [[10, 5, 30, 15]]  # the crowd is no object
    assert second["label"] is None and json.loads(second["categories"]) == ["dog", "person"]
    assert third["mask"] is None and third["boxes"] is None and third["mask_void"] is None
    on_object, void = read_void_mask(tmp_path / first["mask"], first["mask_void"])
    assert (on_object == rectangle(10, 5, 30, 15)).all() and (void == rectangle(0, 20, 40, 30)).all()
    on_object, _ = read_void_mask(tmp_path / second["mask"], VOID)
    assert (on_object == rectangle(10, 5, 30, 15) | rectangle(0, 0, 5, 5)).all()


def test_coco_a_row_per_category_for_image_text_models(coco, tmp_path):
    file, folder, _ = coco
    told = write_manifest("coco-categories", [file, folder], tmp_path / "pairs.csv")
    found = {(row["image_id"], row["text"]): row for row in rows_of(tmp_path / "pairs.csv")}
    assert set(found) == {(1, "dog"), (2, "person"), (2, "dog")}
    assert told["skipped"] == {"picture without objects": 1}
    assert (decode_mask(tmp_path / found[2, "person"]["mask"]) == rectangle(0, 0, 5, 5)).all()
    assert read_dataset(str(tmp_path / "pairs.csv")).problems == {}  # one picture twice, with another text


def test_the_manifest_is_one_that_a_run_reads(coco, tmp_path):
    file, folder, _ = coco
    for name in ("a.parquet", "a.csv", "a.tsv", "a.jsonl"):
        write_manifest("coco", [file, folder], tmp_path / name)
        dataset = read_dataset(str(tmp_path / name))
        assert len(dataset) == 3 and dataset.problems == {}
        assert dataset.mask.null_count == dataset.boxes.null_count == 1
        assert dataset.metadata["image_id"].to_pylist() == [1, 2, 3]
        assert dataset.metadata["mask_void"].to_pylist() == [VOID, VOID, None]


def test_coco_captions(tmp_path):
    picture(tmp_path / "images" / "a.jpg")
    captions = [
        {"image_id": 1, "caption": "A dog\n on a mat. "},
        {"image_id": 1, "caption": "Dog"},
        {"image_id": 9, "caption": "?"},
    ]
    (tmp_path / "c.json").write_text(json.dumps({"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": captions}))
    told = write_manifest("coco-captions", [tmp_path / "c.json", tmp_path / "images"], tmp_path / "c.csv")
    assert [row["text"] for row in rows_of(tmp_path / "c.csv")] == ["A dog on a mat.", "Dog"]
    assert told["skipped"] == {"its picture is not listed": 1}


VOC_XML = """<annotation><filename>{name}.jpg</filename>{objects}</annotation>"""
VOC_OBJECT = (
    "<object><name>{}</name><difficult>0</difficult><bndbox><xmax>{}</xmax><xmin>{}</xmin><ymax>{}</ymax>"
    "<ymin>{}</ymin></bndbox><part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax>"
    "</bndbox></part></object>"
)


@pytest.fixture
def voc(tmp_path):
    """Three pictures, two of them segmented, with palette PNGs and their outlines at 255."""
    root = tmp_path / "VOC2012"
    for folder in ("Annotations", "SegmentationClass", "ImageSets/Segmentation", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for name, kinds in {"2007_000001": ["cat"], "2007_000002": ["cat", "dog"], "2007_000003": ["dog"]}.items():
        picture(root / "JPEGImages" / f"{name}.jpg")
        objects = "".join(VOC_OBJECT.format(kind, 20, 11, 15, 6) for kind in kinds)
        (root / "Annotations" / f"{name}.xml").write_text(VOC_XML.format(name=name, objects=objects))
    for name in ("2007_000001", "2007_000002"):
        values = np.where(rectangle(10, 5, 20, 15), 8, np.where(rectangle(9, 4, 21, 16), 255, 0)).astype(np.uint8)
        mask = Image.fromarray(values, "P")
        mask.putpalette([i % 256 for i in range(768)])
        mask.save(root / "SegmentationClass" / f"{name}.png")
    (root / "ImageSets/Segmentation/val.txt").write_text("2007_000001\n2007_000002\n2007_000009\n")
    (root / "ImageSets/Main/cat_val.txt").write_text("2007_000001  1\n2007_000003 -1\n")
    return root


def test_voc_boxes_count_from_zero_and_outlines_are_void(voc, tmp_path):
    told = write_manifest("voc", [voc, "val"], tmp_path / "voc.parquet")
    first, second = rows_of(tmp_path / "voc.parquet")
    assert told["skipped"] == {"no picture": 1}
    assert first["label"] == "cat" and second["label"] is None
    assert json.loads(first["boxes"]) == [[10, 5, 20, 15]]
    on_object, void = read_void_mask(tmp_path / first["mask"], first["mask_void"])
    assert (on_object == rectangle(10, 5, 20, 15)).all()
    assert (void == rectangle(9, 4, 21, 16) & ~on_object).all()
    assert (decode_mask(tmp_path / first["mask"]) == on_object).all()  # for a run, void is not the object


def test_voc_without_a_split_and_with_the_list_of_a_class(voc, tmp_path):
    assert write_manifest("voc", [voc], tmp_path / "all.csv")["rows"] == 3
    write_manifest("voc", [voc, "cat_val"], tmp_path / "cats.csv")
    assert [row["mask"] is None for row in rows_of(tmp_path / "cats.csv")] == [False, True]


def test_imagenet_s_numbers_are_red_and_256_green(tmp_path):
    images, masks = tmp_path / "validation", tmp_path / "validation-segmentation"
    for name in ("n01440764/a", "n01440764/b", "n01443537/c"):
        picture(images / f"{name}.JPEG")
    numbers = np.where(rectangle(0, 0, 10, 10), 700, np.where(rectangle(0, 20, 40, 30), 1000, 0))
    for name, values in {
        "n01440764/a": numbers,
        "n01443537/c": np.where(numbers == 700, 0, numbers),
        "n9/z": numbers,
    }.items():
        colours = np.stack([values % 256, values // 256, np.zeros_like(values)], axis=2).astype(np.uint8)
        (masks / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(colours).save(masks / f"{name}.png")
    told = write_manifest("imagenet-s", [images, masks], tmp_path / "s.parquet")
    first, second = rows_of(tmp_path / "s.parquet")
    assert told["skipped"] == {"mask without a picture": 1} and told["masks_empty"] == 1
    assert first["label"] == "n01440764" and json.loads(first["mask_classes"]) == [700]
    on_object, void = read_void_mask(tmp_path / first["mask"], first["mask_void"])
    assert (on_object == rectangle(0, 0, 10, 10)).all() and (void == rectangle(0, 20, 40, 30)).all()
    assert second["mask"] is None  # nothing but void: no object to find


def test_folders_of_masks_are_used_where_they_lie(tmp_path):
    for name in ("cat/1", "cat/2"):
        picture(tmp_path / "images" / f"{name}.jpg")
    (tmp_path / "masks" / "cat").mkdir(parents=True)
    Image.fromarray(rectangle(1, 1, 9, 9).astype(np.uint8)).save(tmp_path / "masks" / "cat" / "1.png")
    told = write_manifest("masks", [tmp_path / "images", tmp_path / "masks"], tmp_path / "m.csv")
    first, second = rows_of(tmp_path / "m.csv")
    assert (first["mask"], first["label"], second["mask"]) == ("masks/cat/1.png", "cat", None)
    assert told["skipped"] == {"picture without a mask (kept)": 1} and told["masks"] == 0
    assert (decode_mask(tmp_path / first["mask"]) == rectangle(1, 1, 9, 9)).all()


def test_segmented_imagenet_of_the_authors(tmp_path):
    shapes = [(30, 40), (20, 25)]
    with h5py.File(tmp_path / "gtsegs_ijcv.mat", "w") as file:
        references = {"img": [], "gt": []}
        for number, size in enumerate(shapes):
            colours = np.random.default_rng(number).integers(0, 255, (*size, 3), np.uint8)
            mask = rectangle(2, 3, 12, 10, size).astype(np.uint8)
            one = file.create_dataset(f"refs/img{number}", data=colours.transpose(2, 1, 0))
            two = file.create_dataset(f"refs/gt{number}", data=mask.T)
            cell = file.create_dataset(f"refs/cell{number}", (1, 1), h5py.ref_dtype)
            cell[0, 0] = two.ref
            references["img"].append(one.ref)
            references["gt"].append(cell.ref)
        for name, refs in references.items():
            column = file.create_dataset(f"value/{name}", (len(refs), 1), h5py.ref_dtype)
            for row, ref in enumerate(refs):
                column[row, 0] = ref
    write_manifest("imagenet-segmentation", [tmp_path / "gtsegs_ijcv.mat"], tmp_path / "seg.parquet")
    rows = rows_of(tmp_path / "seg.parquet")
    for number, (row, size) in enumerate(zip(rows, shapes, strict=True)):
        colours = np.random.default_rng(number).integers(0, 255, (*size, 3), np.uint8)
        assert (np.asarray(Image.open(tmp_path / row["image"])) == colours).all()
        assert (decode_mask(tmp_path / row["mask"]) == rectangle(2, 3, 12, 10, size)).all()


@pytest.mark.parametrize(("name", "content"), [
    ("results_20130124.token", "a.jpg#0\tTwo dogs, \"playing\" .\na.jpg#1\tDogs\n\nb.jpg#0\tA cat\n"),
    ("results.csv", 'image_name| comment_number| comment\na.jpg| 0| Two dogs, "playing" .\na.jpg| 1| Dogs\n'
     "b.jpg| 0| A cat\n"),
    ("captions.txt.csv", 'image,caption\na.jpg,"Two dogs, ""playing"" ."\na.jpg,Dogs\nb.jpg,A cat\n'),
])  # fmt: skip
def test_flickr_captions(tmp_path, name, content):
    for image in ("a", "b"):
        picture(tmp_path / "flickr30k-images" / f"{image}.jpg")
    (tmp_path / name).write_text(content)
    told = write_manifest("flickr30k", [tmp_path / name, tmp_path / "flickr30k-images"], tmp_path / "f.parquet")
    assert told["columns"] == ["image", "text", "caption"]
    assert [(r["image"], r["text"], r["caption"]) for r in rows_of(tmp_path / "f.parquet")] == [
        ("flickr30k-images/a.jpg", 'Two dogs, "playing" .', 0),
        ("flickr30k-images/a.jpg", "Dogs", 1),
        ("flickr30k-images/b.jpg", "A cat", 0),
    ]


def test_every_kind_is_listed_with_its_paths(tmp_path):
    for kind, entry in KINDS.items():
        with pytest.raises(JobError, match=f"annotations {kind} takes .*, not 9 paths"):
            write_manifest(kind, ["x"] * 9, tmp_path / "out.csv")
        assert entry.about and entry.paths


def broken(change):
    def edit(file, content):
        change(content)
        file.write_text(json.dumps(content))

    return edit


WRONG = {
    "is not readable JSON": lambda file, content: file.write_text("{'a': 1}"),
    r"has no 'annotations'; did you mean 'anotations'\?": broken(lambda c: c.update(anotations=c.pop("annotations"))),
    "'images' is empty": broken(lambda c: c.update(images=[])),
    "an instance has no 'bbox'": broken(lambda c: c["annotations"][0].pop("bbox")),
    "category 77, which is not listed": broken(lambda c: c["annotations"][0].update(category_id=77)),
    "neither polygons nor run lengths": broken(lambda c: c["annotations"][0].update(segmentation={"size": 3})),
    "a segmentation is of size": broken(lambda c: c["annotations"][1]["segmentation"].update(size=[5, 5])),
    r"a bbox is not \[x, y, width, height\]": broken(lambda c: c["annotations"][0].update(bbox=[1, 2])),
    "none of the first 3 pictures": broken(lambda c: [i.update(file_name=f"x{i['id']}.png") for i in c["images"]]),
    "is no JSON object": broken(lambda c: c["images"].append(3)),
}


@pytest.mark.parametrize("message", WRONG)
def test_broken_annotations_are_one_clear_line(coco, tmp_path, message):
    file, folder, content = coco
    WRONG[message](file, content)
    with pytest.raises(JobError, match=message) as caught:
        write_manifest("coco", [file, folder], tmp_path / "out.csv")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.csv").exists()


def test_wrong_names_come_with_the_nearest(coco, voc, tmp_path):
    file, folder, _ = coco
    out = tmp_path / "out.csv"
    for kind, paths, target, message in [
        ("cocco", [file, folder], out, "did you mean coco"),
        ("coco", [file.with_name("instances_val2014.json"), folder], out, "did you mean .*instances_val2017.json"),
        ("coco", [file, tmp_path / "val2071"], out, "did you mean .*val2017"),
        ("coco", [folder, folder], out, "is a folder, expected a file"),
        ("coco", [tmp_path / "no" / "x.json", folder], out, "there is no folder"),
        ("coco", [file, folder], tmp_path / "out.xlsx", "unknown format of a manifest"),
        ("voc", [voc, "vall"], out, "unknown split 'vall'; did you mean val"),
        ("voc", [voc / "Annotations"], out, "JPEGImages does not exist"),
        ("masks", [folder, voc / "SegmentationClass"], out, "no mask has the name of a picture"),
        ("imagenet-s", [folder, folder.parent / "val2017"], out, None),
    ]:
        if message is not None:
            with pytest.raises(JobError, match=message):
                write_manifest(kind, paths, target)


def test_pictures_elsewhere_are_named_whole_with_a_note(coco, tmp_path):
    file, folder, _ = coco
    told = write_manifest("coco", [file, folder], tmp_path / "deep" / "out.csv")
    assert rows_of(tmp_path / "deep" / "out.csv")[0]["image"] == str(folder / "000000000001.png")
    assert f"run with --allow-outside {folder}" in told["notes"][0]
    with pytest.raises(JobError, match=f"--allow-outside {folder} lets them be read"):
        read_dataset(str(tmp_path / "deep" / "out.csv"))
    assert len(read_dataset(str(tmp_path / "deep" / "out.csv"), [str(folder)])) == 3
