"""Models with several token streams: co-attention (LXMERT) and encoder-decoder attention (DETR, BLIP)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor


@dataclass(frozen=True)
class Step:
    """One attention: tokens of stream ``query`` look at tokens of stream ``key``; ``site`` is its key."""

    query: str
    key: str
    site: str

    @property
    def is_self(self) -> bool:
        """Whether a stream looks at itself."""
        return self.query == self.key


Steps = tuple[tuple[Step, ...], ...]
"""Steps in the order of the updates. Steps of one group all start from the state before the group."""


@dataclass(frozen=True)
class Stream:
    """The tokens of one stream, for a given batch.

    Attributes:
        name: name that steps use; "image" and "text" streams are part of the answer.
        content: tokens that relevancy is returned for, [B, N] boolean.
        valid: tokens that are not padding, [B, N] boolean.
        words: text tokens whose piece is shown, [B, N] boolean (default: the content).
        prefix: leading tokens that are no part of the answer (CLS of an image encoder).
    """

    name: str
    content: Tensor
    valid: Tensor
    words: Tensor | None = None
    prefix: int = 0


@dataclass(frozen=True)
class Relation:
    """Streams, steps, and where the answer is read.

    Attributes:
        streams: by name.
        steps: see :data:`Steps`.
        read: the stream that the answer is read from.
        row: row over that stream, [B, N]; None when the target names it (the query of a detector).
        mutual: the streams look at each other (co-attention), though the steps may show one direction only: what
            the other direction would do in the last layer cannot reach the answer.
        clears_read_out: set the read-out token's own entry to zero at the very end (LXMERT's code does).
        nan_is_zero: what the authors' code makes of 0/0 in eq. 8-9: True, NaN entries of an addition become zero
            (DETR); False, NaN stays (LXMERT).
        grid: rows and columns of the image tokens.
        grids: rows and columns that are not padding, [B, 2].
    """

    streams: dict[str, Stream]
    steps: Steps
    read: str
    row: Tensor | None
    mutual: bool = False
    clears_read_out: bool = False
    nan_is_zero: bool = True
    grid: tuple[int, int] | None = None
    grids: Tensor | None = None

    def __iter__(self) -> Iterator[Step]:
        return (step for group in self.steps for step in group)

    @cached_property
    def cross_pairs(self) -> set[tuple[str, str]]:
        """Pairs (query stream, key stream) that relevancy passes between."""
        pairs = {(step.query, step.key) for step in self if not step.is_self}
        return pairs | {(key, query) for query, key in pairs} if self.mutual else pairs

    @property
    def answers(self) -> tuple[tuple[str, str], ...]:
        """The matrices that the answer is read from: (read stream, stream) for every stream that it can depend on."""
        others = tuple((self.read, key) for query, key in sorted(self.cross_pairs) if query == self.read)
        return ((self.read, self.read), *others)

    def last(self, query: str, key: str) -> Step:
        """The last step of a pair of streams."""
        return [step for step in self if (step.query, step.key) == (query, key)][-1]

    def self_steps(self, stream: str, before: Step | None = None) -> list[Step]:
        """Self-attentions of a stream, first to last, or only those before a step."""
        found = []
        for step in self:
            if step is before:
                break
            if step.is_self and step.query == stream:
                found.append(step)
        return found

    def valid_map(self, query: str, key: str) -> Tensor:
        """Entries of a map that belong to no padding, [B, s, q] boolean."""
        return self.streams[query].valid[:, :, None] & self.streams[key].valid[:, None, :]

    @property
    def is_encoder_decoder(self) -> bool:
        """Whether nothing attends back, and the memory is complete before it is read."""
        pairs = self.cross_pairs
        if any((key, query) in pairs for query, key in pairs) or len(pairs) != 1:
            return False
        ((query, key),) = pairs
        first_cross = next(step for step in self if not step.is_self)
        return query == self.read and len(self.self_steps(key, first_cross)) == len(self.self_steps(key))
