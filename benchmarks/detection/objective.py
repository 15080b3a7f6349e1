"""What the detector is taught by: boxes and classes, never masks. DETR's set loss, and a dense one for the encoder."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

from benchmarks.detection.shapes import CLASSES

NOTHING = len(CLASSES)
"""Class index of "no object", in queries and cells alike."""
NOTHING_WEIGHT = 0.1
CLASS_COST, BOX_COST, GIOU_COST = 1.0, 5.0, 2.0
CENTRE = 0.6
"""Share of a box, around its centre, whose cells the dense task calls its own."""


class Losses(NamedTuple):
    """What is wrong with the classes, and with the boxes; scalars."""

    classes: Tensor
    boxes: Tensor


def corners(boxes: Tensor) -> Tensor:
    """Centre, width, height to x0, y0, x1, y1; [..., 4]."""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([centre - half, centre + half], -1)


def generalised_iou(first: Tensor, second: Tensor) -> Tensor:
    """GIoU (Rezatofighi et al. 2019) of boxes given as centre, width, height [..., 4]; the leading axes broadcast."""
    a, b = corners(first), corners(second)
    meet = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    union = first[..., 2:].prod(-1) + second[..., 2:].prod(-1) - meet
    hull = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).prod(-1)
    return meet / union.clamp(min=1e-9) - (hull - union) / hull.clamp(min=1e-9)


def match(logits: Tensor, boxes: Tensor, labels: Tensor, truth: Tensor) -> Tensor:
    """DETR's matching (Carion et al. 2020, eq. 1): the query of every object, int64 [..., B, n]; 0 for padding.

    `logits` [..., B, Q, C + 1] and `boxes` [..., B, Q, 4] of queries; `labels` [B, n] (-1: padding), `truth` [B, n, 4].
    """
    chances = logits.detach().softmax(-1)
    wanted = labels.clamp(min=0)[:, None].expand(*logits.shape[:-1], -1)
    near = (boxes.detach()[..., :, None, :] - truth[:, None]).abs().sum(-1)
    overlap = generalised_iou(boxes.detach()[..., :, None, :], truth[:, None])
    cost = BOX_COST * near - CLASS_COST * chances.gather(-1, wanted) - GIOU_COST * overlap
    flat, counts = cost.flatten(0, -4).numpy(), (labels >= 0).sum(1).tolist()
    found = np.zeros((*flat.shape[:2], labels.shape[1]), np.int64)
    for k, sets in enumerate(flat):
        for i, count in enumerate(counts):
            queries, objects = linear_sum_assignment(sets[i, :, :count])
            found[k, i, objects] = queries
    return torch.from_numpy(found).view(*cost.shape[:-2], labels.shape[1])


def set_loss(logits: Tensor, boxes: Tensor, labels: Tensor, truth: Tensor) -> Losses:
    """DETR's losses, eq. 2, mean over the leading axes: layers and sets of queries [L, G, B, Q, ...]."""
    there = (labels >= 0).expand(*logits.shape[:-2], -1)
    found = match(logits, boxes, labels, truth)
    target = torch.full(logits.shape[:-1], NOTHING)
    where = torch.where(there)
    target[(*where[:-1], found[where])] = labels.expand_as(there)[where]
    chosen, true = boxes[(*where[:-1], found[where])], truth.expand(*there.shape, 4)[where]
    return Losses(class_loss(logits, target), box_loss(chosen, true))


def dense_loss(logits: Tensor, boxes: Tensor, labels: Tensor, truth: Tensor) -> Losses:
    """What encoder tokens would answer, were they queries: class and whole box of the object whose middle they lie in.

    `logits` [B, T, C + 1] and `boxes` [B, T, 4] of the model's heads on the encoder's output (T a square), as in the
    first stage of Deformable DETR (Zhu et al. 2021); cells are given to objects as in FCOS (Tian et al. 2019). It
    teaches the encoder from all tokens at once, and leaves the decoder to find the tokens and copy what they say.
    """
    classes, owner = owners(labels, truth, round(logits.shape[1] ** 0.5))
    mine = classes != NOTHING
    true = truth.gather(1, owner[..., None].expand(-1, -1, 4))[mine]
    return Losses(class_loss(logits, classes), box_loss(boxes[mine], true))


def class_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """Cross-entropy of logits [..., C + 1] in which "no object" counts a tenth, as in DETR; `classes` [...]."""
    weights = torch.ones(NOTHING + 1)
    weights[NOTHING] = NOTHING_WEIGHT
    return F.cross_entropy(logits.flatten(0, -2), classes.flatten(), weights)


def box_loss(boxes: Tensor, truth: Tensor) -> Tensor:
    """DETR's loss of boxes [n, 4] that belong to true ones [n, 4]: L1 and GIoU."""
    away = (boxes - truth).abs().sum(-1).mean()
    return BOX_COST * away + GIOU_COST * (1 - generalised_iou(boxes, truth)).mean()


def owners(labels: Tensor, truth: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Class [B, T] and object [B, T] of every cell of a grid; of two objects that claim it, the smaller one has it."""
    axis = (torch.arange(side) + 0.5) / side
    rows, columns = torch.meshgrid(axis, axis, indexing="ij")
    spots = torch.stack([columns.flatten(), rows.flatten()], -1)
    inside = ((spots[:, None] - truth[:, None, :, :2]).abs() < CENTRE / 2 * truth[:, None, :, 2:]).all(-1)
    inside &= (labels >= 0)[:, None]
    area = truth[..., 2:].prod(-1)[:, None].masked_fill(~inside, torch.inf)
    smallest, owner = area.min(-1)
    return labels.gather(1, owner).masked_fill(smallest.isinf(), NOTHING), owner
