"""A writing process for the tests: `python -m tests.storage.process_write ROOT PARTS SEAL_EVERY GRACE [FILE_LIMIT]`.

Prints `ready`, the index of every part once it is committed, and `finished`; a StoreError goes to stderr as one line
and ends it with exit code 2.
"""

from __future__ import annotations

import resource
import signal
import sys

from storage import Store, StoreError
from tests.storage import audit


def main(root: str, parts: int, seal_every: int, grace: float, file_limit: int | None = None) -> None:
    store = Store.open(root, create=True)
    if file_limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
    with store.writer(
        "run", audit.record(parts * audit.PART_SAMPLES), seal_every=seal_every, grace_seconds=grace
    ) as writer:
        print("ready", flush=True)
        for index in range(parts):
            if index in writer.committed:
                continue
            audit.commit(writer, index)
            print(index, flush=True)
            writer.update_progress({"parts_total": parts, "samples_per_second": 100.0, "eta_seconds": 1.0})
        writer.seal()
        writer.finish("finished")
    print("finished", flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background ignore it: we inherit that
    limit = int(sys.argv[5]) if len(sys.argv) > 5 else None
    try:
        main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), limit)
    except StoreError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
