"""Second stage: explain batches, and lose no more than the samples that really cannot be explained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from engine import Explanation, LoadedModel, explain_targets
from engine.errors import EngineError
from engine.methods import unscaled_method
from jobs.errors import JobError, one_line
from jobs.pipeline.loading import Batch
from jobs.targets import Target

TOP_CLASSES = 5
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "defaultcpuallocator")


@dataclass
class Result:
    """One target of B samples as numpy arrays; `keep` [B] marks the samples it is stored for."""

    target: Target
    keep: np.ndarray
    grid: tuple[int, int] | None
    score: np.ndarray  # float32 [B]
    relevancy: dict[str, np.ndarray]  # float32 [B, tokens] per modality
    features: dict[str, np.ndarray]  # float32 [B, width] per modality
    tokens: list[list[str]] | None
    target_index: np.ndarray | None  # int32 [B], None when the score is not that of one class
    top_indices: np.ndarray | None  # int32 [B, <=5], best class first; None for pairs
    top_probs: np.ndarray | None


@dataclass
class Chunk:
    """What is known of B explained samples, ready for the writer."""

    ids: np.ndarray
    sizes: np.ndarray
    views: np.ndarray
    masks: np.ndarray | None
    boxes: np.ndarray | None
    labels: np.ndarray  # int32 [B], -1 without a class number
    results: list[Result]


@dataclass
class Outcome:
    """Chunks and failures of one batch."""

    chunks: list[Chunk] = field(default_factory=list)
    failures: list[tuple[int, str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def explained(self) -> int:
        """Samples with an explanation."""
        return sum(len(chunk.ids) for chunk in self.chunks)


class Explaining:
    """Explains batches with one model. `texts` [N] are the dataset's, `labels` int32 [N] its class numbers."""

    def __init__(
        self,
        loaded: LoadedModel,
        targets: Sequence[Target],
        *,
        method: str,
        start_layer: int,
        texts: pa.Array | None,
        labels: np.ndarray,
    ) -> None:
        self.loaded = loaded
        self.targets = list(targets)
        self.method = unscaled_method(method)
        self.start_layer = start_layer
        self.texts = texts if "text" in loaded.modalities else None
        self.labels = labels
        self.most: int | None = None  # samples at once, once memory ran out
        self.explained = 0

    def __call__(self, batch: Batch) -> Outcome:
        """Explain all samples of `batch`. Raises `JobError` when not even one sample fits into memory,
        and `EngineError` when the model cannot be explained at all."""
        outcome = Outcome(failures=list(batch.failures), remarks=list(batch.remarks))
        rows = list(range(len(batch.ids)))
        while rows:
            now = rows[: self.most or len(rows)]
            try:
                self._add(outcome, batch, now)
            except Exception as error:
                if _is_out_of_memory(error):
                    self._halve(len(now), error)
                    continue
                self._one_by_one(outcome, batch, now, error)
            rows = rows[len(now) :]
        self.explained += outcome.explained
        return outcome

    def _halve(self, size: int, error: Exception) -> None:
        """Go on with half as many samples at once; the failed attempt's memory must be free before that."""
        if size == 1:
            raise JobError(
                "out of memory with a single sample: use a smaller model, --precision bf16 or another --device"
            ) from error
        self.most = size // 2
        error.__traceback__ = None  # it keeps the attempt's tensors alive
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _one_by_one(self, outcome: Outcome, batch: Batch, rows: list[int], first: Exception) -> None:
        """One bad sample makes the whole batch raise: find it, and keep the others."""
        failures: list[tuple[int, str]] = []
        for row in rows:
            try:
                if len(rows) == 1:
                    raise first
                self._add(outcome, batch, [row])
            except Exception as error:
                if _is_out_of_memory(error):
                    self._halve(1, error)
                reason = f"the model failed ({type(error).__name__}: {one_line(error, 160)})"
                failures.append((int(batch.ids[row]), reason))
        if len(failures) == len(rows) and isinstance(first, EngineError) and not self.explained:
            raise first  # nothing ever worked: this is the model, not the samples
        outcome.failures += failures

    def _add(self, outcome: Outcome, batch: Batch, rows: list[int]) -> None:
        """Explain the batch's samples at positions `rows` and sort out those with a broken relevancy."""
        assert batch.images is not None
        ids = batch.ids[rows]
        labels = self.labels[ids]
        explanations = self._explain(batch.images[rows] if len(rows) < len(batch.ids) else batch.images, ids, labels)
        results = [_result(t, e, labels) for t, e in zip(self.targets, explanations, strict=True)]
        outcome.remarks += _cut_texts(results[0])
        good = np.logical_and.reduce([_finite(result) for result in results])
        outcome.failures += [(int(i), "the relevancy is not finite (NaN or infinity)") for i in ids[~good]]
        for result in results:
            result.keep &= good
        outcome.chunks.append(_chunk(batch, np.array(rows)[good], good, labels[good], results))

    def _explain(self, images: torch.Tensor, ids: np.ndarray, labels: np.ndarray) -> list[Explanation]:
        inputs: Any = images
        if self.texts is not None:
            inputs = {"image": images, "text": self.texts.take(pa.array(ids)).to_pylist()}
        classes = torch.from_numpy(labels.astype(np.int64)).clamp(min=0)  # rows without a class are dropped later
        targets = [target.for_engine(classes) for target in self.targets]
        return explain_targets(self.loaded, inputs, targets, method=self.method, start_layer=self.start_layer)


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in OUT_OF_MEMORY)


