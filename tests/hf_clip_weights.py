"""OpenAI CLIP tensor names to Hugging Face ``CLIPModel`` names."""

from __future__ import annotations

from torch import Tensor

_BLOCKS = {"visual.transformer.resblocks.": "vision_model.encoder.layers.",
           "transformer.resblocks.": "text_model.encoder.layers."}  # fmt: skip
_INSIDE = {"attn.out_proj": "self_attn.out_proj", "ln_1": "layer_norm1", "ln_2": "layer_norm2",
           "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}  # fmt: skip
_OUTSIDE = {
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.ln_pre.": "vision_model.pre_layrnorm.",
    "visual.ln_post.": "vision_model.post_layernorm.",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.": "text_model.final_layer_norm.",
    "visual.proj": "visual_projection.weight",
    "text_projection": "text_projection.weight",
}
_TRANSPOSED = ("visual.proj", "text_projection")


def to_hugging_face(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename, split the fused q, k, v projections and transpose the two output projections."""
    result = {}
    for key, tensor in weights.items():
        block = next((b for b in _BLOCKS if key.startswith(b)), None)
        if block is None:
            stem = next((s for s in _OUTSIDE if key == s or (s.endswith(".") and key.startswith(s))), None)
            name = key if stem is None else _OUTSIDE[stem] + key[len(stem) :]
            result[name] = tensor.T.contiguous() if key in _TRANSPOSED else tensor
            continue
        name = _BLOCKS[block] + key[len(block) :]
        if "attn.in_proj_" in name:
            for letter, part in zip("qkv", tensor.chunk(3), strict=True):
                result[name.replace("attn.in_proj_", f"self_attn.{letter}_proj.")] = part
            continue
        for old, new in _INSIDE.items():
            name = name.replace(old, new)
        result[name] = tensor
    return result
