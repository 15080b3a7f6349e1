"""Some inputs of every target of the fuzzer; `make fuzz` tries many more."""

from __future__ import annotations

import pytest

from tests.reliability.fuzz.pool import Chunk, tallies
from tests.reliability.fuzz.registry import targets
from tests.reliability.fuzz.trying import Tally


@pytest.fixture(scope="module")
def found() -> dict[str, Tally]:
    """All targets in a process of their own: an input that kills it, or takes all memory, is its target's failure."""
    chunks = [Chunk(target.name, target.quick, 0) for target in targets().values()]
    return {chunk.target: tally for chunk, tally in tallies(chunks, 1, lambda: True)}


@pytest.mark.parametrize("name", sorted(targets()))
def test_every_input_ends_in_a_right_result_or_a_clear_error(found, name):
    assert found[name].failures == []
    assert sum(found[name].outcomes.values()) >= targets()[name].quick // 2  # fewer where no more inputs differ


def test_a_process_that_dies_hangs_or_takes_all_memory_is_a_failure_of_the_input_it_was_at(monkeypatch):
    monkeypatch.setattr("tests.reliability.fuzz.pool.HANGS_AFTER", 3.0)
    chunks = [Chunk(f"tests.reliability.broken:{name}", 5, 1) for name in ("DIES", "HANGS", "EATS")]
    problems = {chunk.target[-5:]: tally.failures for chunk, tally in tallies(chunks, 1, lambda: True)}
    assert [failure["input"] for failures in problems.values() for failure in failures] == ["'die'", "'hang'", "'eat'"]
    assert "the process ended with code -11: " in problems[":DIES"][0]["problem"]
    assert "Segmentation fault" in problems[":DIES"][0]["problem"]
    assert "the process ended with code -9" in problems["HANGS"][0]["problem"]
    assert "MemoryError" in problems[":EATS"][0]["problem"]
