"""`extract_features`: from a dataset of pictures to a manifest with region features."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from jobs.errors import JobError, one_line
from jobs.extract.detector import Detector, Found, make_detector
from jobs.extract.manifest import ManifestWriter, empty
from jobs.pictures import PictureError, decode
from jobs.pipeline.progress import Reporter, Tally
from jobs.readers import Dataset, read_dataset

REMEMBERED = 64  # pictures: several questions about one picture mostly stand together


@dataclass(frozen=True)
class FeaturesResult:
    """What a call did. `pictures` were looked at; `rows` are in the manifest, `failed` are not."""

    path: str
    detector: str
    width: int
    regions: int
    rows: int
    failed: int
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
    reporter: Reporter | None = None,
) -> FeaturesResult:
    """Write the manifest `out` (.parquet). Raises `JobError` or `EngineError` with one clear line."""
    path = _checked(data, out, regions, limit)
    dataset = read_dataset(data).limited(limit)
    if len(dataset.without_picture) == len(dataset):
        raise JobError(f"--data {data} has no pictures to find regions in")
    model = make_detector(detector, checkpoint=checkpoint, device=device)
    extraction = Extraction(model, dataset, regions)
    tally = Tally(len(dataset))
    shown = reporter or Reporter()
    shown.start(f"regions of {model.name}", tally)
    start = time.monotonic()
    try:
        with ManifestWriter(path, dataset, model.width) as manifest:
            for row in range(len(dataset)):
                extraction.add(row, manifest, tally)
                shown.update(tally)
    finally:
        tally.ended = time.monotonic()
        shown.stop()
    seconds = round(time.monotonic() - start, 3)
    failures = extraction.failures
    if not manifest.rows:
        raise JobError(f"no picture of {data} gave any region ({failures[0]['reason']}); {path} was not written")
    return FeaturesResult(str(path), detector, model.width, regions, manifest.rows, len(failures), seconds, failures)


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
        self.failures: list[dict[str, Any]] = []
        self._known: OrderedDict[str, Found | str] = OrderedDict()

    def add(self, row: int, manifest: ManifestWriter, tally: Tally) -> None:
        """Write row `row`, or note why it cannot be."""
        found = self._of(row)
        if isinstance(found, str):
            self.failures.append({"image": self.dataset.uris[row].as_py(), "reason": found})
            tally.failed += 1
        else:
            manifest.add(row, found)
            tally.explained += 1

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
            found = self.detector.regions(decode(self.dataset.root / name), self.regions)
        except PictureError as error:
            return error.reason
        except Exception as error:  # one picture must not end the command
            return f"the detector failed ({type(error).__name__}: {one_line(error, 120)})"
        return "the detector found no region" if empty(found) else found
