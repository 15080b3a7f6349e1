"""Kinds of questions: each picks its answer first, evenly, and then the things that make it true.

A question is thus never told from its words alone, and things that fit it but for one attribute are always there, so
that every one of its important words is needed. `*` marks the important words of a template.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from benchmarks.questions.scenes import ATTRIBUTES, COLOURS, FEWEST, GRID, MOST, SHAPES, SIZES, Cell, Thing, draw, other

NUMBERS = ("1", "2", "3", "4")
ANSWERS = (*COLOURS, *SHAPES, *SIZES, *NUMBERS, "yes", "no")
"""Every answer there is; its place is its class."""


@dataclass(frozen=True)
class Plan:
    """What a question asks for.

    `template`: its words. `asked`: the things it is about, `near`: things that nearly fit, `fits`: whether another
    thing would change the answer. `cells` are the places of the asked things where these matter.
    """

    template: str
    answer: str
    asked: list[Thing]
    near: list[Thing]
    fits: Callable[[Thing], bool]
    cells: list[Cell] | None = None


def query(rng: Random, asked: str) -> Plan:
    """One attribute of the only thing that has two others: its answer is any value of the attribute."""
    answer = rng.choice(ATTRIBUTES[asked])
    names = [name for name in ATTRIBUTES if name != asked]
    known = {name: rng.choice(ATTRIBUTES[name]) for name in names}
    near = [draw(rng, **{**known, name: other(rng, name, known[name])}) for name in names]
    noun = known.get("shape", "thing")
    marks = [f"*{known[name]}" for name in ("size", "colour") if name in known]
    noun = f"*{noun}" if "shape" in known else noun
    template = f"what *{asked} is the {' '.join(marks)} {noun}"
    return Plan(template, answer, [draw(rng, **known, **{asked: answer})], near, lambda t: t.has(**known))


def count(rng: Random) -> Plan:
    """How many things have one shape or one colour: 1 to 4."""
    name = rng.choice(("shape", "colour"))
    value, answer = rng.choice(ATTRIBUTES[name]), rng.choice(NUMBERS)
    noun = f"*{value}s" if name == "shape" else f"*{value} things"
    asked = [draw(rng, **{name: value}) for _ in range(int(answer))]
    return Plan(f"how *many {noun} are there", answer, asked, [], lambda t: t.has(**{name: value}))


def exists(rng: Random) -> Plan:
    """Whether a thing of a colour and a shape is there; both are there on other things in either case."""
    known = {"colour": rng.choice(COLOURS), "shape": rng.choice(SHAPES)}
    answer = rng.choice(("yes", "no"))
    near = [draw(rng, **{**known, name: other(rng, name, known[name])}) for name in known]
    asked = [draw(rng, **known)] if answer == "yes" else []
    template = f"is *there a *{known['colour']} *{known['shape']}"
    return Plan(template, answer, asked, near, lambda t: t.has(**known))


def relation(rng: Random) -> Plan:
    """Whether one thing lies left of another, or above it; each is the only one of its colour and shape.

    The committed models answer these at chance (their cards say so): leave them out where right answers are needed.
    """
    kinds = rng.sample([(colour, shape) for colour in COLOURS for shape in SHAPES], 2)
    word, axis = rng.choice((("*left of", 0), ("*right of", 0), ("*above", 1), ("*below", 1)))
    answer = rng.choice(("yes", "no"))
    low, high = sorted(rng.sample(range(GRID), 2))
    across = rng.sample(range(GRID), 2)
    first_is_low = (answer == "yes") == (word in ("*left of", "*above"))
    along = (low, high) if first_is_low else (high, low)
    cells = [(a, b) if axis == 0 else (b, a) for a, b in zip(along, across, strict=True)]
    names = [f"*{colour} *{shape}" for colour, shape in kinds]
    asked = [draw(rng, colour=colour, shape=shape) for colour, shape in kinds]
    template = f"is the {names[0]} {word} the {names[1]}"
    return Plan(template, answer, asked, [], lambda t: (t.colour, t.shape) in kinds, cells)


KINDS: dict[str, tuple[float, Callable[[Random], Plan]]] = {
    "colour": (0.3, lambda rng: query(rng, "colour")),
    "shape": (0.2, lambda rng: query(rng, "shape")),
    "size": (0.1, lambda rng: query(rng, "size")),
    "count": (0.2, count),
    "exists": (0.1, exists),
    "relation": (0.1, relation),
}
"""Name -> share of the questions, and how one is planned. Within a kind every answer is equally likely."""


def things(rng: Random, plan: Plan, fewest: int = FEWEST, most: int = MOST) -> list[Thing]:
    """The things of a scene without places, those asked for first; as many as were drawn, or as are needed."""
    near = [thing for thing in plan.near if not plan.fits(thing)]
    found = [*plan.asked, *near]
    wanted = rng.randint(fewest, most)
    while len(found) < wanted:
        thing = draw(rng)
        if not plan.fits(thing):
            found.append(thing)
    return found
