"""Other explainers on the same weights, each doing what comes nearest to a relevancy per image."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, nn
from torchvision.models import VisionTransformer


def grad_cam(model: Any, layer: Any, images: Tensor, grid: tuple[int, int]) -> object:
    """pytorch-grad-cam on the token states of the last block.

    It calls ``backward`` for all parameters that want a gradient: all of an untouched model, as in its README.
    """
    from pytorch_grad_cam import GradCAM

    def spatial(tokens: Tensor) -> Tensor:
        return tokens[:, 1:].transpose(1, 2).unflatten(2, grid)

    with GradCAM(model=model, target_layers=[layer], reshape_transform=spatial) as cam:
        return cam(input_tensor=images, targets=None)


def captum_input_x_gradient(model: nn.Module, images: Tensor, classes: Tensor | None) -> Tensor:
    """captum's input x gradient."""
    from captum.attr import InputXGradient

    return InputXGradient(model).attribute(images.clone().requires_grad_(), target=classes)


def torchcam_legrad(model: VisionTransformer, images: Tensor, classes: list[int]) -> object:
    """torch-cam's LeGrad; takes torchvision's layout of a ViT."""
    from torchcam.methods import LeGrad

    blocks: list[nn.Module | str] = list(model.encoder.layers.children())
    with LeGrad(model, blocks) as extractor:
        scores = model(images)
        return extractor(classes, scores)


def as_torchvision(model: Any) -> VisionTransformer:
    """The same weights in torchvision's ViT."""
    state = model.state_dict()
    depth = len({k.split(".")[1] for k in state if k.startswith("blocks.")})
    width, patch = state["cls_token"].shape[-1], state["patch_embed.proj.weight"].shape[-1]
    size = int((state["pos_embed"].shape[1] - 1) ** 0.5) * patch
    heads = model.blocks[0].attn.num_heads
    twin = VisionTransformer(size, patch, depth, int(heads), width, 4 * width, num_classes=len(state["head.bias"]))
    twin.load_state_dict(_torchvision_names(state))
    return twin.eval()


def _torchvision_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    stems = {"cls_token": "class_token", "pos_embed": "encoder.pos_embedding", "patch_embed.proj.": "conv_proj.",
             "norm.": "encoder.ln.", "head.": "heads.head."}  # fmt: skip
    parts = {"norm1.": "ln_1.", "norm2.": "ln_2.", "attn.qkv.": "self_attention.in_proj_",
             "attn.proj.": "self_attention.out_proj.", "mlp.fc1.": "mlp.0.", "mlp.fc2.": "mlp.3."}  # fmt: skip
    renamed = {}
    for key, tensor in state.items():
        if key.startswith("blocks."):
            _, index, rest = key.split(".", 2)
            stem = next(p for p in parts if rest.startswith(p))
            renamed[f"encoder.layers.encoder_layer_{index}.{parts[stem]}{rest[len(stem) :]}"] = tensor
        else:
            stem = next(s for s in stems if key.startswith(s))
            renamed[stems[stem] + key[len(stem) :]] = tensor
    return renamed


class ImageLogit(nn.Module):
    """An open_clip model with its texts fixed, as the image classifier [B, 1] that image explainers expect."""

    def __init__(self, clip: Any, texts: Tensor) -> None:
        super().__init__()
        self.clip = clip
        self.texts = texts

    def forward(self, images: Tensor) -> Tensor:
        """Logit of each image with its own text."""
        image = self.clip.encode_image(images, normalize=True)
        text = self.clip.encode_text(self.texts, normalize=True)
        return (self.clip.logit_scale.exp() * (image * text).sum(dim=-1))[:, None]


def frozen_copy(model: Any, below: str | None = None) -> Any:
    """A copy without parameter gradients, so that a peer pays for none; those of module ``below`` stay if given."""
    twin = copy.deepcopy(model).requires_grad_(False).eval()
    if below is not None:
        twin.get_submodule(below).requires_grad_(True)
    return twin


__all__ = ["ImageLogit", "as_torchvision", "captum_input_x_gradient", "frozen_copy", "grad_cam", "torchcam_legrad"]
