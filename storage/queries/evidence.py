"""Deletion checks that a run of pairs made of its own maps."""

from __future__ import annotations

from typing import Any

from storage.reader import RunReader

CHECKS = {"drop_mean": "image", "drop_blur": "image", "drop_word": "text"}


def deletion_checks(reader: RunReader) -> list[dict[str, Any]]:
    """`{"target", "check", "median", "median_random", "stronger", "n"}` per target and check that was made.

    `stronger` is the share of samples whose score fell further than it did at random. Empty unless the run was made
    with --evidence.
    """
    found = []
    for name, modality in CHECKS.items():
        if {name, f"{name}_random"} & reader.record.taken:  # of an earlier schema: no checks
            continue
        found += reader.query(
            f"SELECT target, '{name}' AS check, median({name}) AS median, median({name}_random) AS median_random, "
            f"avg(({name} > {name}_random)::INTEGER) AS stronger, count(*) AS n FROM explanations "
            f"WHERE modality = ? AND isfinite({name}) AND isfinite({name}_random) GROUP BY target ORDER BY target",
            [modality],
        )
    return found
