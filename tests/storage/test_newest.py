"""A run that grows while threads ask questions made of several queries: every answer is of one moment."""

from __future__ import annotations

import gc
import threading
import time
from typing import Any

from storage import Newest, RunReader, Store, queries
from storage.queries import Filter, SampleQuery
from tests.storage import audit

QUERY = SampleQuery("predicted", filters=(Filter("flash", "eq", True),), sort="score", descending=True)
THREADS, SECONDS, PATIENCE = 8, 2.0, 60


def matching(parts: int) -> list[int]:
    """The ids of QUERY, in its order, when so many parts are committed."""
    ids = [i for i in audit.explained_ids(*range(parts)) if audit.sample(i)["flash"]]
    return sorted(ids, key=lambda i: (-audit.explanation(i, "predicted", "image")["score"], i))


def answer(reader: RunReader) -> tuple[int, list[int], int]:
    """How many samples match, the first of them in order, and how many there are."""
    rows = queries.page(reader, QUERY, 1, 20)
    return queries.count(reader, QUERY), [row["sample_id"] for row in rows], reader.snapshot.contents.samples


def truth(parts: int) -> tuple[int, list[int], int]:
    ids = matching(parts)
    return len(ids), ids[:20], len(audit.explained_ids(*range(parts)))


def test_a_reader_stays_where_it_was_opened(store: Store) -> None:
    with store.writer("run", audit.record()) as writer:
        audit.commit(writer, 0, 1)
        newest = Newest(store.layout_of("run"))
        first = newest.reader()
        assert newest.reader() is first
        audit.commit(writer, 2)
        second = newest.reader()
        assert answer(first) == truth(2) and answer(second) == truth(3)
        writer.seal()
        third = newest.reader()
        assert third is not second and answer(first) == truth(2) and answer(third) == truth(3)
        newest.close()
        assert answer(newest.reader()) == truth(3)
        newest.close()


def test_what_a_state_kept_goes_with_its_last_user(store: Store) -> None:
    with store.writer("run", audit.record()) as writer:
        audit.commit(writer, 0, 1)
        newest = Newest(store.layout_of("run"))
        held = newest.reader()
        arrays, before = held.arrays, held.arrays.nbytes
        answer(held)
        assert arrays.nbytes > before
        audit.commit(writer, 2)
        newest.reader()
        gc.collect()
        assert arrays.nbytes > before, "somebody still holds it"
        del held
        gc.collect()
        assert arrays.nbytes == before
        newest.close()


def test_answers_of_threads_are_of_one_moment(store: Store) -> None:
    wrong: list[Any] = []
    seen: set[int] = set()
    with store.writer("run", audit.record(), grace_seconds=60) as writer:
        audit.commit(writer, 0)
        newest = Newest(store.layout_of("run"))
        start = time.monotonic()

        def going() -> bool:
            """For some seconds, and until answers of several moments were seen."""
            passed = time.monotonic() - start
            return not wrong and (passed < SECONDS or (len(seen) < 3 and passed < PATIENCE))

        def work() -> None:
            while going():
                try:
                    reader = newest.reader()
                    parts = len(reader.snapshot.committed)
                    found = answer(reader)
                    if found != truth(parts):
                        wrong.append((parts, found, truth(parts)))
                    seen.add(parts)
                except Exception as error:
                    wrong.append(repr(error))

        threads = [threading.Thread(target=work) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        index = 1
        while going():
            audit.commit(writer, index)
            if index % 5 == 0:
                writer.seal()
            index += 1
            time.sleep(0.05)
        for thread in threads:
            thread.join()
        newest.close()
    assert not wrong, wrong[:3]
    assert len(seen) >= 3
