"""Grad-CAM on the last attention map."""

from __future__ import annotations

from torch import Tensor

from engine.methods.method import LastMap, stretched_map


class GradCAM(LastMap):
    """relu(mean_h w_h a_h), with w_h the mean gradient of the read-out row over the shown tokens, then min-max.

    Baseline of Chefer, Gur, Wolf (CVPR 2021, ICCV 2021) after Selvaraju et al., ICCV 2017. A map that is zero
    everywhere becomes NaN in the min-max step, as in the authors' code; ``minmax=False`` leaves the step out.
    """

    name = "grad_cam"
    paper = "Selvaraju et al., ICCV 2017, on attention as in Chefer, Gur, Wolf, ICCV 2021"
    description = "last attention map, heads weighted by their mean gradient"

    def __init__(self, minmax: bool = True) -> None:
        self.minmax = minmax

    def combine(self, attention: Tensor, gradient: Tensor | None, content: Tensor) -> Tensor:
        """Weigh the heads and clamp; see the class."""
        assert gradient is not None
        shown = content.to(gradient.dtype)[:, None, :]
        weights = (gradient * shown).sum(dim=-1) / shown.sum(dim=-1)
        cam = (weights[:, :, None] * attention).mean(dim=1).clamp(min=0)
        return _stretched(cam, content) if self.minmax else cam

    def combine_map(self, attention: Tensor, gradient: Tensor | None, valid: Tensor, relation: bool) -> Tensor:
        """relu(mean_h w_h A_h) with w_h the mean gradient over the whole map.

        Min-max over the whole map for a joint stream (VisualBERT), none between several streams (LXMERT, DETR).
        """
        assert gradient is not None
        inside = valid.to(gradient.dtype)[:, None]
        weights = (gradient * inside).sum(dim=(2, 3), keepdim=True) / inside.sum(dim=(2, 3), keepdim=True)
        cam = (weights * attention).mean(dim=1).clamp(min=0)
        return stretched_map(cam, valid) if self.minmax and not relation else cam


def _stretched(cam: Tensor, content: Tensor) -> Tensor:
    low = cam.masked_fill(~content, float("inf")).amin(dim=-1, keepdim=True)
    high = cam.masked_fill(~content, float("-inf")).amax(dim=-1, keepdim=True)
    return (cam - low) / (high - low)
