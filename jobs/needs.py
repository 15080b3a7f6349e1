"""What a model needs of every sample, and which samples lack it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from jobs.errors import JobError
from jobs.readers import Dataset


@dataclass(frozen=True)
class Needs:
    """Inputs of a model: `modalities` of ("image", "text"), pictures as region features or as pixels."""

    model: str
    task: str
    modalities: tuple[str, ...]
    regions: bool

    @property
    def text(self) -> bool:
        """Whether it reads texts."""
        return "text" in self.modalities

    @property
    def picture(self) -> bool:
        """Whether it reads pictures themselves."""
        return "image" in self.modalities and not self.regions


def unusable(dataset: Dataset, needs: Needs) -> dict[int, str]:
    """Samples that lack an input, with the reason. Raises `JobError` when all of them lack it."""
    problems: dict[int, str] = {}
    if needs.picture:
        rows = dataset.without_picture
        if len(rows) == len(dataset):
            raise JobError(f"{needs.model} reads pictures: give a folder, or a manifest with a column 'image'")
        problems |= dict.fromkeys(rows, "the row has no image")
    if needs.text:
        problems |= dict.fromkeys(_missing(dataset.text, _why_text(needs)), "no text")
    if needs.regions:
        why = (
            f"{needs.model} reads region features: give a manifest with a column 'features' "
            "(python -m jobs features makes one)"
        )
        problems |= dict.fromkeys(_missing(dataset.features, why), "no features")
    return problems


def _why_text(needs: Needs) -> str:
    if needs.task == "answer":
        return f"{needs.model} answers questions about pictures: give a manifest with a column 'text'"
    if "image" not in needs.modalities:
        return f"{needs.model} reads texts: give a manifest with a column 'text'"
    return f"{needs.model} compares pictures with texts: give a manifest with columns 'image' and 'text'"


def _missing(column: pa.Array | None, why: str) -> list[int]:
    """Rows without a value; `JobError` when no row has one."""
    if column is None or column.null_count == len(column):
        raise JobError(why)
    rows: list[int] = np.flatnonzero(column.is_null().to_numpy(False)).tolist()
    return rows
