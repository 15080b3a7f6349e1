"""What is fuzzed: a name, how inputs are made, and a check that says how each of them ended."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis.strategies import SearchStrategy

RIGHT, REFUSED = "right", "refused"
LONGEST = 1200  # characters of a clear error: about a paragraph, for messages that quote names and paths


@dataclass(frozen=True)
class Target:
    """One thing that reads what others wrote.

    Attributes:
        name: as in `--target NAME`; lower case.
        what: the inputs and who reads them, in a few words.
        strategy: makes the strategy of the inputs; called once per process, so that a corpus is only made when needed.
        check: one input to `RIGHT` (a right result) or `REFUSED` (a clear error). Anything else raises AssertionError.
        share: how many inputs this target gets, relative to the others. Cheap targets take more.
        quick: inputs in the test suite.
        pinned: inputs that went wrong once, tried first.
    """

    name: str
    what: str
    strategy: Callable[[], SearchStrategy[Any]]
    check: Callable[[Any], str]
    share: float = 1.0
    quick: int = 200
    pinned: tuple[Any, ...] = ()


def tried(work: Callable[[], object], *errors: type[Exception], names: Sequence[str] = ()) -> str:
    """Run `work`: RIGHT when it returns, REFUSED when it raises one of `errors` clearly, AssertionError for the rest.

    `names` are words of which the message must hold one: what the error is about. `work` checks its own results and
    raises AssertionError when they are wrong.
    """
    try:
        work()
    except errors as error:
        clear(str(error), names)
        return REFUSED
    except (AssertionError, KeyboardInterrupt):
        raise
    except BaseException as error:
        said = " ".join(str(error).split())[:300]
        raise AssertionError(f"ended in {type(error).__module__}.{type(error).__name__}: {said}") from error
    return RIGHT


def clear(message: str, names: Sequence[str] = ()) -> None:
    """AssertionError unless `message` is one line for people, of sane length, about one of `names`."""
    assert message.strip(), "the message is empty"
    assert len(message) <= LONGEST, f"the message has {len(message)} characters: {message[:200]!r}..."
    strange = sorted({character for character in message if not readable(character)})
    assert not strange, f"the message holds {strange[:5]!r}: {message[:300]!r}"
    assert "Traceback" not in message, message
    assert not names or any(name in message for name in names), f"names none of {list(names)}: {message!r}"


def readable(character: str) -> bool:
    """Whether a character does nothing to a terminal or a log but show itself."""
    return unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp")
