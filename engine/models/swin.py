"""Swin transformers of timm and transformers: attention in shifted windows, patches merged between stages."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from timm.models.swin_transformer import SwinTransformer
from timm.models.swin_transformer_v2 import SwinTransformerV2
from torch import Tensor, nn

from engine.errors import UnsupportedModel
from engine.models.adapter import Adapter, Batch, Inputs
from engine.models.hugging_face import under_sdpa
from engine.models.readout import mean_row
from engine.models.timm_vit import image_tensor
from engine.models.tokens import TextTokenizer
from engine.models.windows import Grid, Windows, WindowTower
from engine.targets import Output


class TimmSwin(Adapter):
    """``SwinTransformer`` and ``SwinTransformerV2`` of timm; the map lies on the first stage's grid."""

    family = "swin"
    library = "timm"
    description = "Swin and Swin V2 classifiers of timm; the map has the resolution of the first stage"
    example = "timm:swin_tiny_patch4_window7_224"

    def recognises(self, model: nn.Module) -> bool:
        """SwinTransformer, SwinTransformerV2."""
        return isinstance(model, SwinTransformer | SwinTransformerV2)

    def check(self, model: nn.Module) -> None:
        """Refuse read-outs that are no mean, and models without a classifier."""
        name, pool = type(model).__name__, getattr(model, "global_pool", "avg")
        if pool != "avg":
            raise UnsupportedModel(f"{name}: read-out global_pool={pool!r} is not supported; 'avg' is")
        if getattr(model, "num_classes", 0) <= 0:
            raise UnsupportedModel(f"{name} has no classifier (num_classes=0): there is no class to explain")

    def prepare(self, model: nn.Module, inputs: Inputs, tokenizer: TextTokenizer | None) -> Batch:
        """Images [B, 3, H, W]."""
        return {"image": image_tensor(model, inputs)}

    def towers(self, model: nn.Module, batch: Batch) -> tuple[WindowTower, ...]:
        """One image stream in windows."""
        swin: Any = model
        images, patch = batch["image"], swin.patch_embed.patch_size
        grid = -(-images.shape[-2] // patch[0]), -(-images.shape[-1] // patch[1])
        windows = {}
        for s, stage in enumerate(swin.layers):
            grid = grid if isinstance(stage.downsample, nn.Identity) else _merged(grid)
            for b, block in enumerate(stage.blocks):
                windows[f"layers.{s}.blocks.{b}.attn"] = Windows(
                    grid, tuple(block.window_size), tuple(block.shift_size), pads_first=False
                )
        return (_tower(windows, images),)

    def forward(self, model: nn.Module, batch: Batch) -> Output:
        """Class logits [B, C]."""
        return Output(logits=model(batch["image"]))

    def layers(self, model: nn.Module) -> dict[str, int]:
        """Blocks of all stages."""
        return {"image": len(_blocks(model))}

    def explicit(self, model: nn.Module) -> dict[str, str]:
        """Swin V2 writes its softmax out; Swin has a fused path that is used here."""
        if not isinstance(model, SwinTransformerV2):
            return {}
        return {path: f"{path}.attn_drop" for path in _blocks(model)}


class HFSwin(Adapter):
    """``SwinForImageClassification`` and ``Swinv2ForImageClassification``; the map lies on the first stage's grid."""

    family = "swin"
    library = "transformers"
    description = "Swin and Swin V2 classifiers of transformers; the map has the resolution of the first stage"
    example = "hf:microsoft/swin-tiny-patch4-window7-224"

    def recognises(self, model: nn.Module) -> bool:
        """SwinForImageClassification, Swinv2ForImageClassification."""
        return type(model).__name__ in ("SwinForImageClassification", "Swinv2ForImageClassification")

    def check(self, model: nn.Module) -> None:
        """Every configuration of the class is understood."""

    def prepare(self, model: nn.Module, inputs: Inputs, tokenizer: TextTokenizer | None) -> Batch:
        """Images [B, 3, H, W]."""
        return {"image": image_tensor(model, inputs)}

    def towers(self, model: nn.Module, batch: Batch) -> tuple[WindowTower, ...]:
        """One image stream in windows."""
        config: Any = model.config
        images, patch = batch["image"], int(config.patch_size)
        grid = -(-images.shape[-2] // patch), -(-images.shape[-1] // patch)
        windows, second = {}, _is_second(model)
        for path, stage in _stages(model):
            for b, block in enumerate(stage.blocks):
                site = f"{path}.blocks.{b}.attention"
                windows[f"{site}.self" if second else site] = _square(grid, block, clamped=not second)
            grid = grid if stage.downsample is None else _merged(grid)
        return (_tower(windows, images),)

    def forward(self, model: nn.Module, batch: Batch) -> Output:
        """Class logits [B, C]."""
        return Output(logits=model(pixel_values=batch["image"]).logits)

    def layers(self, model: nn.Module) -> dict[str, int]:
        """Blocks of all stages."""
        config: Any = model.config
        return {"image": sum(config.depths)}

    def explicit(self, model: nn.Module) -> dict[str, str]:
        """Swin V2 writes its softmax out."""
        if not _is_second(model):
            return {}
        blocks = [f"{path}.blocks.{b}" for path, stage in _stages(model) for b in range(len(stage.blocks))]
        return {f"{block}.attention.self": f"{block}.attention.self.dropout" for block in blocks}

    def scope(self, model: nn.Module) -> AbstractContextManager[None]:
        """Attention of Swin through sdpa."""
        return under_sdpa(model)


def _blocks(model: Any) -> list[str]:
    """Paths of the attentions of a timm model."""
    return [f"layers.{s}.blocks.{b}.attn" for s, stage in enumerate(model.layers) for b in range(len(stage.blocks))]


def _tower(windows: dict[str, Windows], images: Tensor) -> WindowTower:
    sites = tuple(windows)
    first, last = windows[sites[0]].grid, windows[sites[-1]].grid
    return WindowTower(
        modality="image",
        layers=sites,
        states=sites[-1][: sites[-1].rindex(".att")],
        start=mean_row(len(images), last[0] * last[1], 0, images),
        content=torch.ones(len(images), first[0] * first[1], dtype=torch.bool, device=images.device),
        grid=first,
        windows=windows,
    )


def _merged(grid: Grid) -> Grid:
    return (grid[0] + 1) // 2, (grid[1] + 1) // 2


def _is_second(model: nn.Module) -> bool:
    return type(model).__name__ == "Swinv2ForImageClassification"


def _stages(model: nn.Module) -> list[tuple[str, Any]]:
    """Path and module of each stage of a model of transformers."""
    root = "swinv2.encoder.layers" if _is_second(model) else "swin.encoder.layers"
    return [(f"{root}.{name}", stage) for name, stage in model.get_submodule(root).named_children()]


def _square(grid: Grid, block: Any, clamped: bool) -> Windows:
    """The library's first Swin takes a smaller window, unshifted, where the grid is not larger than the window."""
    window, shift = int(block.window_size), int(block.shift_size)
    if clamped and min(grid) <= window:
        window, shift = min(grid), 0
    return Windows(grid, (window, window), (shift, shift), pads_first=True)
