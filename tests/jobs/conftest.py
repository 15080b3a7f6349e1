"""Tiny models in folders, as timm and open_clip save them, and small folders of pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

CLASSES = ["cat", "dog", "fox"]
VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 3, "num_heads": 2}
CLIP = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 32, "layers": 2, "head_width": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny models are slower on many threads, and other tests run beside these."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def vit(tmp_path_factory: pytest.TempPathFactory) -> str:
    """`--model` of a tiny timm ViT with the classes cat, dog and fox: 4 x 4 tokens."""
    return f"timm:local-dir:{save_vit(tmp_path_factory.mktemp('models') / 'tiny_vit', CLASSES)}"


@pytest.fixture(scope="session")
def nameless_vit(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same without class names."""
    return f"timm:local-dir:{save_vit(tmp_path_factory.mktemp('models') / 'nameless', None)}"


def save_vit(folder: Path, names: list[str] | None) -> Path:
    import timm

    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", pretrained=False, num_classes=len(CLASSES), **VIT)
    folder.mkdir()
    save_file(model.state_dict(), folder / "model.safetensors")
    pretrained = {"input_size": [3, 32, 32], "num_classes": 3, "crop_pct": 1.0, "mean": [0.5] * 3, "std": [0.5] * 3}
    config = {
        "architecture": "vit_tiny_patch16_224",
        "num_classes": 3,
        "model_args": VIT,
        "pretrained_cfg": pretrained | ({"label_names": names} if names else {}),
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """`--model` of a tiny open_clip CLIP: 4 x 4 image tokens, 16 text tokens."""
    import open_clip

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "tiny_clip"
    folder.mkdir()
    preprocess = {"size": 32, "mean": [0.5] * 3, "std": [0.5] * 3}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": CLIP, "preprocess_cfg": preprocess}))
    model = open_clip.CLIP(**CLIP)
    torch.save(model.state_dict(), folder / "open_clip_pytorch_model.bin")
    return f"open_clip:local-dir:{folder}"


def noise(path: Path, seed: int, size: tuple[int, int] = (40, 48)) -> Path:
    """A picture of noise, [height, width] = size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders cat and dog with ten pictures each, dog with a text file named .png besides."""
    root = tmp_path_factory.mktemp("data") / "photos"
    for i in range(10):
        noise(root / f"cat/{i}.png", i), noise(root / f"dog/{i}.png", 100 + i)
    (root / "dog/text.png").write_text("not a picture")
    return root
