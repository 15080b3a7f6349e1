"""A reading process for the tests: `python -m tests.storage.process_poll ROOT`.

Looks at the run until it is finished and checks every answer; refreshes only now and then, so that it meets parts that
have been removed meanwhile. Prints how often it looked, and in how many states it saw the run.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from storage import Store, list_runs
from storage.queries import SampleQuery, page
from tests.storage import audit

_QUERY = """
SELECT (SELECT count(*) FROM samples) AS samples, (SELECT count(DISTINCT sample_id) FROM samples) AS ids,
       (SELECT count(*) FROM explanations) AS explanations, (SELECT count(*) FROM map_image_49) AS maps,
       (SELECT count(*) FROM failures) AS failures
"""


def main(root: str) -> None:
    while not (Path(root) / "runs" / "run" / "run.json").exists():
        time.sleep(0.01)
    store = Store.open(root)
    reader = store.reader("run")
    whole_parts = {len(audit.explained_ids(*range(n))): n for n in range(200)}
    looks, seen, before = 0, set(), 0
    while True:
        state = list_runs(store)[0]["state"]
        looks += 1
        if looks % 3 == 0 or state == "finished":
            reader.refresh()
        (row,) = reader.query(_QUERY)
        parts = whole_parts[row["samples"]]  # a KeyError here is half a part
        failures = sum(len(audit.part_failures(index)) for index in range(parts))
        assert row["ids"] == row["samples"], row
        assert (row["explanations"], row["maps"]) == (4 * row["samples"], 2 * row["samples"]), row
        assert row["failures"] == failures, row
        assert row["samples"] >= before, (before, row)
        before = row["samples"]
        seen.add(reader.version)
        first = page(reader, SampleQuery("predicted"), 1, 5)
        assert [r["sample_id"] for r in first] == audit.explained_ids(*range(parts))[:5]
        maps = reader.maps([(r["sample_id"], "predicted") for r in first], "image")
        for (sample_id, target), found in maps.items():
            assert (found == audit.relevancy(sample_id, target, "image")).all()
        assert len(maps) == len(first)
        progress = reader.progress()
        assert progress.explained >= row["samples"]
        if state == "finished":
            print(looks, len(seen), row["samples"], flush=True)
            return


if __name__ == "__main__":
    main(sys.argv[1])
