"""timm: ViT, DeiT, DINOv2-style ViT with registers, EVA, BEiT and others with plain global attention."""

from __future__ import annotations

import torch
from timm.layers import AttentionPoolLatent
from timm.models.beit import Beit
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from engine.errors import EngineError, UnsupportedModel
from engine.models.adapter import Adapter, Batch, Inputs, Tower, middle_block
from engine.models.readout import content_after, mean_row, token_row
from engine.models.tokens import TextTokenizer
from engine.targets import Output


class TimmViT(Adapter):
    """Classifiers of timm whose blocks keep their attention in ``blocks.N.attn``."""

    family = "vit"
    library = "timm"
    description = "ViT, DeiT (distilled too), DINOv2-style with registers, EVA, BEiT; CLS, mean or attention pooling"
    example = "timm:vit_base_patch16_224"

    def families(self) -> dict[str, str]:
        """One per kind of trunk."""
        return {
            "vit": self.example,
            "deit": "timm:deit_base_distilled_patch16_224",
            "beit": "timm:beitv2_base_patch16_224",
            "eva": "timm:eva02_base_patch14_448",
        }

    def family_of(self, model: nn.Module) -> str:
        """By class; EVA includes EVA-02 and DINOv3, ViT everything without a distillation token."""
        if isinstance(model, Beit):
            return "beit"
        return "eva" if isinstance(model, Eva) else ("deit" if hasattr(model, "head_dist") else "vit")

    def recognises(self, model: nn.Module) -> bool:
        """VisionTransformer (and subclasses), Eva, Beit."""
        return isinstance(model, VisionTransformer | Eva | Beit)

    def check(self, model: nn.Module) -> None:
        """Refuse blocks without one plain attention, and read-outs that are not linear in the tokens."""
        check_timm_trunk(model)
        if getattr(model, "num_classes", 0) <= 0:
            raise UnsupportedModel(
                f"{type(model).__name__} has no classifier (num_classes=0): there is no class to explain"
            )

    def prepare(self, model: nn.Module, inputs: Inputs, tokenizer: TextTokenizer | None) -> Batch:
        """Images [B, 3, H, W]."""
        return {"image": image_tensor(model, inputs)}

    def towers(self, model: nn.Module, batch: Batch) -> tuple[Tower, ...]:
        """One image stream."""
        return (timm_image_tower(model, batch["image"], path=""),)

    def forward(self, model: nn.Module, batch: Batch) -> Output:
        """Class logits [B, C]."""
        return Output(logits=model(batch["image"]))

    def layers(self, model: nn.Module) -> dict[str, int]:
        """Number of blocks."""
        return {"image": len(_blocks(model))}


def image_tensor(model: nn.Module, inputs: Inputs) -> Tensor:
    """Find the images in what the caller passed and bring them to the model's device and type: [B, 3, H, W].

    Raises:
        EngineError: no images, or not four-dimensional.
    """
    images = inputs
    if not isinstance(inputs, Tensor):
        images = inputs.get("image", inputs.get("pixel_values"))
    if not isinstance(images, Tensor) or images.dim() != 4 or len(images) == 0:
        shape = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise EngineError(f"images must be a tensor [B, 3, H, W] (key 'image') with at least one sample, not {shape}")
    parameter = next(model.parameters())
    return images.to(parameter.device, parameter.dtype, non_blocking=True)  # waits unless the memory is pinned


def check_timm_trunk(model: nn.Module) -> None:
    """Raise UnsupportedModel for timm trunks whose relevancy would be wrong or incomplete."""
    name = type(model).__name__
    for i, block in enumerate(_blocks(model)):
        if not isinstance(getattr(block, "attn", None), nn.Module):
            raise UnsupportedModel(
                f"{name}: block {i} is a {type(block).__name__} without a single attention module; not supported"
            )
    pool = getattr(model, "attn_pool", None)
    if pool is not None and not isinstance(pool, AttentionPoolLatent):
        raise UnsupportedModel(
            f"{name}: attention pool {type(pool).__name__} is not supported (AttentionPoolLatent is)"
        )
    kind = getattr(model, "global_pool", "token")
    if pool is None and kind not in ("token", "avg"):
        raise UnsupportedModel(f"{name}: read-out global_pool={kind!r} is not supported; 'token', 'avg' and 'map' are")


def timm_image_tower(model: nn.Module, images: Tensor, path: str) -> Tower:
    """Describe a timm trunk that sits at ``path`` (empty: it is the model) of the explained model."""
    dot = f"{path}." if path else ""
    depth, prefix = len(_blocks(model)), int(getattr(model, "num_prefix_tokens", 1))
    grid = _grid(model, images)
    batch, tokens = len(images), prefix + grid[0] * grid[1]
    pool = getattr(model, "attn_pool", None)
    return Tower(
        modality="image",
        layers=tuple(f"{dot}blocks.{i}.attn" for i in range(depth)),
        states=f"{dot}blocks.{depth - 1}",
        start=_start(model, batch, tokens, prefix, images),
        content=content_after(batch, tokens, prefix, images.device),
        prefix=prefix,
        grid=grid,
        pool=f"{dot}attn_pool" if pool is not None else None,
        pool_offset=0 if pool is None or isinstance(model, Eva) or _pools_prefix(model) else prefix,
        middle=middle_block(f"{dot}blocks", depth),
    )


def _start(model: nn.Module, batch: int, tokens: int, prefix: int, like: Tensor) -> Tensor:
    pool = getattr(model, "attn_pool", None)
    if isinstance(pool, AttentionPoolLatent):
        if pool.pool == "avg":
            return mean_row(batch, pool.latent_len, 0, like)
        return token_row(batch, pool.latent_len, (0,), like)
    if getattr(model, "global_pool", "token") == "avg":
        return mean_row(batch, tokens, 0 if _pools_prefix(model) else prefix, like)
    # DeiT averages the heads on its class and distillation tokens.
    return token_row(batch, tokens, (0, 1) if hasattr(model, "head_dist") else (0,), like)


def _pools_prefix(model: nn.Module) -> bool:
    return bool(getattr(model, "pool_include_prefix", False))


def _grid(model: nn.Module, images: Tensor) -> tuple[int, int]:
    embed = model.patch_embed
    assert isinstance(embed, nn.Module)
    if getattr(model, "dynamic_img_size", False):
        rows, columns = embed.dynamic_feat_size(tuple(images.shape[-2:]))  # type: ignore[operator]
        return int(rows), int(columns)
    grid = embed.grid_size
    assert isinstance(grid, tuple)
    return int(grid[0]), int(grid[1])


def _blocks(model: nn.Module) -> list[nn.Module]:
    blocks = model.blocks
    assert isinstance(blocks, nn.Module)
    return list(torch.nn.Module.children(blocks))
