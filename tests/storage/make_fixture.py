"""The store of the current schema that the next one will be tested with: `python -m tests.storage.make_fixture`.

Run it at the last commit of a schema and keep the file, `store_v<schema>.tar.xz`, for ever: test_upgrades.py takes all
there are. `--folder` is where it is put together, a path that the archive names (default: /srv/fixture).
"""

from __future__ import annotations

import argparse
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from storage import SCHEMA_VERSION, Reviews, Store, parts_table, write_faithfulness, write_suspects
from storage.retire import remove_retired
from tests.dashboard import suspect_rows
from tests.dashboard.make_store import predicted
from tests.storage import audit
from tests.storage.make_interrupted import interrupted

HERE = Path(__file__).parent
RUN, PART, PARTS, SEALED = "pairs", 4, 3, 2
TAGGED, TAG, VIEW = [0, 2, 4], "wrong label", "ants at the border"
NOTE = "the <b>frame</b>, not the bee"


def write_pairs(store: Path) -> None:
    """A finished run of pictures and texts with every table: three parts, two of them in a segment."""
    with Store.open(store, create=True).writer(RUN, audit.record(PARTS * PART), seal_every=100) as writer:
        for index in range(PARTS):
            ids = range(index * PART, (index + 1) * PART)
            rows = [row for i in ids if not audit.fails(i) for row in audit.rows(i)]
            failures = [{"sample_id": i, "uri": audit.sample(i)["uri"], "reason": "cut"} for i in ids if audit.fails(i)]
            writer.commit_part(index, parts_table(rows, audit.METADATA), failures=failures, seconds={"compute": 1.0})
            if index == SEALED - 1:
                writer.seal()
        writer.finish("finished")
    remove_retired(Store.open(store).layout_of(RUN), grace=-1.0)  # as it is when ten minutes are over


def write_findings(store: Path) -> None:
    """Suspects, and how faithful the maps are."""
    with Store.open(store).reader(RUN) as reader:
        by_class = predicted(reader)
        classes = {name: by_class[name] for name in audit.CLASSES}
        rows = [
            suspect_rows.row(f"a cue of {name}", kind, ids, class_name=name, class_index=i, rank=i + 1, **more)
            for i, ((name, ids), kind, more) in enumerate(
                zip(
                    classes.items(),
                    ("concept", "location", "property"),
                    (
                        {"status": "verified", "flagged": True, "evidence": {"effects": suspect_rows.PROVED}},
                        {"status": "refuted", "evidence": {"effects": suspect_rows.REFUTED}},
                        {"evidence": {"effects": suspect_rows.OPEN}},
                    ),
                    strict=True,
                )
            )
        ]
        write_suspects(reader.run, rows, suspect_rows.about(rows, sum(map(len, by_class.values())), ["a note"]))
        write_faithfulness(reader.run, [_result("gae", 0.4), _result("random", 0.5)], {"seed": 0})


def _result(method: str, auc: float) -> dict[str, Any]:
    curve = {"steps": [0.0, 0.5, 1.0], "values": [0.9, auc, 0.1]}
    return {"method": method, "modality": "image", "test": "positive", "curve": curve, "auc": auc, "n": 16}


def write_reviews(store: Path) -> None:
    """A line in every log."""
    reviews = Reviews.open(store)
    with Store.open(store).reader(RUN) as reader:
        first, second = [row["id"] for row in reader.suspects().rows][:2]
    reviews.give_verdict(RUN, first, "spurious", "ann", NOTE)
    reviews.give_verdict(RUN, first, "unsure", "bob")
    reviews.give_verdict(RUN, second, "core feature", "bob")
    reviews.undo_verdict(RUN, "bob")
    reviews.tag(RUN, [*TAGGED, 1], TAG, "ann")
    reviews.untag(RUN, [1], TAG, "bob")
    reviews.save_view(VIEW, "samples", f"v=1&run={RUN}&sort=border_share", "ann")
    reviews.set_role("ann", "admin", "ann")
    reviews.close()


def make(folder: Path, out: Path) -> None:
    """Put it together in a folder, and pack it."""
    if folder.exists():
        raise SystemExit(f"{folder} is there already; give another --folder")
    try:
        folder.mkdir(parents=True)
        store = interrupted(folder).rename(folder / f"store_v{SCHEMA_VERSION}")
        write_pairs(store)
        write_findings(store)
        write_reviews(store)
        with tarfile.open(out, "w:xz", preset=9) as archive:
            for name in (store.name, "photos", "vit"):
                archive.add(folder / name, name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Make the archive of the schema that this software writes."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--folder", type=Path, default=Path("/srv/fixture"))
    given.add_argument("--out", type=Path, default=HERE / f"store_v{SCHEMA_VERSION}.tar.xz")
    options = given.parse_args(argv)
    make(options.folder, options.out)
    print(f"{options.out}: {options.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
