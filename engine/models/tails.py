"""What follows the attention inside a block, as far as it treats each token alone."""

from __future__ import annotations

from torch import nn

_MLPS = {
    "timm.models.vision_transformer.Block": ("norm2", "mlp"),
    "timm.models.beit.Block": ("norm2", "mlp"),
    "timm.models.eva.EvaBlock": ("norm2", "mlp"),
    "open_clip.transformer.ResidualAttentionBlock": ("ln_2", "mlp"),
    "transformers.models.vit.modeling_vit.ViTLayer": ("layernorm_after", "mlp"),
    "transformers.models.vit_msn.modeling_vit_msn.ViTMSNLayer": ("layernorm_after", "mlp"),
    "transformers.models.deit.modeling_deit.DeiTLayer": ("layernorm_after", "mlp"),
    "transformers.models.beit.modeling_beit.BeitLayer": ("layernorm_after", "mlp"),
    "transformers.models.clip.modeling_clip.CLIPEncoderLayer": ("layer_norm2", "mlp"),
    "transformers.models.metaclip_2.modeling_metaclip_2.MetaClip2EncoderLayer": ("layer_norm2", "mlp"),
    "transformers.models.siglip.modeling_siglip.SiglipEncoderLayer": ("layer_norm2", "mlp"),
}
"""Class of a block -> its modules, in order, between two residual sums. Exact classes: a subclass may do otherwise."""
_PROJECTIONS = ("attn.proj", "attention.o_proj", "self_attn.out_proj")
"""The last linear layer of the attention, where it is called as a module."""


def token_wise(block: nn.Module) -> list[list[nn.Module]]:
    """Chains of modules of a block that run one after the other and treat each token alone; none of unknown blocks."""
    kind = f"{type(block).__module__}.{type(block).__qualname__}"
    if kind not in _MLPS or not _batch_first(block):
        return []
    chains = [[block.get_submodule(name) for name in _MLPS[kind]]]
    chains += [[found] for name in _PROJECTIONS if isinstance(found := _at(block, name), nn.Linear)]
    return [chain for chain in chains if not _mixes_tokens(chain)]


def _at(block: nn.Module, path: str) -> nn.Module | None:
    """A submodule, if it is there and is called as one: ``nn.MultiheadAttention`` reads the weights of its own."""
    try:
        found = block.get_submodule(path)
    except AttributeError:
        return None
    return None if isinstance(block.get_submodule(path.rpartition(".")[0]), nn.MultiheadAttention) else found


def _batch_first(block: nn.Module) -> bool:
    return all(module.batch_first for module in block.modules() if isinstance(module, nn.MultiheadAttention))


def _mixes_tokens(chain: list[nn.Module]) -> bool:
    kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.modules.batchnorm._BatchNorm)
    return any(isinstance(module, kinds) for part in chain for module in part.modules())
