"""Which samples make up which part, and which parts are still to do."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Task:
    """One batch: the samples `start` to `stop` (exclusive) of part `part`; `last` closes the part."""

    part: int
    start: int
    stop: int
    last: bool

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Plan:
    """Parts are contiguous blocks of `part_size` sample ids, so part and sample find each other by division."""

    samples: int
    part_size: int
    done: frozenset[int] = frozenset()

    @property
    def parts(self) -> int:
        """Number of parts."""
        return -(-self.samples // self.part_size)

    @property
    def pending(self) -> list[int]:
        """Parts that are still to do, in order."""
        return [part for part in range(self.parts) if part not in self.done]

    def only(self, part: int) -> Plan:
        """This plan with one part to do."""
        return replace(self, done=frozenset(range(self.parts)) - {part})

    def bounds(self, part: int) -> tuple[int, int]:
        """First sample id of `part`, and the first one after it."""
        return part * self.part_size, min((part + 1) * self.part_size, self.samples)

    def samples_in(self, parts: Collection[int]) -> int:
        """Samples that `parts` hold together."""
        return sum(stop - start for start, stop in map(self.bounds, parts))

    def tasks(self, batch_size: int) -> Iterator[Task]:
        """The batches of all pending parts in order; none reaches over the end of its part."""
        for part in self.pending:
            first, end = self.bounds(part)
            for start in range(first, end, batch_size):
                stop = min(start + batch_size, end)
                yield Task(part, start, stop, stop == end)
