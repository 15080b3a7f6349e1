"""Second stage: explain batches, and lose no more than the samples that really cannot be explained."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from engine import Explanation, LoadedModel, explain_detections, explain_targets
from engine.errors import EngineError
from engine.methods import unscaled_method
from engine.models.pairs import PairAdapter
from jobs.errors import JobError, one_line
from jobs.pipeline.collate import Inputs, alike, part_of
from jobs.pipeline.loading import Batch
from jobs.pipeline.pairs import PairFacts, PairSettings, explained_pairs
from jobs.pipeline.results import Chunk, Result, own_grids, result_of, unfit
from jobs.targets import Target

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "defaultcpuallocator")
NOT_FINITE = "the relevancy is not finite (NaN or infinity)"
ZERO_ROW = f"{NOT_FINITE}: a row of zeros was normalised; --on-zero-row identity leaves such rows out"


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


Explained = tuple[Target, Explanation, PairFacts | None]


@dataclass(frozen=True)
class Slice:
    """Samples of a batch, by their positions, that were explained together."""

    rows: list[int]
    inputs: Inputs
    explanations: list[Explained]


@dataclass
class Begun:
    """A batch whose explanations were asked for; a GPU may still be at work on them."""

    batch: Batch
    outcome: Outcome
    slices: list[Slice] = field(default_factory=list)

    @property
    def samples(self) -> int:
        """Samples that are waited for."""
        return sum(len(one.rows) for one in self.slices)


@dataclass(frozen=True)
class Settings:
    """How to explain: options of `engine.explain_targets`, and which detections are wanted of a detector.

    `patches`: of how many of the most relevant tokens of a picture the states are kept.
    """

    method: str = "gae"
    start_layer: int = 0
    on_zero_row: str = "authors"
    threshold: float = 0.7
    most: int = 20
    patches: int = 0


class Explaining:
    """Explains batches with one model. `texts` and `uris` [N] are the dataset's, `labels` [N] its class numbers."""

    def __init__(
        self,
        loaded: LoadedModel,
        targets: Sequence[Target],
        settings: Settings,
        *,
        texts: pa.Array | None,
        labels: np.ndarray,
        uris: pa.Array | None = None,
        pairs: PairSettings | None = None,
    ) -> None:
        self.loaded = loaded
        self.targets = list(targets)
        self.settings = settings
        self.method = unscaled_method(settings.method)
        self.texts = texts if "text" in loaded.modalities else None
        self.labels = labels
        self.uris = uris
        self.pairs = pairs or PairSettings()
        self.most: int | None = None  # samples at once, once memory ran out
        self.explained = 0
        self._asked = 0  # samples of batches that are begun

    def __call__(self, batch: Batch) -> Outcome:
        """Explain all samples of `batch`; raises what `begin` raises."""
        return self.finish(self.begin(batch))

    def begin(self, batch: Batch) -> Begun:
        """Explain all samples of `batch`, but wait for no GPU. Raises `JobError` when not even one sample fits into
        memory, and `EngineError` when the model cannot be explained at all."""
        begun = Begun(batch, Outcome(failures=list(batch.failures), remarks=list(batch.remarks)))
        for rows in self._together(batch, self._with_fitting_text(begun.outcome, batch)):
            self._ask_all(begun, rows)
        self._asked += begun.samples
        return begun

    def finish(self, begun: Begun) -> Outcome:
        """Wait for the explanations of a batch and take them in; raises what `begin` raises."""
        self._asked -= begun.samples
        waiting = deque(begun.slices)
        while waiting:
            one = waiting.popleft()
            try:
                self._add(begun, one)
            except Exception as error:
                if _is_out_of_memory(error):
                    self._halve(len(one.rows), error)
                    again = Begun(begun.batch, begun.outcome)
                    self._ask_all(again, one.rows)
                    waiting.extend(again.slices)
                    continue
                self._one_by_one(begun, one.rows, error)
        self.explained += begun.outcome.explained
        return begun.outcome

    def _ask_all(self, begun: Begun, rows: list[int]) -> None:
        """Explain the samples at positions `rows`, as many at once as fit."""
        while rows:
            now = rows[: self.most or len(rows)]
            try:
                begun.slices.append(self._ask(begun.batch, now))
            except Exception as error:
                if _is_out_of_memory(error):
                    self._halve(len(now), error)
                    continue
                self._one_by_one(begun, now, error)
            rows = rows[len(now) :]

    def _together(self, batch: Batch, rows: list[int]) -> list[list[int]]:
        """Positions that are explained in one pass. A detector's convolutions see the padding, so what it finds in a
        picture would depend on the others in the batch: only pictures of one size go together."""
        return alike(batch.inputs, rows) if self.loaded.task == "detect" else [rows]

    def _halve(self, size: int, error: Exception) -> None:
        """Go on with half as many samples at once; the failed attempt's memory must be free before that."""
        if size == 1:
            raise JobError(
                "out of memory with a single sample: use a smaller model, --precision bf16 or another --device"
            ) from error
        self.most = min(self.most or size, size // 2)
        error.__traceback__ = None  # it keeps the attempt's tensors alive
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _one_by_one(self, begun: Begun, rows: list[int], first: Exception) -> None:
        """One bad sample makes the whole batch raise: find it, and keep the others."""
        failures: list[tuple[int, str]] = []
        for row in rows:
            try:
                if len(rows) == 1:
                    raise first
                self._add(begun, self._ask(begun.batch, [row]))
            except Exception as error:
                if _is_out_of_memory(error):
                    self._halve(1, error)
                reason = f"the model failed ({type(error).__name__}: {one_line(error, 160)})"
                failures.append((int(begun.batch.ids[row]), reason))
        if len(failures) == len(rows) and isinstance(first, EngineError) and not self.explained + self._asked:
            raise first  # nothing ever worked: this is the model, not the samples
        begun.outcome.failures += failures

    def _with_fitting_text(self, outcome: Outcome, batch: Batch) -> list[int]:
        """Positions of the samples whose text the model can read. A question that is cut is another question, so it
        fails; a text to classify is cut, with a remark."""
        rows = list(range(len(batch.ids)))
        tokenizer = self.loaded.tokenizer
        if self.texts is None or tokenizer is None or self.loaded.task == "pair":
            return rows
        counts = [tokenizer.count(text) for text in self.texts.take(pa.array(batch.ids)).to_pylist()]
        if self.loaded.task != "answer":
            cut = sum(count > tokenizer.context for count in counts)
            outcome.remarks += [_cut_remark(tokenizer.context)] * cut
            return rows
        for row in rows:
            if counts[row] > tokenizer.context:
                reason = f"the question has {counts[row]} tokens, the model reads {tokenizer.context}"
                outcome.failures.append((int(batch.ids[row]), reason))
        return [row for row in rows if counts[row] <= tokenizer.context]

    def _ask(self, batch: Batch, rows: list[int]) -> Slice:
        """Explain the batch's samples at positions `rows`."""
        inputs = part_of(batch.inputs, rows, cropped=self.loaded.task == "detect")
        ids = batch.ids[rows]
        return Slice(rows, inputs, self._explain(inputs, ids, self.labels[ids]))

    def _add(self, begun: Begun, found: Slice) -> None:
        """Take in explained samples and sort out those with a broken or without any relevancy."""
        batch, outcome = begun.batch, begun.outcome
        ids = batch.ids[found.rows]
        labels = self.labels[ids]
        results = [result_of(target, explanation, labels, facts) for target, explanation, facts in found.explanations]
        if self.loaded.task == "pair":
            outcome.remarks += self._cut_texts(results[0])
        good = self._sound(outcome, ids, results)
        if good.any():
            first = found.explanations[0][1]
            own = own_grids(first, found.inputs, self.loaded.preprocess)
            outcome.chunks.append(_chunk(batch, np.array(found.rows), good, labels, results, first, own))

    def _sound(self, outcome: Outcome, ids: np.ndarray, results: list[Result]) -> np.ndarray:
        """Samples [B] that can be stored; the others are noted as failures."""
        good = np.ones(len(ids), bool)
        for result in results:
            for row in np.flatnonzero(unfit(result) & good):
                zero = result.zero_rows is not None and result.zero_rows[row] > 0
                outcome.failures.append((int(ids[row]), ZERO_ROW if zero else NOT_FINITE))
                good[row] = False
        if self.loaded.task == "detect":
            kept = np.logical_or.reduce([result.keep for result in results]) if results else np.zeros(len(ids), bool)
            reason = f"no detection above {self.settings.threshold:g}"
            outcome.failures += [(int(i), reason) for i in ids[good & ~kept]]
            good &= kept
        return good

    def _cut_texts(self, result: Result) -> list[str]:
        """A remark for every text whose end the model did not read."""
        assert self.loaded.tokenizer is not None
        cut = sum(words.cut for words in result.words or [])
        return [_cut_remark(self.loaded.tokenizer.context)] * cut

    def _explain(self, inputs: Inputs, ids: np.ndarray, labels: np.ndarray) -> list[Explained]:
        settings = self.settings
        given: dict[str, Any] = dict(inputs)
        if self.texts is not None:
            given["text"] = self.texts.take(pa.array(ids)).to_pylist()
        if self.loaded.task == "detect":
            found = explain_detections(
                self.loaded,
                given,
                threshold=settings.threshold,
                most=settings.most,
                method=self.method,
                start_layer=settings.start_layer,
                on_zero_row=settings.on_zero_row,
                patches=settings.patches,
            )
            return [(Target(explanation.target), explanation, None) for explanation in found]
        if isinstance(self.loaded.adapter, PairAdapter):
            return self._explain_pairs(given, ids)
        classes = torch.from_numpy(labels.astype(np.int64)).clamp(min=0)  # rows without a class are dropped later
        explanations = explain_targets(
            self.loaded,
            given,
            [target.for_engine(classes) for target in self.targets],
            method=self.method,
            start_layer=settings.start_layer,
            on_zero_row=settings.on_zero_row,
            patches=settings.patches,
        )
        return [(target, one, None) for target, one in zip(self.targets, explanations, strict=True)]

    def _explain_pairs(self, given: dict[str, Any], ids: np.ndarray) -> list[Explained]:
        settings, rows = self.settings, pa.array(ids)
        assert self.uris is not None
        found = explained_pairs(
            self.loaded,
            given["image"],
            self.uris.take(rows).to_pylist(),
            given["text"],
            ids,
            self.targets[0],
            self.pairs,
            method=self.method,
            start_layer=settings.start_layer,
            patches=settings.patches,
        )
        return list(found)


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in OUT_OF_MEMORY)


