"""Models load by the names users type, from each library's own folder format; what does not fit is named."""

from __future__ import annotations

import json

import model_folders
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from engine import EngineError, explain, explain_detections, list_methods, list_models, load_model

NAMES = ["boat", "house", "tree"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {
        "timm": model_folders.timm_folder(root / "timm", NAMES),
        "open_clip": model_folders.open_clip_folder(root / "open_clip"),
        "hf_vit": model_folders.hf_vit_folder(root / "hf_vit", NAMES),
        "hf_clip": model_folders.hf_clip_folder(root / "hf_clip"),
    }


@pytest.mark.parametrize(
    ("key", "prefix", "library"),
    [
        ("timm", "timm:local-dir:", "timm"),
        ("timm", "timm:", "timm"),
        ("timm", "", "timm"),
        ("hf_vit", "hf:", "transformers"),
        ("hf_vit", "", "transformers"),
    ],
)
def test_classifier_folders(folders, key, prefix, library):
    loaded = load_model(f"{prefix}{folders[key]}")
    assert loaded.class_names == NAMES
    assert loaded.num_classes == 3
    assert loaded.modalities == ("image",)
    assert loaded.layers == {"image": 2}
    assert loaded.default_start_layer == 0
    card = loaded.card()
    assert card["library"] == library
    assert card["grid"] == [4, 4]
    assert json.loads(json.dumps(card)) == card
    image = loaded.preprocess(Image.new("RGB", (50, 40), "teal"))
    assert image.shape == (3, 32, 32)
    explanation = explain(loaded, image[None], target="class:tree")
    assert explanation.relevancy["image"].shape == (1, 16)
    assert explanation.target_index.tolist() == [2]


@pytest.mark.parametrize(
    ("key", "prefix"), [("open_clip", "open_clip:local-dir:"), ("open_clip", ""), ("hf_clip", "hf:"), ("hf_clip", "")]
)
def test_pair_folders(folders, key, prefix):
    loaded = load_model(f"{prefix}{folders[key]}")
    assert loaded.modalities == ("image", "text")
    assert loaded.num_classes is None
    assert loaded.default_start_layer == -1
    image = loaded.preprocess(Image.new("RGB", (50, 40), "teal"))[None]
    texts = ["a red boat on the sea", "two"]
    explanation = explain(loaded, {"image": image.expand(2, -1, -1, -1), "text": texts})
    assert explanation.tokens[0][1:7] == ["a", "red", "boat", "on", "the", "sea"]
    assert explanation.tokens[1] == ["", "two"] + [""] * 7
    assert (explanation.relevancy["text"][1, 2:] == 0).all()
    assert loaded.tokenizer.truncated(["a", "a a a a a a a a"]) == [False, True]
    assert json.dumps(loaded.card())


def test_text_classifier_folder(tmp_path):
    loaded = load_model(str(model_folders.bert_folder(tmp_path, ["bad", "good"])))
    assert (loaded.task, loaded.modalities, loaded.preprocess, loaded.grid) == ("classify", ("text",), None, None)
    assert (loaded.class_names, loaded.num_classes) == (["bad", "good"], 2)
    assert loaded.tokenizer.context == 12
    assert loaded.tokenizer.truncated(["not good", "not " * 11]) == [False, True]
    card = loaded.card()
    assert (card["grid"], card["image_size"], card["text_limit"], card["task"]) == (None, None, 12, "classify")
    assert json.loads(json.dumps(card)) == card
    explanation = explain(loaded, {"text": ["not a good film", "bad"]}, target="class:bad")
    assert explanation.tokens == [["", "not", "a", "good", "film", ""], ["", "bad", "", "", "", ""]]
    assert (explanation.relevancy["text"][1, 2:] == 0).all()
    assert explanation.target_index.tolist() == [0, 0]


@pytest.mark.parametrize("build", [model_folders.visual_bert_folder, model_folders.lxmert_folder])
def test_region_model_folders(tmp_path, build):
    loaded = load_model(str(build(tmp_path)))
    assert (loaded.task, loaded.reads_regions, loaded.region_width) == ("answer", True, 10)
    assert (loaded.preprocess, loaded.grid) == (None, None)
    assert (loaded.class_names, loaded.num_classes) == (model_folders.ANSWERS, 6)
    card = loaded.card()
    assert (card["reads_regions"], card["region_width"], card["preprocess"]) == (True, 10, None)
    assert json.loads(json.dumps(card)) == card
    boxes = torch.tensor([0.1, 0.2, 0.5, 0.9]).expand(1, 4, 4)
    inputs = {"text": ["what is on the boat?"], "features": torch.randn(1, 4, 10), "boxes": boxes}
    explanation = explain(loaded, inputs, target="answer")
    assert explanation.relevancy["image"].shape == (1, 4)
    assert explanation.relevancy["text"].shape == (1, 8)
    assert explanation.tokens[0] == ["", "what", "is", "on", "the", "boat", "?", ""]


def test_detector_folder(tmp_path):
    loaded = load_model(str(model_folders.detr_folder(tmp_path)))
    assert (loaded.task, loaded.num_classes, loaded.class_names) == ("detect", 3, ["boat", "house", "tree"])
    assert (loaded.preprocess.size, loaded.preprocess.stride, loaded.preprocess.varies) == ((64, 64), 32, True)
    assert loaded.grid == (2, 2)
    assert json.loads(json.dumps(loaded.card())) == loaded.card()
    picture = loaded.preprocess(Image.new("RGB", (90, 60), "teal"))
    assert picture.shape == (3, 64, 96)
    assert loaded.preprocess(Image.new("RGB", (50, 400), "teal")).shape == (3, 128, 16)
    assert loaded.preprocess.view(90, 60) == (0, 0, 1, 1)
    assert loaded.preprocess.view(60, 70) == pytest.approx((0, 0, 1, 96 / 74))


def test_the_stride_is_measured(tmp_path):
    folder = model_folders.detr_folder(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["backbone_config"] |= {"out_features": ["stage3"], "out_indices": [3]}
    (folder / "config.json").write_text(json.dumps(config))
    assert load_model(str(folder)).preprocess.stride == 16


@pytest.mark.parametrize("build", [model_folders.bert_folder, model_folders.visual_bert_folder])
def test_a_tokenizer_of_another_model_is_refused(tmp_path, build):
    folder = build(tmp_path)
    words = [*model_folders.QUESTION_WORDS, "bird", "fish"]
    model_folders.word_tokenizer(words=words).save_pretrained(folder)
    with pytest.raises(EngineError, match=r"does not belong to its model: it has 32 tokens, the model's vocabulary 30"):
        load_model(str(folder))


def test_checkpoint_replaces_the_weights(folders, tmp_path):
    weights = load_file(folders["timm"] / "model.safetensors")
    weights["head.bias"] = torch.tensor([0.0, 9.0, 0.0])
    save_file(weights, tmp_path / "best.safetensors")
    torch.save({"state_dict": {f"module.{k}": v for k, v in weights.items()}}, tmp_path / "best.pt")
    for file in ("best.safetensors", "best.pt"):
        loaded = load_model(f"timm:{folders['timm']}", checkpoint=tmp_path / file)
        assert loaded.model.head.bias.tolist() == [0, 9, 0]


def test_fine_tuned_checkpoint_brings_its_own_classes(tmp_path):
    import timm

    save_file(timm.create_model("vit_tiny_patch16_224", num_classes=7).state_dict(), tmp_path / "w.safetensors")
    loaded = load_model("timm:vit_tiny_patch16_224", checkpoint=tmp_path / "w.safetensors")
    assert loaded.num_classes == 7
    assert loaded.class_names is None


class TestCheckpointsThatDoNotFit:
    def check(self, folders, path, message):
        with pytest.raises(EngineError, match=message) as caught:
            load_model(f"timm:{folders['timm']}", checkpoint=path)
        assert "\n" not in str(caught.value)

    def test_other_shape_names_the_tensor(self, folders, tmp_path):
        weights = load_file(folders["timm"] / "model.safetensors")
        weights["blocks.1.attn.qkv.weight"] = torch.zeros(3, 4)
        save_file(weights, tmp_path / "w.safetensors")
        self.check(
            folders,
            tmp_path / "w.safetensors",
            r"tensor 'blocks\.1\.attn\.qkv\.weight' is \(3, 4\) in the file and \(72, 24\) in the model",
        )

    def test_missing_and_unknown_tensors(self, folders, tmp_path):
        weights = load_file(folders["timm"] / "model.safetensors")
        save_file({k: v for k, v in weights.items() if k != "norm.bias"}, tmp_path / "less.safetensors")
        save_file({**weights, "extra": torch.zeros(1)}, tmp_path / "more.safetensors")
        self.check(folders, tmp_path / "less.safetensors", "lacks tensor 'norm.bias'")
        self.check(folders, tmp_path / "more.safetensors", "unknown tensor 'extra'")

    def test_missing_broken_and_empty_files(self, folders, tmp_path):
        self.check(folders, tmp_path / "none.pt", "checkpoint not found")
        for name in ("junk.safetensors", "junk.pt"):
            (tmp_path / name).write_bytes(b"not a checkpoint at all")
            self.check(folders, tmp_path / name, "cannot read checkpoint")
        torch.save([1, 2], tmp_path / "list.pt")
        self.check(folders, tmp_path / "list.pt", "holds no tensors by name")

    def test_pickled_code_is_not_run(self, folders, tmp_path):
        class Bomb:
            def __reduce__(self):
                return (open, (str(tmp_path / "ran"), "w"))

        torch.save({"w": Bomb()}, tmp_path / "bomb.pt")
        self.check(folders, tmp_path / "bomb.pt", "cannot read checkpoint")
        assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm:vit_base_patch16_22", "did you mean 'vit_base_patch16_224'"),
        ("vit_base_patch16_224", "did you mean 'timm:vit_base_patch16_224'"),
        ("tim:vit_base_patch16_224", "did you mean 'timm'"),
        ("timm:", "a name must follow the colon"),
        ("timm:local-dir:/no/such/folder", "model folder not found"),
        ("timm:resnet18", "ResNet is not supported"),
        ("open_clip:ViT-B-3", "did you mean 'ViT-B-32'"),
        ("open_clip:ViT-B-32", "name a tag"),
        ("open_clip:ViT-B-32/laion2b", "did you mean"),
    ],
)
def test_wrong_names(name, message):
    with pytest.raises(EngineError, match=message) as caught:
        load_model(name)
    assert "\n" not in str(caught.value)


