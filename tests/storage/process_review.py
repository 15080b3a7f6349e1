"""A process that gives verdicts, for the tests: `python -m tests.storage.process_review STORE URL REVIEWER COUNT`.

URL is "-" for the store's own file. Prints `ready`, waits for a line, then prints every verdict's id once it is stored.
"""

from __future__ import annotations

import sys

from storage import VERDICTS, Reviews


def main(store: str, url: str, reviewer: str, count: int) -> None:
    reviews = Reviews.open(store, None if url == "-" else url)
    print("ready", flush=True)
    sys.stdin.readline()
    for k in range(count):
        entry = reviews.give_verdict("run", f"s{k % 7}", VERDICTS[k % 3], reviewer, f"{reviewer} {k}")
        print(entry.id, flush=True)
    reviews.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