def _cut_remark(context: int) -> str:
    return f"the text is longer than the model's {context} tokens: its end was cut"


def _chunk(
    batch: Batch,
    rows: np.ndarray,
    good: np.ndarray,
    labels: np.ndarray,
    results: list[Result],
    explanation: Explanation,
    own: tuple[np.ndarray, np.ndarray] | None,
) -> Chunk:
    """The good samples of an explained slice: `rows` are its positions in the batch, `good` [B] marks them in it.

    `explanation` is that of any target: all share regions. `own` are the grids and views of pictures of many sizes.
    """
    kept = rows[good]
    regions, region_mask = explanation.regions, explanation.region_mask
    return Chunk(
        ids=batch.ids[kept],
        sizes=batch.sizes[kept],
        views=batch.views[kept] if own is None else own[1][good],
        masks=None if batch.masks is None else batch.masks[kept],
        boxes=None if batch.boxes is None else batch.boxes[kept],
        labels=labels[good],
        results=[result.taken(np.flatnonzero(good)) for result in results],
        grids=None if own is None else own[0][good],
        regions=None if regions is None else regions.float().cpu().numpy()[good],
        region_mask=None if region_mask is None else region_mask.bool().cpu().numpy()[good],
        facts=None if batch.facts is None else batch.facts.taken(kept),
    )
