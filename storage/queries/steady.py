"""An answer that is put together from several scans must see one state of a run, though its reader is refreshed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from storage.errors import StoreError
from storage.reader import RunReader

FREE = 2  # attempts that let others refresh
ATTEMPTS = 6

Given = ParamSpec("Given")
Answer = TypeVar("Answer")
Question = Callable[Concatenate[RunReader, Given], Answer]


def steady(question: Question[Given, Answer]) -> Question[Given, Answer]:
    """The question, asked again when the reader moved to another state while it was asked.

    Arrays of two states have different lengths, so an error may mean no more than that. From the third attempt on
    nobody else refreshes; the reader itself still may, when files are gone. Raises StoreError when that never ends.
    """

    @wraps(question)
    def asked(reader: RunReader, *args: Given.args, **kwargs: Given.kwargs) -> Answer:
        for attempt in range(ATTEMPTS):
            with nullcontext() if attempt < FREE else reader.still:
                version = reader.version
                try:
                    answer = question(reader, *args, **kwargs)
                except Exception:
                    if reader.version == version:
                        raise
                else:
                    if reader.version == version:
                        return answer
        raise StoreError(f"run {reader.run.run_id!r} changes faster than it can be read; ask again")

    return asked
