"""What a reader hands on: the rows of a dataset as columns, without one object per sample."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from jobs.pictures import PictureError
from storage.media import OutsideRoot, Place, inside, is_url, origin

OUTSIDE = "lies outside the folder of the data (--allow-outside FOLDER lets it be read)"
ROLES = ("label", "text", "split", "mask", "boxes", "features")


@dataclass(frozen=True)
class Dataset:
    """N samples as columns of length N. A sample's id is its position.

    `uris`, `label`, `text`, `split`, `mask`, `boxes` and `features` are string columns (paths relative to `root`; a
    reference in `features` may end in `#key`, see `jobs.regions`). `pictures` are the paths of the pictures with nulls
    where a sample has none (its uri is then "row N"); None when every uri is a picture. `metadata` holds every other
    column of a manifest under its own name, as bool, int64, double or string. `problems` names the samples that are
    known to be unusable before anything was decoded. `root` is a folder or a URL; `storage.media` says how pictures
    are named, and `origins` are the hosts of uris that are URLs themselves. What lies outside the root is read only
    below the folders `allowed`; with `links`, links below the root may lead anywhere, because the samples were found by
    looking into the folder, not named by a file (docs/security.md).
    """

    root: Path | str
    kind: str
    fingerprint: str
    uris: pa.Array
    label: pa.Array | None = None
    text: pa.Array | None = None
    split: pa.Array | None = None
    mask: pa.Array | None = None
    boxes: pa.Array | None = None
    features: pa.Array | None = None
    pictures: pa.Array | None = None
    metadata: dict[str, pa.Array] = field(default_factory=dict)
    problems: dict[int, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    links: bool = True

    def __len__(self) -> int:
        return len(self.uris)

    def picture(self, row: int) -> str | None:
        """Path of the picture of sample `row`, None when it has none."""
        path: str | None = (self.uris if self.pictures is None else self.pictures)[row].as_py()
        return path

    def at(self, name: str) -> Place:
        """Where the picture, mask or features file lies that a column calls `name`. Raises `PictureError` when that is
        outside what may be read."""
        named = (origin(name),) if is_url(name) else ()  # whoever runs this may ask the hosts that the data name
        try:
            return inside(self.root, name, named, self.allowed, links=self.links)
        except OutsideRoot:
            raise PictureError(name, OUTSIDE) from None

    @property
    def folder(self) -> Path:
        """The root as a folder of this machine, for files that are read there only (features)."""
        return Path(self.root)

    @property
    def without_picture(self) -> list[int]:
        """Samples without a picture."""
        return [] if self.pictures is None else np.flatnonzero(self.pictures.is_null().to_numpy(False)).tolist()

    @property
    def class_names(self) -> list[str] | None:
        """The distinct labels in sorted order, None when there are none."""
        if self.label is None:
            return None
        return sorted(self.label.drop_null().unique().to_pylist()) or None

    def limited(self, count: int | None) -> Dataset:
        """At most `count` samples: the first of a manifest, evenly spread ones of sorted class folders."""
        if count is None or count >= len(self):
            return self
        if self.kind == "class folders":  # the first ones would all be of one class
            rows = np.linspace(0, len(self) - 1, count).round().astype(np.int64)
        else:
            rows = np.arange(count, dtype=np.int64)
        return self.take(rows)

    def take(self, rows: np.ndarray) -> Dataset:
        """The samples at positions `rows` [n] int64, renumbered from 0."""
        index = pa.array(rows)
        columns = {role: getattr(self, role) for role in (*ROLES, "pictures")}
        taken: dict[str, Any] = {role: None if c is None else c.take(index) for role, c in columns.items()}
        return replace(
            self,
            uris=self.uris.take(index),
            **taken,
            metadata={name: column.take(index) for name, column in self.metadata.items()},
            problems={new: self.problems[old] for new, old in enumerate(rows.tolist()) if old in self.problems},
        )
