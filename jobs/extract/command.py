"""`extract_features`: from a dataset of pictures to a manifest with region features."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from jobs.errors import JobError, one_line
from jobs.extract.detector import Detector, Found, make_detector
from jobs.extract.manifest import ROWS_PER_GROUP, Failures, ManifestParts, empty
from jobs.pictures import PictureError, decode
from jobs.pipeline.progress import Reporter, Tally
from jobs.readers import Dataset, read_dataset
from jobs.readers.outside import allowed_folders
from jobs.spec import weights_hash
from storage.media.secrets import shown

REMEMBERED = 64  # pictures: several questions about one picture mostly stand together


@dataclass(frozen=True)
class FeaturesResult:
    """What a call did. `rows` are in the manifest, `failed` are not; `resumed` of both were there before the call."""

    path: str
    detector: str
    width: int
    regions: int
    rows: int
    failed: int
    resumed: int
    seconds: float
    failures: list[dict[str, Any]] = field(default_factory=list)  # image, reason

    def to_json(self) -> dict[str, Any]:
        """The document of `features --json`."""
        return asdict(self)


def extract_features(
    data: str,
    detector: str,
    out: str,
    *,
    checkpoint: str | None = None,
    regions: int = 36,
    device: str = "cpu",
    limit: int | None = None,
    allow_outside: tuple[str, ...] = (),
    reporter: Reporter | None = None,
) -> FeaturesResult:
    """Write the manifest `out` (.parquet). Raises `JobError` or `EngineError` with one clear line."""
    path = _checked(data, out, regions, limit)
    dataset = read_dataset(data, allowed_folders(allow_outside)).limited(limit)
    if len(dataset.without_picture) == len(dataset):
        raise JobError(f"--data {data} has no pictures to find regions in")
    model = make_detector(detector, checkpoint=checkpoint, device=device)
    tally = Tally(len(dataset))
    shown = reporter or Reporter()
    shown.start(f"regions of {model.name}", tally)
    start = time.monotonic()
    try:
        parts = ManifestParts(path, dataset, model.width, _key(dataset, detector, checkpoint, regions, limit))
        before = parts.finished()
        resumed, failures = (
            (len(dataset), before[1]) if before else _extract(model, dataset, regions, parts, shown, tally)
        )
    finally:
        tally.ended = time.monotonic()
        shown.stop()
    seconds = round(time.monotonic() - start, 3)
    rows = len(dataset) - len(failures)
    return FeaturesResult(str(path), detector, model.width, regions, rows, len(failures), resumed, seconds, failures)


def _key(dataset: Dataset, detector: str, checkpoint: str | None, regions: int, limit: int | None) -> dict[str, Any]:
    """Everything that changes the manifest's numbers."""
    weights = weights_hash(detector, checkpoint)
    return {"data": dataset.fingerprint, "detector": detector, "weights": weights, "regions": regions, "limit": limit}


def _extract(
    detector: Detector, dataset: Dataset, regions: int, parts: ManifestParts, shown: Reporter, tally: Tally
) -> tuple[int, Failures]:
    """Make the groups that are missing, then the manifest; returns how many rows were there, and all failures."""
    extraction = Extraction(detector, dataset, regions)
    parts.open()
    starts = range(0, len(dataset), ROWS_PER_GROUP)
    resumed, failures = 0, []
    for group, first in enumerate(starts):
        last = min(first + ROWS_PER_GROUP, len(dataset))
        done = parts.done(group)
        if done is None:
            done = extraction.group(range(first, last), group, parts)
        else:
            resumed += last - first
        tally.explained += done[0]
        tally.failed += len(done[1])
        failures += done[1]
        shown.update(tally)
    if len(failures) == len(dataset):
        parts.discard()
        raise JobError(f"no picture gave any region ({failures[0]['reason']}); {parts.out} was not written")
    parts.publish(len(starts))
    return resumed, failures


def _checked(data: str, out: str, regions: int, limit: int | None) -> Path:
    path = Path(out).expanduser().absolute()
    if path.suffix.lower() != ".parquet":
        raise JobError(f"--out {out}: the manifest is a Parquet file, give a name that ends in .parquet")
    if path == Path(data).expanduser().absolute():
        raise JobError(f"--out {out} is the dataset itself; give another name")
    for option, value in (("--regions", regions), ("--limit", limit)):
        if value is not None and value < 1:
            raise JobError(f"{option} {value}: must be at least 1")
    return path


class Extraction:
    """Finds the regions of each picture once, however many rows there are about it."""

    def __init__(self, detector: Detector, dataset: Dataset, regions: int) -> None:
        self.detector = detector
        self.dataset = dataset
        self.regions = regions
        self._known: OrderedDict[str, Found | str] = OrderedDict()

    def group(self, rows: range, group: int, parts: ManifestParts) -> tuple[int, Failures]:
        """Find the regions of some rows and commit them; returns the number of good ones, and the failures."""
        good: list[tuple[int, Found]] = []
        failures: Failures = []
        for row in rows:
            found = self._of(row)
            if isinstance(found, str):
                failures.append({"image": self.dataset.uris[row].as_py(), "reason": shown(found)})
            else:
                good.append((row, found))
        parts.commit(group, good, failures)
        return len(good), failures

    def _of(self, row: int) -> Found | str:
        picture = self.dataset.picture(row)
        reason = self.dataset.problems.get(row) or ("the row has no image" if picture is None else None)
        if reason is not None or picture is None:
            return reason or ""
        if picture not in self._known:
            self._known[picture] = self._look(picture)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return self._known[picture]

    def _look(self, name: str) -> Found | str:
        try:
            found = self.detector.regions(decode(self.dataset.at(name)), self.regions)
        except PictureError as error:
            return error.reason
        except Exception as error:  # one picture must not end the command
            return f"the detector failed ({type(error).__name__}: {one_line(error, 120)})"
        return "the detector found no region" if empty(found) else found