def test_folders_that_are_no_models(tmp_path):
    with pytest.raises(EngineError, match="is not a model: it has neither"):
        load_model(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(EngineError, match="names neither 'architecture'"):
        load_model(str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(EngineError, match="not valid JSON"):
        load_model(str(tmp_path))


def test_unknown_device_and_precision(folders):
    with pytest.raises(EngineError, match="device 'nonsense' cannot be used"):
        load_model(str(folders["timm"]), device="nonsense")
    with pytest.raises(EngineError, match="unknown precision 'fp8'"):
        load_model(str(folders["timm"]), precision="fp8")


FAMILIES = {f"{row['library']}/{row['family']}": row for row in list_models()}


def test_every_family_has_a_folder_to_try():
    assert model_folders.FOLDERS.keys() == FAMILIES.keys()


@pytest.mark.parametrize("key", model_folders.FOLDERS)
def test_every_family_loads_from_its_library_s_own_folder_and_is_explained(key, tmp_path):
    row, loaded = FAMILIES[key], load_model(str(model_folders.FOLDERS[key](tmp_path / "model")))
    assert (loaded.family, loaded.adapter.library, loaded.task) == (row["family"], row["library"], row["task"])
    assert list(loaded.modalities) == row["modalities"] and loaded.reads_regions == row["reads_regions"]
    assert json.loads(json.dumps(loaded.card())) == loaded.card()
    inputs = {}
    if loaded.preprocess is not None:
        pixels = np.random.default_rng(0).integers(0, 255, (48, 60, 3), dtype=np.uint8)
        inputs["image"] = loaded.preprocess(Image.fromarray(pixels))[None]
    if loaded.reads_regions:
        inputs |= {"features": torch.randn(1, 4, loaded.region_width), "boxes": torch.rand(1, 4, 4)}
    if "text" in loaded.modalities:
        inputs["text"] = ["the red boat on the sea"]
    if loaded.task == "detect":
        explanation = explain_detections(loaded, inputs, threshold=0.0)[0]
    else:
        explanation = explain(loaded, inputs, start_layer=loaded.default_start_layer)
    assert set(explanation.relevancy) == set(loaded.modalities)
    for relevancy in explanation.relevancy.values():
        assert relevancy.isfinite().all() and (relevancy != 0).any()
    if "image" in inputs:
        rows, columns = explanation.grid
        assert explanation.relevancy["image"].shape == (1, rows * columns)
        if not loaded.preprocess.varies:
            assert explanation.grid == loaded.grid
    if "text" in loaded.modalities:
        assert "boat" in explanation.tokens[0]
    if loaded.num_classes is not None:
        assert loaded.class_names is None or len(loaded.class_names) == loaded.num_classes


def test_lists_name_everything():
    assert {m["name"] for m in list_methods()} >= {"gae", "raw_attention", "rollout", "grad_cam", "random"}
    assert {m["library"] for m in list_models()} == {"timm", "open_clip", "transformers"}


@pytest.mark.parametrize("row", [r for r in list_models() if r["library"] != "transformers"], ids=lambda r: r["name"])
def test_examples_are_names_that_the_libraries_know(row):
    import open_clip
    import timm

    _, _, name = row["name"].partition(":")
    if row["library"] == "timm":
        assert timm.is_model(name) and timm.is_model_pretrained(name)
    else:
        architecture, _, tag = name.partition("/")
        assert tag in open_clip.list_pretrained_tags_by_model(architecture)
