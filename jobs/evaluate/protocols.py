"""Which protocols fit a run, and the rows that each of them gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from engine.faithfulness.protocols import PROTOCOLS as PERTURBATION_PROTOCOLS
from engine.models.pairs import PairAdapter
from jobs.errors import JobError
from jobs.evaluate.detecting import detection_rows
from jobs.evaluate.perturbing import Perturbing
from jobs.evaluate.placing import placing_rows
from jobs.evaluate.rows import curve_rows
from jobs.evaluate.sanity import randomisation_rows, similarity_rows
from jobs.evaluate.spec import PERTURBATIONS, PLACES, SANITY, EvaluateSpec
from jobs.evaluate.subject import Chunk, Subject
from jobs.evaluate.variants import RANDOM, Variant, variants
from storage import RunRecord

Progress = Callable[[str, int, int], None]
Row = dict[str, Any]
SANITY_SAMPLES = 50  # a cascade explains them once per stage and method
FILLS = {"zero": "black"}


def fitting(subject: Subject, spec: EvaluateSpec) -> list[str]:
    """The protocols to follow: those that the user named, or those that fit the run and its data.

    Raises `JobError` for a named one that does not fit, and where none does.
    """
    able = _able(subject, spec)
    if not spec.protocols:
        found = [name for name in _usual(subject) if name in able]
        if not found:
            raise JobError(f"nothing can be evaluated of {subject.loaded.name} without --annotations (a COCO file)")
        return found
    for name in spec.protocols:
        if name not in able:
            raise JobError(_why_not(name, subject, able))
    return list(dict.fromkeys(spec.protocols))


def _able(subject: Subject, spec: EvaluateSpec) -> list[str]:
    """All protocols that can be followed."""
    loaded, dataset = subject.loaded, subject.dataset
    if loaded.task == "detect":
        return ["coco"] if spec.annotations else []
    pictures = "image" in loaded.modalities and not loaded.reads_regions
    found = []
    if pictures and not isinstance(loaded.adapter, PairAdapter):
        found.append("vit")
    if not pictures:
        found += ["lxmert", "visualbert"]
    found += ["deletion", "insertion"]
    one_grid = loaded.preprocess is not None and not loaded.preprocess.varies
    if pictures and one_grid and (dataset.mask is not None or dataset.boxes is not None):
        found += PLACES
    return [*found, *SANITY]


def _usual(subject: Subject) -> tuple[str, ...]:
    """Those that are followed where none is named."""
    if subject.loaded.task == "detect":
        return ("coco",)
    if subject.loaded.reads_regions:
        return ("visualbert" if subject.loaded.family == "visualbert" else "lxmert", *SANITY)
    if "image" not in subject.loaded.modalities:
        return ("lxmert", *SANITY)
    if isinstance(subject.loaded.adapter, PairAdapter):
        return ("deletion", *PLACES, *SANITY)
    return ("vit", *PLACES, *SANITY)


def _why_not(name: str, subject: Subject, able: list[str]) -> str:
    model = subject.loaded.name
    if name == "coco" and subject.loaded.task == "detect":
        return "--protocol coco needs --annotations: a file in COCO's format with the masks of the run's pictures"
    if name in PLACES and able and subject.dataset.mask is None and subject.dataset.boxes is None:
        return f"--protocol {name} needs masks or boxes: a manifest with a column 'mask' or 'boxes'"
    return f"--protocol {name} does not fit {model}; {', '.join(able) or 'coco, with --annotations'} do"


def protocol_rows(
    name: str,
    subject: Subject,
    ids: np.ndarray,
    spec: EvaluateSpec,
    record: RunRecord,
    progress: Progress,
    notes: list[str],
) -> list[Row]:
    """Follow one protocol on the samples `ids`."""
    compared = variants(
        subject.loaded,
        str(record.spec.get("method", "gae")),
        spec.methods,
        ablations=spec.ablations,
        start_layer=subject.start_layer,
        vit=name == "vit",
    )
    chunks = _told(subject, ids, spec.batch_size, name, progress)
    if name in PERTURBATIONS:
        fills = [FILLS.get(fill, fill) for fill in spec.fills]
        perturbing = Perturbing(subject, PERTURBATION_PROTOCOLS[name], compared, fills, spec.batch_size)
        for chunk in chunks:
            perturbing.add(chunk)
        notes += perturbing.notes
        return curve_rows(perturbing, spec.seed)
    if name in PLACES:
        return placing_rows(name, subject, chunks, compared, spec.seed, notes)
    if name == "coco":
        from jobs.evaluate.coco_truth import CocoTruth

        assert spec.annotations is not None  # `fitting` has seen to it
        return detection_rows(subject, chunks, compared, CocoTruth(spec.annotations), notes)
    return _sanity_rows(name, subject, ids, spec, compared, progress, notes)


def _sanity_rows(
    name: str,
    subject: Subject,
    ids: np.ndarray,
    spec: EvaluateSpec,
    compared: list[Variant],
    progress: Progress,
    notes: list[str],
) -> list[Row]:
    some = ids[:: max(1, len(ids) // SANITY_SAMPLES)][:SANITY_SAMPLES]
    chunks = list(subject.chunks(some, spec.batch_size))
    if not chunks:
        raise JobError("not one of the run's samples can be read any more")
    if name == "similarity":
        progress(name, 0, 1)
        rows = similarity_rows(subject, chunks, compared, spec.seed, notes)
        progress(name, 1, 1)
        return rows
    learned = [one for one in compared if one.name != RANDOM]
    return randomisation_rows(subject, chunks, learned, spec.seed, lambda done, of: progress(name, done, of), notes)


def _told(subject: Subject, ids: np.ndarray, size: int, name: str, progress: Progress) -> Iterator[Chunk]:
    """The chunks, with progress told after each."""
    done = 0
    progress(name, 0, len(ids))
    for chunk in subject.chunks(ids, size):
        yield chunk
        done += len(chunk)
        progress(name, done, len(ids))
