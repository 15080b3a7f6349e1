"""Our own discovery as an auditor of the benchmark: the real job and the real search, through files and a store."""

from __future__ import annotations

import csv
import tempfile
from functools import partial
from pathlib import Path

from PIL import Image

from benchmarks.spurious.slices import Auditor, Slice
from benchmarks.spurious.subject import Subject
from jobs.run import run_audit
from jobs.spec import RunSpec
from jobs.suspects.command import find_suspects
from jobs.suspects.spec import SuspectsSpec


def write_manifest(subject: Subject, folder: Path) -> Path:
    """The samples as files and a manifest `image,label` or `text,label`, in order."""
    rows = []
    for k, (sample, label) in enumerate(zip(subject.samples, subject.labels.tolist(), strict=True)):
        if subject.is_text:
            rows.append({"text": str(sample), "label": subject.class_names[label]})
        else:
            Image.fromarray(sample).save(folder / f"{k:05d}.png", compress_level=1)
            rows.append({"image": f"{k:05d}.png", "label": subject.class_names[label]})
    manifest = folder / "samples.csv"
    with manifest.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return manifest


def ours(subject: Subject, method: str = "gae", verify: bool = True) -> list[Slice]:
    """Suspects of `python -m jobs run` and `python -m jobs suspects` with their default settings, in their order."""
    with tempfile.TemporaryDirectory() as folder:
        manifest = write_manifest(subject, Path(folder))
        store = str(Path(folder) / "store")
        run_audit(
            RunSpec(
                data=str(manifest), model=subject.loaded.name, method=method, store=store, name="case", device="cpu",
                workers=0, batch_size=64,
            ).checked()
        )  # fmt: skip
        found = find_suspects(SuspectsSpec(run="case", store=store, verify=verify, device="cpu"))
    return [
        Slice(
            class_index=suspect["class_index"],
            members=tuple(suspect["sample_ids"]),
            score=-float(suspect["rank"]),
            flagged=suspect["flagged"],
            status=suspect["status"],
            kind=suspect["kind"],
        )
        for suspect in found.suspects
    ]


OURS: dict[str, Auditor] = {
    "ours": ours,
    "untested gae": partial(ours, verify=False),
    "untested raw_attention": partial(ours, method="raw_attention", verify=False),
    "untested rollout": partial(ours, method="rollout", verify=False),
    "untested random": partial(ours, method="random", verify=False),
}
"""The whole search, and the search without interventions on the relevancies of other methods: what relevancy buys."""
