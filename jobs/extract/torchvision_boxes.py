"""Region features of torchvision's two-stage detectors: the box head's vector of every box that is kept.

As in bottom-up attention (Anderson et al., CVPR 2018): boxes of all classes compete in one suppression by overlap, and
the most confident ones are described by the features that the box classifier reads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.models import detection
from torchvision.ops import batched_nms
from torchvision.transforms.functional import to_tensor

from engine.errors import EngineError
from engine.models.checkpoint import load_checkpoint, read_checkpoint
from jobs.errors import JobError, one_line, unknown
from jobs.extract.detector import Detector, Found, numbers

OVERLAP = 0.5  # of two boxes that overlap more than this the less confident one is dropped
CLASSIFIER = "roi_heads.box_predictor.cls_score.weight"


class TorchvisionBoxes(Detector):
    """A Faster R-CNN or Mask R-CNN of `torchvision.models.detection`."""

    def __init__(self, name: str, architecture: str, checkpoint: Path | None, device: str) -> None:
        self.name = name
        self.device = device
        self.model = _model(name, architecture, checkpoint).to(device).eval()
        heads: Any = self.model.roi_heads
        self.width = int(heads.box_predictor.cls_score.in_features)

    @torch.inference_mode()
    def regions(self, picture: Image.Image, most: int) -> Found:
        """The `most` boxes that the model is surest to hold an object."""
        model: Any = self.model
        images, _ = model.transform([to_tensor(picture).to(self.device)])
        maps = model.backbone(images.tensors)
        proposals, _ = model.rpn(images, maps)
        heads = model.roi_heads
        vectors = heads.box_head(heads.box_roi_pool(maps, proposals, images.image_sizes))
        logits, deltas = heads.box_predictor(vectors)
        confidence, classes = logits.softmax(dim=1)[:, 1:].max(dim=1)  # class 0 is the background
        boxes = heads.box_coder.decode(deltas, proposals)[torch.arange(len(classes)), classes + 1]
        height, width = images.image_sizes[0]
        fractions = (boxes / boxes.new_tensor([width, height, width, height])).clamp(0, 1)
        kept = _kept(fractions, confidence, most)
        return Found(numbers(vectors[kept]), numbers(fractions[kept]), numbers(confidence[kept]))


def _kept(boxes: Tensor, confidence: Tensor, most: int) -> Tensor:
    """Positions of the most confident boxes that have an area and do not overlap much, best first."""
    real = torch.nonzero((boxes[:, 2:] > boxes[:, :2]).all(dim=1)).squeeze(1)
    one_class = torch.zeros_like(real)
    return real[batched_nms(boxes[real].float(), confidence[real].float(), one_class, OVERLAP)[:most]]


def _architectures() -> list[str]:
    return [name for name in dir(detection) if name.startswith(("fasterrcnn_", "maskrcnn_"))]


def _model(name: str, architecture: str, checkpoint: Path | None) -> nn.Module:
    """The architecture with the checkpoint's weights, or with torchvision's own."""
    if architecture not in _architectures():
        if callable(getattr(detection, architecture, None)):
            raise JobError(f"--detector {name}: it has no box head to take features from; use fasterrcnn_resnet50_fpn")
        raise unknown("torchvision detector", architecture, _architectures())
    make = getattr(detection, architecture)
    if checkpoint is None:
        try:
            return make(weights="DEFAULT")
        except Exception as error:  # no network, or no weights of that name
            reason = one_line(error, 120)
            raise JobError(
                f"--detector {name}: torchvision's weights cannot be had ({reason}); give --checkpoint"
            ) from error
    weights = read_checkpoint(checkpoint)
    if CLASSIFIER not in weights:
        raise EngineError(f"checkpoint {checkpoint} does not fit {name}: it lacks tensor '{CLASSIFIER}'")
    model = make(weights=None, weights_backbone=None, num_classes=int(weights[CLASSIFIER].shape[0]))
    load_checkpoint(model, checkpoint, name, weights)
    return model
