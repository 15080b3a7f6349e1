"""What may be stored: clear refusals before anything is written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from storage.errors import StoreError, suggest

NAME_CHARACTERS = 200
TAG_CHARACTERS = 60
NOTE_CHARACTERS = 10_000
PARAMS_CHARACTERS = 100_000


def checked_text(value: str, what: str, most: int, least: int = 1) -> str:
    """The text itself, when it can be stored and read back exactly; `least` 1 also refuses blank text."""
    if not isinstance(value, str):
        raise StoreError(f"{what} must be text, got {type(value).__name__}")
    if len(value) > most:
        raise StoreError(f"{what} may have {most:,} characters, this one has {len(value):,}")
    if least and not value.strip():
        raise StoreError(f"{what} is empty; it needs 1 to {most:,} characters")
    if "\0" in value:
        raise StoreError(f"{what} holds a NUL character (at {value.index(chr(0))}), which databases cannot keep")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise StoreError(
            f"{what} holds half of a character (a lone surrogate, at {error.start}), which cannot be kept"
        ) from error
    return value


def checked_name(value: str, what: str) -> str:
    """A name of 1 to 200 characters, kept exactly as it is."""
    return checked_text(value, what, NAME_CHARACTERS)


def checked_tag(value: str) -> str:
    """A tag of 1 to 60 characters, without the white space around it."""
    return checked_text(value.strip() if isinstance(value, str) else value, "a tag", TAG_CHARACTERS)


def checked_choice(value: str, what: str, known: Sequence[str]) -> str:
    """One of the known words; a StoreError suggests the nearest."""
    if value not in known:
        raise StoreError(f"{value!r} is no {what}{suggest(str(value), known)}")
    return value


def checked_ids(sample_ids: Iterable[int] | npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Sample ids, int64, sorted, each once."""
    listed = sample_ids if isinstance(sample_ids, (np.ndarray, list, tuple)) else list(sample_ids)  # type: ignore[arg-type]
    try:
        array = np.asarray(listed)
    except ValueError as error:
        raise StoreError(f"sample ids must be a plain list of whole numbers ({error})") from error
    if array.size == 0:
        return np.empty(0, np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise StoreError(f"sample ids must be a plain list of whole numbers, got {array.dtype} of shape {array.shape}")
    low, high = int(array.min()), int(array.max())
    if low < 0 or high > np.iinfo(np.int64).max:
        raise StoreError(f"sample ids lie between 0 and 2^63 - 1, got {low if low < 0 else high}")
    return np.unique(array.astype(np.int64))
