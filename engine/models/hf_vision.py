"""transformers: image classifiers with plain global attention."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engine.models.adapter import Adapter, Batch, Inputs, Tower, middle_block
from engine.models.hugging_face import check_attention, under_sdpa
from engine.models.readout import content_after, mean_row, token_row
from engine.models.timm_vit import image_tensor
from engine.models.tokens import TextTokenizer
from engine.targets import Output


@dataclass(frozen=True)
class Layout:
    """Where a class keeps its blocks, and how it reads its tokens out.

    Attributes:
        blocks: path of the list of blocks.
        attention: path of the attention inside a block.
        prefix: tokens before the patches, registers not counted (their number is in the configuration).
        read: positions of the tokens that the classifier reads; None for the mean over the patches; "cls+mean" for the
            CLS token beside that mean; "pooler" for BEiT, whose configuration decides between CLS and mean.
        family, example: as in :class:`Adapter`.
    """

    blocks: str
    attention: str
    prefix: int
    read: tuple[int, ...] | str | None
    family: str = "vit"
    example: str = "hf:google/vit-base-patch16-224"


LAYOUTS = {
    "ViTForImageClassification": Layout("vit.layers", "attention", 1, (0,)),
    "ViTMSNForImageClassification": Layout(
        "vit.layers", "attention", 1, (0,), "vit-msn", "hf:FOLDER of a fine-tuned facebook/vit-msn-base"
    ),
    "IJepaForImageClassification": Layout(
        "ijepa.layers", "attention", 0, None, "ijepa", "hf:FOLDER of a fine-tuned facebook/ijepa_vith14_1k"
    ),
    "DeiTForImageClassification": Layout(
        "deit.layers", "attention", 2, (0,), "deit", "hf:facebook/deit-base-patch16-224"
    ),
    "DeiTForImageClassificationWithTeacher": Layout(
        "deit.layers", "attention", 2, (0, 1), "deit", "hf:facebook/deit-base-distilled-patch16-224"
    ),
    "BeitForImageClassification": Layout(
        "beit.layers", "attention", 1, "pooler", "beit", "hf:microsoft/beit-base-patch16-224"
    ),
    "Dinov2ForImageClassification": Layout(
        "dinov2.encoder.layer", "attention", 1, "cls+mean", "dinov2", "hf:facebook/dinov2-base-imagenet1k-1-layer"
    ),
    "Dinov2WithRegistersForImageClassification": Layout(
        "dinov2_with_registers.encoder.layer", "attention", 1, "cls+mean", "dinov2-registers",
        "hf:facebook/dinov2-with-registers-base-imagenet1k-1-layer",
    ),
    "CLIPForImageClassification": Layout(
        "vision_model.encoder.layers", "self_attn", 1, None, "clip-classifier", "hf:FOLDER of a fine-tuned CLIP"
    ),
    "SiglipForImageClassification": Layout(
        "vision_model.encoder.layers", "self_attn", 0, None, "siglip-classifier", "hf:FOLDER of a fine-tuned SigLIP"
    ),
    "Siglip2ForImageClassification": Layout(
        "vision_model.encoder.layers", "self_attn", 0, None, "siglip2-classifier", "hf:FOLDER of a fine-tuned SigLIP 2"
    ),
}  # fmt: skip


class HFVision(Adapter):
    """Image classifiers of transformers: one line of :data:`LAYOUTS` each."""

    family = "vit"
    library = "transformers"
    description = "ViT, DeiT, BEiT, DINOv2 (registers too), I-JEPA, MSN, CLIP and SigLIP classifiers of transformers"
    example = "hf:google/vit-base-patch16-224"

    def families(self) -> dict[str, str]:
        """One per kind of encoder."""
        return {layout.family: layout.example for layout in LAYOUTS.values()}

    def family_of(self, model: nn.Module) -> str:
        """By class."""
        return _layout(model).family

    def recognises(self, model: nn.Module) -> bool:
        """Classes listed in LAYOUTS."""
        return type(model).__name__ in LAYOUTS

    def check(self, model: nn.Module) -> None:
        """Refuse a layout that this version of the library no longer has."""
        layout = _layout(model)
        check_attention(model, f"{layout.blocks}.0.{layout.attention}")

    def prepare(self, model: nn.Module, inputs: Inputs, tokenizer: TextTokenizer | None) -> Batch:
        """Images [B, 3, H, W]."""
        return {"image": image_tensor(model, inputs)}

    def towers(self, model: nn.Module, batch: Batch) -> tuple[Tower, ...]:
        """One image stream."""
        layout = _layout(model)
        return (hf_image_tower(model, batch["image"], layout),)

    def forward(self, model: nn.Module, batch: Batch) -> Output:
        """Class logits [B, C]."""
        return Output(logits=model(**picture_inputs(model, batch)).logits)

    def layers(self, model: nn.Module) -> dict[str, int]:
        """Number of blocks."""
        return {"image": _depth(model, _layout(model))}

    def scope(self, model: nn.Module) -> AbstractContextManager[None]:
        """Attention through sdpa; an attention pool that the classifier does not read is left out."""
        return _without_idle_pool(model)


@contextmanager
def _without_idle_pool(model: nn.Module) -> Iterator[None]:
    tower: Any = getattr(model, "vision_model", None)
    idle = getattr(tower, "use_head", False) is True
    try:
        if idle:
            tower.use_head = False
        with under_sdpa(model):
            yield
    finally:
        if idle:
            tower.use_head = True


def picture_inputs(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """The images as the class wants them: pixels, or for SigLIP 2 patches [B, N, p * p * 3] with their shape [B, 2]."""
    images = batch["image"]
    if not type(model).__name__.startswith("Siglip2"):
        return {"pixel_values": images}
    patch, (count, channels, height, width) = _patch_size(model), images.shape
    rows, columns = height // patch, width // patch
    cells = images[..., : rows * patch, : columns * patch].reshape(count, channels, rows, patch, columns, patch)
    shapes = torch.tensor([[rows, columns]], device=images.device).expand(count, 2)
    return {
        "pixel_values": cells.permute(0, 2, 4, 3, 5, 1).reshape(count, rows * columns, -1),
        "pixel_attention_mask": images.new_ones(count, rows * columns, dtype=torch.long),
        "spatial_shapes": shapes,
    }


def hf_image_tower(model: nn.Module, images: Tensor, layout: Layout, pool: str | None = None) -> Tower:
    """Describe an image stream of a transformers model; ``pool`` is the path of an attention pool, if any."""
    depth, patch, prefix = _depth(model, layout), _patch_size(model), _prefix(model, layout)
    grid = (images.shape[-2] // patch, images.shape[-1] // patch)
    batch, tokens = len(images), prefix + grid[0] * grid[1]
    if pool is not None:
        start = token_row(batch, 1, (0,), images)
    else:
        start = _start_row(_read_out(model, layout), batch, tokens, prefix, images)
    return Tower(
        modality="image",
        layers=tuple(f"{layout.blocks}.{i}.{layout.attention}" for i in range(depth)),
        states=f"{layout.blocks}.{depth - 1}",
        start=start,
        content=content_after(batch, tokens, prefix, images.device),
        prefix=prefix,
        grid=grid,
        pool=pool,
        middle=middle_block(layout.blocks, depth),
    )


def _start_row(read: tuple[int, ...] | str | None, batch: int, tokens: int, prefix: int, like: Tensor) -> Tensor:
    if read is None:
        return mean_row(batch, tokens, prefix, like)
    if isinstance(read, str):
        return (token_row(batch, tokens, (0,), like) + mean_row(batch, tokens, prefix, like)) / 2
    return token_row(batch, tokens, read, like)


def _read_out(model: nn.Module, layout: Layout) -> tuple[int, ...] | str | None:
    if layout.read != "pooler":
        return layout.read
    config: Any = model.config
    return None if config.use_mean_pooling else (0,)


def _prefix(model: nn.Module, layout: Layout) -> int:
    return layout.prefix + int(getattr(model.config, "num_register_tokens", 0))


def _layout(model: nn.Module) -> Layout:
    return LAYOUTS[type(model).__name__]


def _depth(model: nn.Module, layout: Layout) -> int:
    return len(list(model.get_submodule(layout.blocks).children()))


def _patch_size(model: nn.Module) -> int:
    config: Any = model.config
    return int(getattr(config, "vision_config", config).patch_size)
