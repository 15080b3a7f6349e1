"""Sanity checks of a run: do its maps react to the model's weights, and how alike are the maps of several methods?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from engine import Explanation
from engine.faithfulness.randomisation import LIMIT, StageResult, cascade_similarity, reacts
from engine.faithfulness.similarity import Similarity, between_methods
from engine.faithfulness.stages import joined, stages_of
from jobs.evaluate.subject import Chunk, Subject
from jobs.evaluate.variants import Variant, tried
from jobs.labels import NONE
from jobs.targets import Target

Row = dict[str, Any]
MOST_STAGES = 8


def randomisation_rows(
    subject: Subject,
    chunks: Sequence[Chunk],
    compared: Sequence[Variant],
    seed: int,
    progress: Callable[[int, int], None],
    notes: list[str],
) -> list[Row]:
    """A curve per variant and modality: how alike the maps are to the first ones, stage by stage of random weights.
    `progress` is told how many stages are done, and of how many.

    The classes that were explained at first are explained throughout: otherwise maps would also change because the
    broken model predicts something else.
    """
    kept = _working(subject, chunks[0], compared, notes)
    if not kept:
        return []
    asked = _fixed(subject, chunks, kept[0])
    loaded = subject.loaded
    batch = loaded.adapter.prepare(loaded.model, _first(chunks[0].given), loaded.tokenizer)
    stages = joined(stages_of(loaded.model, loaded.adapter, batch), MOST_STAGES)
    names = [stage.name for stage in stages]
    found = cascade_similarity(
        loaded.model,
        stages,
        lambda: _maps(asked, chunks, kept),
        seed=seed,
        progress=lambda stage: progress(names.index(stage) + 1, len(names)),
    )
    return [_cascade_row(name, modality, results) for (name, modality), results in found.items()]


def similarity_rows(
    subject: Subject, chunks: Sequence[Chunk], compared: Sequence[Variant], seed: int, notes: list[str]
) -> list[Row]:
    """A row per modality and pair of variants: mean rank correlation of their maps."""
    kept = _working(subject, chunks[0], compared, notes)
    maps = _maps(subject, chunks, kept)
    rows = []
    for modality in dict.fromkeys(modality for _, modality in maps):
        own = {name: values for (name, of), values in maps.items() if of == modality}
        for (one, other), found in between_methods(own, seed=seed).items():
            rows.append(_row(one, modality, f"similarity {other}", "similarity", found))
    return rows


def _working(subject: Subject, chunk: Chunk, compared: Sequence[Variant], notes: list[str]) -> list[Variant]:
    """The variants that this model has."""
    kept = list(compared)
    tried(kept, partial(subject.explain, chunk), notes)
    return kept


def _fixed(subject: Subject, chunks: Sequence[Chunk], variant: Variant) -> Subject:
    """The subject, asked about the classes that it is asked about now; of a pair about its logit: the CLIP score of a
    broken model is mostly zero, and so would be its map."""
    if subject.loaded.task == "pair":
        return replace(subject, target=Target("clip-logit"))
    if subject.loaded.task not in ("classify", "answer") or subject.target.classes:
        return subject
    classes = {
        int(sample): int(number)
        for chunk in chunks
        for sample, number in zip(chunk.ids, _classes(subject.explain(chunk, variant), chunk), strict=True)
    }
    return replace(subject, classes=classes)


def _classes(explanation: Explanation, chunk: Chunk) -> np.ndarray:
    if explanation.target_index is None:
        return np.where(chunk.labels != NONE, chunk.labels, 0)
    return explanation.target_index.cpu().numpy()


def _maps(
    subject: Subject, chunks: Sequence[Chunk], compared: Sequence[Variant]
) -> dict[tuple[str, str], torch.Tensor]:
    """Maps [B, N] by variant and modality; texts of different lengths are padded with zeros."""
    found: dict[tuple[str, str], list[torch.Tensor]] = {}
    for chunk in chunks:
        for variant in compared:
            for modality, values in subject.explain(chunk, variant).relevancy.items():
                found.setdefault((variant.name, modality), []).append(values.float().cpu())
    return {key: _padded(parts) for key, parts in found.items()}


def _padded(parts: list[torch.Tensor]) -> torch.Tensor:
    longest = max(part.shape[1] for part in parts)
    return torch.cat([torch.nn.functional.pad(part, (0, longest - part.shape[1])) for part in parts])


def _cascade_row(name: str, modality: str, results: list[StageResult]) -> Row:
    last = results[-1].similarity
    return {
        **_row(name, modality, "sanity cascade", "randomisation", last),
        "curve": {
            "steps": [float(number) for number in range(1, len(results) + 1)],
            **{
                key: [_plain(getattr(stage.similarity, of)) for stage in results]
                for key, of in (("values", "mean"), ("low", "low"), ("high", "high"))
            },
        },
        "details": {"stages": [stage.name for stage in results], "limit": LIMIT, "reacts": reacts(results)},
    }


def _row(name: str, modality: str, test: str, protocol: str, found: Similarity) -> Row:
    return {
        "method": name,
        "modality": modality,
        "test": test,
        "protocol": protocol,
        "curve": {"steps": [], "values": []},
        "auc": _plain(found.mean),
        "auc_low": _plain(found.low),
        "auc_high": _plain(found.high),
        "n": found.n,
        "skipped": found.skipped,
    }


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)


def _first(given: dict[str, Any]) -> dict[str, Any]:
    return {name: values[:1] for name, values in given.items()}
