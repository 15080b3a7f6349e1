"""What a detector found: which queries are explained."""

from __future__ import annotations

from torch import Tensor

from engine.errors import EngineError
from engine.targets import Output, QueryClass


def find_detections(output: Output, threshold: float, most: int) -> list[QueryClass]:
    """Return one target per rank: the k-th most confident query of every sample.

    Args:
        output: logits [B, Q, C + 1], the last column being "no object".
        threshold: smallest probability (softmax, "no object" included) of a detection.
        most: at most so many ranks.

    Raises:
        EngineError: the output is not a detector's, or a threshold outside 0 to 1.
    """
    if output.boxes is None:
        raise EngineError("the model returned no boxes: only detectors can be asked for detections")
    if not 0 <= threshold <= 1:
        raise EngineError(f"threshold {threshold} is no probability: give a number from 0 to 1")
    confidence, classes = best_classes(output.logits)
    order = confidence.argsort(dim=1, descending=True, stable=True)
    ranks = int((confidence >= threshold).sum(dim=1).max())
    targets = []
    for k in range(min(ranks, most)):
        query = order[:, k]
        sure = confidence.gather(1, query[:, None]).squeeze(1)
        targets.append(
            QueryClass(
                query=query,
                classes=classes.gather(1, query[:, None]).squeeze(1),
                name=f"detection:{k}",
                confidence=sure,
                kept=sure >= threshold,
            )
        )
    return targets


def best_classes(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Probability and index of the best class of every query, [B, Q] each; "no object" is no class."""
    best = logits.detach().float().softmax(dim=-1)[..., :-1].max(dim=-1)
    return best.values, best.indices
