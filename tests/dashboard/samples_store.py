"""A small store for the tests of tags, exports and similar samples: features, hostile texts, one lost picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from storage import Store, parts_table, write_suspects
from tests.dashboard import make_store
from tests.dashboard.make_store import HOSTILE

RUN, N, WIDTH = "shapes-features", 30, 8
LOST = 4  # its picture is not there
FORMULAS = {
    0: "=1+1",
    1: "+cmd|' /C calc'!A0",
    2: "-2+3",
    3: "@SUM(A1)",
    5: "\t=1",
    6: 'plain, with "quotes"\nand lines',
    7: "",
}


SUSPECT: dict[str, Any] = {
    "id": "concept-1",
    "rank": 1,
    "kind": "concept",
    "name": HOSTILE[0],
    "class_name": "ring",
    "class_index": 3,
    "n": 4,
    "share": 0.5,
    "score": 0.25,
    "status": "unverified",
    "flagged": False,
    "evidence": {},
    "cue": {},
    "sample_ids": [5, 2, 3, 1],
}


def features(number: int) -> np.ndarray:
    """A direction that turns with the number: neighbours are alike."""
    angle = 0.05 * number
    return np.array([np.cos(angle), np.sin(angle), *([0.0] * (WIDTH - 2))], dtype=np.float32) * (1 + number)


def rows() -> list[list[dict[str, Any]]]:
    """Per sample its rows, for the targets predicted and label."""
    made = []
    for scene in make_store.scenes(N):
        text = FORMULAS.get(scene.number) if scene.number in FORMULAS else HOSTILE[scene.number % len(HOSTILE)]
        made.append([{**row, "text": text, "features": features(scene.number)} for row in make_store.class_rows(scene)])
    return made


def write(base: Path) -> Path:
    """The store, in a folder of `base`."""
    wanted = make_store.scenes(N)
    make_store.draw_all(base / "data", wanted)
    record = make_store.record(base / "data", N, "classes", make_store.METADATA)
    with Store.open(base / "store", create=True).writer(RUN, record) as writer:
        both = rows()
        writer.commit_part(0, parts_table([row for two in both[:20] for row in two], make_store.METADATA))
        writer.seal()
        writer.commit_part(1, parts_table([row for two in both[20:] for row in two], make_store.METADATA))
        writer.finish()
    (base / "data" / make_store.uri(wanted[LOST])).unlink()
    write_suspects(Store.open(base / "store").reader(RUN).run, [SUSPECT], {})
    return base / "store"
