"""Sixteen threads on one reader, while the run grows and is sealed: every answer must be right."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np

from storage import RunReader, Store, queries
from storage.queries import Filter, SampleQuery
from tests.storage import audit

THREADS = 16
SECONDS = 2.5
PATIENCE = 60  # seconds after which a machine with other work is no excuse any more
FIXED = audit.explained_ids(0, 1)


def ask(reader: RunReader, turn: int) -> tuple[Any, Any]:
    """(answer, truth) of one question about the first two parts, which never change."""
    old = Filter("sample_id", "between", (0, FIXED[-1]))
    kind = turn % 5
    if kind == 0:
        query = SampleQuery("predicted", filters=(old,), sort="score", descending=True)
        order = sorted(FIXED, key=lambda i: (-audit.explanation(i, "predicted", "image")["score"], i))
        return [r["sample_id"] for r in queries.page(reader, query, 2, 5)], order[5:10]
    if kind == 1:
        keys = [(i, "label") for i in FIXED[turn % 7 :: 7]]
        found = reader.maps(keys, "text")
        right = [np.array_equal(found[key], audit.relevancy(*key, "text")) for key in keys]
        return right, [True] * len(keys)
    if kind == 2:
        label = audit.CLASSES[turn % 3]
        query = SampleQuery("predicted", filters=(old, Filter("label", "eq", label)))
        return queries.count(reader, query), sum(audit.sample(i)["label"] == label for i in FIXED)
    if kind == 3:
        sample_id = FIXED[turn % len(FIXED)]
        found = queries.sample(reader, sample_id)
        return (found["sample"]["uri"], len(found["explanations"])), (audit.sample(sample_id)["uri"], 4)
    rows = reader.query(
        "SELECT count(*) AS n, count(DISTINCT sample_id) AS ids FROM samples WHERE sample_id <= ?", [FIXED[-1]]
    )
    return (rows[0]["n"], rows[0]["ids"]), (len(FIXED), len(FIXED))


def test_sixteen_threads_agree_with_the_truth(store: Store) -> None:
    wrong: list[Any] = []
    answers = [0] * THREADS
    refreshed = [0] * THREADS
    with store.writer("run", audit.record(), grace_seconds=0) as writer:
        audit.commit(writer, 0, 1)
        with store.reader("run") as reader:
            start = time.monotonic()

            def going() -> bool:
                """For some seconds, and until every thread has asked and the run has grown under them."""
                passed = time.monotonic() - start
                seen = min(answers) > 0 and sum(answers) > 50 and sum(refreshed) > 1
                return not wrong and (passed < SECONDS or (not seen and passed < PATIENCE))

            def work(number: int) -> None:
                turn = number
                while going():
                    try:
                        if turn % 4 == 0:
                            refreshed[number] += reader.refresh()
                        answer, truth = ask(reader, turn)
                        if answer != truth:
                            wrong.append((turn, answer, truth))
                        answers[number] += 1
                    except Exception as error:
                        wrong.append((turn, repr(error)))
                    turn += 1

            threads = [threading.Thread(target=work, args=(n,)) for n in range(THREADS)]
            for thread in threads:
                thread.start()
            index = 2
            while going():
                audit.commit(writer, index)
                if index % 3 == 0:
                    writer.seal()
                index += 1
                time.sleep(0.02)
            for thread in threads:
                thread.join()
    assert not wrong, wrong[:3]
    assert min(answers) > 0 and sum(answers) > 50
    assert sum(refreshed) > 1
