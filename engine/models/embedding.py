"""Pictures and texts as unit vectors of an image-text model, each through its own tower."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from engine.models.loading import LoadedModel
from engine.models.pairs import PairAdapter
from engine.models.questions import check_ids
from engine.models.timm_vit import image_tensor


@torch.no_grad()
def embed_pictures(loaded: LoadedModel, pictures: Sequence[Image.Image], batch_size: int = 32) -> Tensor:
    """Unit vectors of RGB pictures, float32 [B, D] on the CPU.

    Raises:
        UnsupportedModel: the model does not embed pictures alone.
    """
    found = []
    for start in range(0, len(pictures), batch_size):
        assert loaded.preprocess is not None
        inputs = torch.stack([loaded.preprocess(picture) for picture in pictures[start : start + batch_size]])
        batch = {"image": image_tensor(loaded.model, inputs)}
        found.append(loaded.adapter.embed_images(loaded.model, batch).float().cpu())
    return torch.cat(found)


def embed_words(loaded: LoadedModel, texts: Sequence[str], batch_size: int = 32) -> Tensor:
    """Unit vectors of texts, float32 [B, D] on the CPU, comparable with those of pictures.

    Raises:
        UnsupportedModel: the model does not embed texts alone.
    """
    return encode_words(loaded, texts, batch_size).float().cpu()


@torch.no_grad()
def encode_words(loaded: LoadedModel, texts: Sequence[str], batch_size: int = 32) -> Tensor:
    """As :func:`embed_words`, in the model's own type and where the model is."""
    device, found = next(loaded.model.parameters()).device, []
    for start in range(0, len(texts), batch_size):
        assert loaded.tokenizer is not None
        ids = loaded.tokenizer(texts[start : start + batch_size]).to(device)
        check_ids(ids, loaded.adapter.text_limits(loaded.model))
        batch = loaded.adapter.shortened(loaded.model, {"text": ids})
        found.append(loaded.adapter.embed_texts(loaded.model, batch))
    return torch.cat(found)


@torch.no_grad()
def encode_images(loaded: LoadedModel, images: Tensor, batch_size: int = 64) -> Tensor:
    """Unit vectors [B, D] of model inputs [B, 3, H, W], in the model's precision and where the model is."""
    found = []
    for start in range(0, len(images), batch_size):
        batch = two_towers(loaded).prepare_images(loaded.model, images[start : start + batch_size])
        with loaded.autocast():
            found.append(loaded.adapter.embed_images(loaded.model, batch))
    return torch.cat(found)


@torch.no_grad()
def encode_texts(loaded: LoadedModel, texts: Sequence[str], batch_size: int = 64) -> Tensor:
    """Unit vectors [B, D] of texts, in the model's precision and where the model is."""
    found = []
    for start in range(0, len(texts), batch_size):
        chunk = list(texts[start : start + batch_size])
        batch = two_towers(loaded).prepare_texts(loaded.model, chunk, loaded.tokenizer)
        batch = loaded.adapter.shortened(loaded.model, batch)
        with loaded.autocast():
            found.append(loaded.adapter.embed_texts(loaded.model, batch))
    return torch.cat(found)


def two_towers(loaded: LoadedModel) -> PairAdapter:
    """The adapter of a model with a tower each for pictures and texts."""
    assert isinstance(loaded.adapter, PairAdapter)
    return loaded.adapter
