"""A reader that is moved to a newer state between the steps of one question: the answer is of one state."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from storage import RunReader, Store, StoreError, queries
from storage.queries import Filter, SampleQuery
from storage.queries.steady import ATTEMPTS, steady
from tests.storage import audit

QUERY = SampleQuery(
    "predicted", filters=(Filter("flash", "eq", True), Filter("score", "between", (0.0, None))), sort="score"
)
QUESTIONS: dict[str, Callable[[RunReader], Any]] = {
    "count": lambda reader: queries.count(reader, QUERY),
    "page": lambda reader: [row["sample_id"] for row in queries.page(reader, QUERY, size=500)],
    "ids": lambda reader: queries.ids(reader, QUERY).tolist(),
    "neighbours": lambda reader: queries.neighbours(reader, QUERY, audit.explained_ids(0)[3]),
    "histogram": lambda reader: queries.histogram(reader, QUERY, "score", 4),
    "confusion": lambda reader: queries.confusion(reader, QUERY),
    "class_summary": lambda reader: queries.class_summary(reader, QUERY),
}


class Moving(RunReader):
    """Moves before it has kept so many arrays, as another thread's `refresh` would have it."""

    move: Callable[[], None] | None = None
    steps = 0

    def keep(self, key: Any, make: Callable[[], Any]) -> Any:
        if self.move is not None and self.steps == 0:
            move, self.move = self.move, None
            move()
            self.refresh()
        self.steps -= 1
        return super().keep(key, make)


@pytest.mark.parametrize("name", QUESTIONS)
def test_an_answer_is_of_one_state(store: Store, name: str) -> None:
    ask, last = QUESTIONS[name], 1
    with store.writer("run", audit.record()) as writer:
        audit.commit(writer, 0, 1)
        for steps in range(5):
            with Moving(store.layout_of("run")) as reader, store.reader("run") as before:
                old, last = ask(before), last + 1
                reader.steps, reader.move = steps, lambda part=last: audit.commit(writer, part)
                found = ask(reader)
                with store.reader("run") as after:
                    assert found == (ask(after) if reader.move is None else old)
                assert reader.move is None or steps > 2, "the question has too few steps to be disturbed"


def test_without_it_two_states_are_mixed(store: Store) -> None:
    plain = queries.count.__wrapped__  # type: ignore[attr-defined]
    with store.writer("run", audit.record()) as writer:
        audit.commit(writer, 0, 1)
        with Moving(store.layout_of("run")) as reader:
            reader.steps, reader.move = 3, lambda: audit.commit(writer, 2)
            with pytest.raises(ValueError, match="shape"):
                plain(reader, QUERY)


def test_a_state_that_never_rests_is_told(store: Store) -> None:
    with store.writer("run", audit.record()) as writer, store.reader("run") as reader:
        asked = []

        @steady
        def restless(reader: RunReader) -> None:
            audit.commit(writer, len(asked))
            asked.append(reader.refresh())

        with pytest.raises(StoreError, match="changes faster than it can be read"):
            restless(reader)
        assert asked == [True] * ATTEMPTS


def test_an_error_of_a_state_at_rest_is_its_own(store: Store) -> None:
    with store.writer("run", audit.record()) as writer:
        audit.commit(writer, 0)
    with store.reader("run") as reader, pytest.raises(StoreError, match="page 0"):
        queries.page(reader, QUERY, 0)


def test_who_is_still_makes_others_wait(store: Store) -> None:
    with store.writer("run", audit.record()) as writer, store.reader("run") as reader:
        audit.commit(writer, 0)
        refreshing = threading.Thread(target=reader.refresh)
        with reader.still:
            version = reader.version
            refreshing.start()
            refreshing.join(0.3)
            assert refreshing.is_alive() and reader.version == version
        refreshing.join(30)
        assert reader.version != version
