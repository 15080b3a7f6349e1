"""A few hundred inputs of every target of the fuzzer; `make fuzz` tries many more."""

from __future__ import annotations

import pytest

from tests.reliability.fuzz.registry import targets
from tests.reliability.fuzz.trying import try_many


@pytest.mark.parametrize("name", sorted(targets()))
def test_every_input_ends_in_a_right_result_or_a_clear_error(name):
    target = targets()[name]
    tally = try_many(target, target.quick, 20261126)
    assert tally.failures == []
    assert sum(tally.outcomes.values()) >= target.quick // 2  # hypothesis may run out of different inputs
