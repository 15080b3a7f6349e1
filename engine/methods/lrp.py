"""Full LRP, down to the pixels."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from engine.errors import UnsupportedModel
from engine.lrp.relevances import Relevances
from engine.methods.direct import Direct, DirectMethod, Subject
from engine.targets import Target


class FullLRP(DirectMethod):
    """Classic LRP from the class to the pixels; signed. ``pixels`` [B, H, W] is the sum over colour channels.

    Bach et al., PLOS ONE 2015; alpha = 1, z-B rule at the patch convolution (Montavon et al., 2017); the baseline "LRP"
    of Chefer, Gur, Wolf, CVPR 2021. Defined for ViT classifiers: the image must be cut into patches by one convolution.
    The relevancy of a token is the sum over the pixels of its patch.
    """

    name = "lrp"
    paper = "Bach et al., PLOS ONE 2015, as in Chefer, Gur, Wolf, CVPR 2021"
    description = "layer-wise relevance propagation to the pixels, summed over each patch (ViT classifiers)"
    needs_gradient = False

    def relevances(self, subject: Subject, targets: Sequence[Target]) -> list[Direct]:
        """One propagation per target over one tape."""
        grid = _grid(subject)
        session = Relevances(subject.module, subject.adapter, subject.batch, subject.sites, output=subject.output)
        found = []
        for target in targets:
            pixels = session.of_image(target).sum(dim=1)
            found.append(Direct({"image": pooled(pixels, grid)}, pixels))
        return found


def pooled(pixels: Tensor, grid: tuple[int, int]) -> Tensor:
    """Sum [B, H, W] over the patches of a grid: [B, h * w], row-major; pixels beyond the last patch are left out."""
    rows, columns = (pixels.shape[1] // grid[0], pixels.shape[2] // grid[1])
    cut = pixels[:, : rows * grid[0], : columns * grid[1]]
    cells = cut.reshape(len(cut), grid[0], rows, grid[1], columns)
    return cells.sum(dim=(2, 4)).flatten(1)


def _grid(subject: Subject) -> tuple[int, int]:
    grid = subject.towers[0].grid if len(subject.towers) == 1 else None
    if subject.adapter.task != "classify" or grid is None or "image" not in subject.batch:
        raise UnsupportedModel(
            f"full LRP is defined for ViT image classifiers only, not for {subject.name}; "
            "'partial_lrp' and 'transformer_attribution' are available"
        )
    return grid