def _result(target: Target, explanation: Explanation, labels: np.ndarray) -> Result:
    top_indices, top_probs = _top_classes(explanation.logits)
    return Result(
        target=target,
        keep=labels >= 0 if target.is_label else np.ones(len(labels), bool),
        grid=explanation.grid,
        score=_numpy(explanation.score),
        relevancy={name: _numpy(values) for name, values in explanation.relevancy.items()},
        features={name: _numpy(values) for name, values in (explanation.features or {}).items()},
        tokens=None if explanation.tokens is None else [_without_padding(t) for t in explanation.tokens],
        target_index=None if explanation.target_index is None else explanation.target_index.int().cpu().numpy(),
        top_indices=top_indices,
        top_probs=top_probs,
    )


def _without_padding(tokens: list[str]) -> list[str]:
    """Tokens up to the last one that is shown: the end token and the padding after it have no word."""
    end = max((i + 1 for i, token in enumerate(tokens) if token), default=0)
    return tokens[:end]


def _cut_texts(result: Result) -> list[str]:
    """A remark for every text that leaves no room between its last word and the end of the context."""
    context = result.relevancy["text"].shape[1] if result.tokens is not None else 0
    full = [tokens for tokens in result.tokens or [] if len(tokens) >= context - 1]
    return [f"the text fills the model's {context} tokens: its end may be cut off"] * len(full)


def _top_classes(logits: torch.Tensor) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The best classes and their softmax probabilities, [B, <=5] each; nothing for the logits [B] of pairs."""
    if logits.dim() != 2:
        return None, None
    best = logits.float().softmax(dim=1).topk(min(TOP_CLASSES, logits.shape[1]), dim=1)
    return best.indices.int().cpu().numpy(), _numpy(best.values)


def _numpy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().numpy()


def _finite(result: Result) -> np.ndarray:
    """Samples [B] whose score and relevancies are all numbers."""
    checks = [np.isfinite(result.score), *(np.isfinite(values).all(axis=1) for values in result.relevancy.values())]
    return np.logical_and.reduce(checks)


def _chunk(batch: Batch, rows: np.ndarray, good: np.ndarray, labels: np.ndarray, results: list[Result]) -> Chunk:
    """The good samples of an explained slice: `rows` are positions in the batch, `good` in the slice."""

    def pick(values: np.ndarray | None) -> np.ndarray | None:
        return None if values is None else values[good]

    kept = [
        Result(
            target=result.target,
            keep=result.keep[good],
            grid=result.grid,
            score=result.score[good],
            relevancy={name: values[good] for name, values in result.relevancy.items()},
            features={name: values[good] for name, values in result.features.items()},
            tokens=None if result.tokens is None else [t for t, ok in zip(result.tokens, good, strict=True) if ok],
            target_index=pick(result.target_index),
            top_indices=pick(result.top_indices),
            top_probs=pick(result.top_probs),
        )
        for result in results
    ]
    masks = None if batch.masks is None else batch.masks[rows]
    boxes = None if batch.boxes is None else batch.boxes[rows]
    return Chunk(batch.ids[rows], batch.sizes[rows], batch.views[rows], masks, boxes, labels, kept)
