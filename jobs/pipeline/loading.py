"""First stage: read pictures and region features in worker processes, batch by batch.

A failure never raises out of a worker; it travels as data to the main process with the batch it belongs to.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from engine.models.preprocess import Preprocess
from jobs.coverage import Grid, View, cover_of_boxes, cover_of_mask, parse_boxes
from jobs.errors import one_line
from jobs.pictures import Enough, File, PictureError, decode_mask, measure, read_copy
from jobs.pipeline.collate import Inputs, collated
from jobs.pipeline.facts import Facts, properties_of
from jobs.pipeline.plan import Task
from jobs.pipeline.sizing import PREFETCH
from jobs.readers import Dataset
from jobs.regions import RegionError, read_regions
from storage.media.secrets import shown

PR_SET_PDEATHSIG = 1  # from linux/prctl.h

# value in the manifest, picture size, view, grid -> covered share of each cell [rows, columns]
Reader = Callable[[str, tuple[int, int], View, Grid], np.ndarray]


@dataclass
class Batch:
    """What came of one task. B counts the samples that could be read, in order of their ids."""

    task: Task
    ids: np.ndarray  # int64 [B]
    inputs: Inputs  # tensors of B samples as the engine takes them; empty for models that read texts alone
    sizes: np.ndarray  # int32 [B, 2] width, height of the upright picture; 0 where there is none
    views: np.ndarray  # float32 [B, 4] rectangle that the token grid covers, as fractions; NaN without a grid
    masks: np.ndarray | None = None  # float32 [B, rows, columns] covered share per cell, NaN rows without a mask
    boxes: np.ndarray | None = None  # the same for boxes
    facts: Facts | None = None  # what was measured of the pictures
    failures: list[tuple[int, str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)  # masks, boxes and pictures that could not be used

    def pin_memory(self) -> Batch:
        """Called by the DataLoader, so that the copy to the GPU runs beside its work."""
        self.inputs = {name: tensor.pin_memory() for name, tensor in self.inputs.items()}
        return self


@dataclass(frozen=True)
class Sample:
    """One sample's tensors, picture size (width, height), view, and its picture's properties [P] and file."""

    inputs: Inputs
    size: tuple[int, int] = (0, 0)
    view: View = (np.nan, np.nan, np.nan, np.nan)
    properties: np.ndarray | None = None
    file: File | None = None


class Loading(TorchDataset[Batch]):
    """Maps a `Task` to its `Batch`. Holds columns, not samples, so a worker shares its parent's memory.

    A model reads pictures (`preprocess`), region features of a width (`region_width`), or texts alone (neither).
    `enough` says how small JPEGs may be decoded, None: not at all.
    """

    def __init__(
        self,
        dataset: Dataset,
        preprocess: Preprocess | None,
        grid: Grid | None,
        problems: dict[int, str],
        region_width: int | None = None,
        enough: Enough | None = None,
    ) -> None:
        self.dataset = dataset
        self.preprocess = preprocess
        self.grid = grid
        self.problems = problems
        self.region_width = region_width
        self.enough = enough

    def __getitem__(self, task: Task) -> Batch:
        batch = Batch(task, *_nothing())
        found = [(row, self._sample(row, batch)) for row in range(task.start, task.stop)]
        good = [(row, sample) for row, sample in found if sample is not None]
        if good:
            batch.ids = np.array([row for row, _ in good], np.int64)
            batch.inputs = collated([sample.inputs for _, sample in good])
            batch.sizes = np.array([sample.size for _, sample in good], np.int32)
            batch.views = np.array([sample.view for _, sample in good], np.float32)
            batch.facts = Facts.of([(sample.properties, sample.file) for _, sample in good])
            self._cover(batch)
        return batch

    def _sample(self, row: int, batch: Batch) -> Sample | None:
        """What the model reads of sample `row`; None after noting why there is nothing."""
        reason = self.problems.get(row)
        if reason is None:
            try:
                if self.region_width is not None:
                    return self._regions(row, self.region_width, batch)
                return Sample({}) if self.preprocess is None else self._picture(row, self.preprocess)
            except (PictureError, RegionError) as error:
                reason = error.reason
            except Exception as error:  # a transform that cannot take this picture must not end the run
                reason = f"preprocessing failed ({type(error).__name__}: {one_line(error, 120)})"
        batch.failures.append((row, shown(reason)))
        return None

    def _picture(self, row: int, preprocess: Preprocess) -> Sample:
        path = self.dataset.picture(row)
        if path is None:
            raise PictureError("", "the row has no image")
        picture, file, size = read_copy(self.dataset.at(path), self.enough)
        tensors = {"image": preprocess(picture)}
        return Sample(tensors, size, preprocess.view(*size), properties_of(picture), file)

    def _regions(self, row: int, width: int, batch: Batch) -> Sample:
        """Region features and boxes; the picture itself is only measured, and may be missing."""
        path, size, file = self.dataset.picture(row), None, None
        if path is not None:
            try:
                size, file = measure(self.dataset.at(path))
            except PictureError as error:
                batch.remarks.append(f"picture of region features cannot be shown: {error.reason}")
        assert self.dataset.features is not None  # jobs.prepare has seen to it
        reference = self.dataset.features[row].as_py()
        if reference is not None:
            self.dataset.at(reference.rpartition("#")[0] or reference)  # refuses what lies outside
        regions = read_regions(self.dataset.folder, reference, width, size)
        tensors = {"features": torch.from_numpy(regions.features), "boxes": torch.from_numpy(regions.boxes)}
        return Sample(tensors, regions.size or (0, 0), file=file)

    def _cover(self, batch: Batch) -> None:
        """Fill in how far masks and boxes cover the token cells."""
        if self.grid is None:
            return
        if self.dataset.mask is not None:
            names = self.dataset.mask.take(pa.array(batch.ids)).to_pylist()
            batch.masks = self._cells(batch, self.grid, names, self._mask)
        if self.dataset.boxes is not None:
            texts = self.dataset.boxes.take(pa.array(batch.ids)).to_pylist()
            batch.boxes = self._cells(batch, self.grid, texts, self._boxes)

    def _cells(self, batch: Batch, grid: Grid, given: list[str | None], read: Reader) -> np.ndarray:
        """Covered shares [B, rows, columns]; NaN for a sample without, or with an unusable, mask or box."""
        cells = np.full((len(given), *grid), np.nan, np.float32)
        for i, value in enumerate(given):
            if value is None:
                continue
            try:
                cells[i] = read(value, tuple(batch.sizes[i].tolist()), tuple(batch.views[i].tolist()), grid)
            except PictureError as error:
                batch.remarks.append(f"mask unusable: {error.reason}")
            except (ValueError, TypeError):
                batch.remarks.append("boxes unusable: expected JSON like [[x0, y0, x1, y1]]")
        return cells

    def _mask(self, name: str, size: tuple[int, int], view: View, grid: Grid) -> np.ndarray:
        return cover_of_mask(decode_mask(self.dataset.at(name)), view, grid)

    def _boxes(self, text: str, size: tuple[int, int], view: View, grid: Grid) -> np.ndarray:
        return cover_of_boxes(parse_boxes(text), size, view, grid)


def _nothing() -> tuple[np.ndarray, Inputs, np.ndarray, np.ndarray]:
    return np.zeros(0, np.int64), {}, np.zeros((0, 2), np.int32), np.zeros((0, 4), np.float32)


def load(loading: Loading, tasks: list[Task], workers: int, *, pin: bool = False) -> Iterator[Batch]:
    """The batches of `tasks`, in order. With `workers` 0 the main process decodes.

    The worker processes are forked by this call, not at the first batch: call it before any thread is started.
    When a worker dies, the iterator raises RuntimeError, OSError or EOFError.
    """
    forked = workers > 0 and sys.platform == "linux"
    loader = DataLoader(
        loading,
        batch_size=None,
        sampler=tasks,
        num_workers=workers,
        collate_fn=_as_it_is,
        worker_init_fn=_settle if workers else None,
        prefetch_factor=PREFETCH if workers else None,
        multiprocessing_context="fork" if forked else None,
        pin_memory=pin,
    )
    before = signal.getsignal(signal.SIGCHLD) or signal.SIG_DFL
    batches = iter(loader)
    if threading.current_thread() is threading.main_thread():
        # torch's handler would raise a dead worker's error wherever the main thread is, say while it ends the run
        signal.signal(signal.SIGCHLD, before)
    return batches


def _as_it_is(batch: Any) -> Any:
    return batch


def _settle(worker: int) -> None:
    """Make a worker leave Ctrl-C to its parent, and die with it.

    What it would print is for nobody: its failures travel as data, and the rest is libtiff's remarks on files and
    Python's on a parent that is gone.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stderr__.fileno() if sys.__stderr__ else 2)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent or parent == 1:  # the parent died before it could be watched
            os._exit(1)
