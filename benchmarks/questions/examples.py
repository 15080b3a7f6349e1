"""Examples: a scene, a question about it, its answer, and which regions and words matter."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from benchmarks.questions.kinds import KINDS, Plan, things
from benchmarks.questions.scenes import FEWEST, MOST, Thing, cells, place

BEFORE = ("", "", "now ,", "please tell me ,", "look ,", "in this picture ,", "hello ,")
AFTER = ("", "", "here", "in the scene", "please")
"""Words around a question that do not matter."""


@dataclass(frozen=True)
class Example:
    """One question.

    Attributes:
        kind: of the question, see `kinds.KINDS`.
        things: the regions of the scene, K of them.
        words: of the question, the last one is "?".
        answer: one of `kinds.ANSWERS`.
        important_regions: positions among the regions, from 0, in rising order. Empty where the answer is "no" because
            something is not there.
        important_words: positions among the words, from 0, in rising order.
    """

    kind: str
    things: tuple[Thing, ...]
    words: tuple[str, ...]
    answer: str
    important_regions: tuple[int, ...]
    important_words: tuple[int, ...]

    @property
    def text(self) -> str:
        """The question as it is typed."""
        return " ".join(self.words)


def example(seed: int, index: int, fewest: int = FEWEST, most: int = MOST, easy: bool = False) -> Example:
    """Example `index` of a seed; it does not depend on how many are drawn.

    Args:
        seed: of the whole set.
        index: position in it.
        fewest: things of a scene, at least (more where the question needs more).
        most: things of a scene, at most.
        easy: no words around the question.
    """
    rng = Random(f"{seed}/{index}")
    kind = rng.choices(list(KINDS), [share for share, _ in KINDS.values()])[0]
    plan = KINDS[kind][1](rng)
    found = _placed(rng, plan, things(rng, plan, fewest, most))
    order = rng.sample(range(len(found)), len(found))
    regions = sorted(order.index(i) for i in range(len(plan.asked)))
    words, important = _words(rng, plan.template, easy)
    return Example(kind, tuple(found[i] for i in order), words, plan.answer, tuple(regions), important)


def examples(count: int, seed: int, **options: Any) -> list[Example]:
    """The first examples of a seed; options as in :func:`example`."""
    return [example(seed, index, **options) for index in range(count)]


def _placed(rng: Random, plan: Plan, found: list[Thing]) -> list[Thing]:
    """Every thing in a cell of its own; those asked for where the plan puts them."""
    taken = plan.cells or []
    free = [cell for cell in cells(rng, 16) if cell not in taken]
    return [place(rng, thing, cell) for thing, cell in zip(found, [*taken, *free], strict=False)]


def _words(rng: Random, template: str, easy: bool) -> tuple[tuple[str, ...], tuple[int, ...]]:
    before, after = ("", "") if easy else (rng.choice(BEFORE), rng.choice(AFTER))
    marked = f"{before} {template} {after} ?".split()
    important = tuple(i for i, word in enumerate(marked) if word.startswith("*"))
    return tuple(word.removeprefix("*") for word in marked), important
