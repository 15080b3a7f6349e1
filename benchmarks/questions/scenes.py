"""Scenes: things of a shape, a colour and a size in the cells of a grid."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

SHAPES = ("circle", "square", "triangle", "star")
COLOURS = ("red", "blue", "green", "yellow", "purple", "orange")
SIZES = ("small", "large")
ATTRIBUTES = {"shape": SHAPES, "colour": COLOURS, "size": SIZES}
FEWEST, MOST = 8, 12
"""Things of a scene."""
GRID = 4
"""Cells along each side; a cell holds one thing at most."""
SIDES = {"small": (0.09, 0.12), "large": (0.17, 0.2)}
"""Side of a thing's box, as a fraction of the picture's."""
JITTER = 0.02
"""How far the middle of a thing lies from the middle of its cell, at most."""

Cell = tuple[int, int]  # column, row


@dataclass(frozen=True)
class Thing:
    """One region: what it is, and where. `box` is x0, y0, x1, y1 as fractions of the picture."""

    shape: str
    colour: str
    size: str
    box: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)

    def has(self, **wanted: str) -> bool:
        """Whether all these attributes are so."""
        return all(getattr(self, name) == value for name, value in wanted.items())

    @property
    def middle(self) -> tuple[float, float]:
        """The middle of the box, x and y."""
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2


def draw(rng: Random, **fixed: str) -> Thing:
    """A thing without a place: the given attributes, the others at random."""
    values = {name: fixed.get(name) or rng.choice(names) for name, names in ATTRIBUTES.items()}
    return Thing(values["shape"], values["colour"], values["size"])


def other(rng: Random, attribute: str, value: str) -> str:
    """Another value of an attribute."""
    return rng.choice([name for name in ATTRIBUTES[attribute] if name != value])


def place(rng: Random, thing: Thing, cell: Cell) -> Thing:
    """The thing in a cell, with a box that its size allows."""
    side = rng.uniform(*SIDES[thing.size])
    x, y = ((at + 0.5) / GRID + rng.uniform(-JITTER, JITTER) for at in cell)
    return Thing(thing.shape, thing.colour, thing.size, (x - side / 2, y - side / 2, x + side / 2, y + side / 2))


def cells(rng: Random, count: int) -> list[Cell]:
    """So many different cells in random order."""
    return [(at % GRID, at // GRID) for at in rng.sample(range(GRID * GRID), count)]
