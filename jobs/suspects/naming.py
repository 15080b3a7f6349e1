"""Names: what a cue looks like, in words."""

from __future__ import annotations

import numpy as np

from engine.suspects import Candidate, ConceptCue, Cue, Observations, PlaceCue, PropertyCue, WordCue
from jobs.suspects.gather import Gathered

SIDES = 1 / 3
COMMON = 0.6  # share of a suspect's photos that lie in one place for it to be named
FRAME = 0.8  # share of a region's cells on the border ring for it to be called a frame
ABOVE = {
    "brightness": ("dark", "bright"),
    "contrast": ("low-contrast", "high-contrast"),
    "saturation": ("pale", "colourful"),
    "warmth": ("bluish", "reddish"),
    "greenness": ("purplish", "greenish"),
    "sharpness": ("blurred", "sharp"),
    "aspect": ("tall", "wide"),
}


def name_of(one: Candidate, gathered: Gathered) -> str:
    """A few words for a suspect's cue."""
    return cue_name(one.cue, one.members, gathered.seen, gathered.tokens)


def cue_name(cue: Cue, members: np.ndarray, seen: Observations, tokens: np.ndarray | None) -> str:
    """A few words for a cue that the samples `members` show; `tokens` [N, T] are the cells of the patches."""
    if isinstance(cue, WordCue):
        return f"the word '{cue.word}'"
    if isinstance(cue, PropertyCue):
        return _property(cue)
    if isinstance(cue, PlaceCue):
        return _place(cue.cells, seen)
    assert isinstance(cue, ConceptCue)
    return _patches(cue, members, seen, tokens)


def _property(cue: PropertyCue) -> str:
    if cue.category is not None:
        return f"{cue.name} = {cue.category}"
    low = cue.low is None
    if cue.name in ABOVE:
        words = ABOVE[cue.name][0 if low else 1]
        return f"{words} pictures"
    return f"{cue.name} {'at most' if low else 'at least'} {cue.high if low else cue.low:g}"


def _place(cells: np.ndarray, seen: Observations) -> str:
    grid = seen.grid
    assert grid is not None
    board = cells.reshape(grid)
    ring = np.ones(grid, bool)
    ring[1:-1, 1:-1] = False
    sides = [board[0].mean(), board[-1].mean(), board[:, 0].mean(), board[:, -1].mean()]
    if (board & ring).sum() >= FRAME * board.sum() and min(sides) > 0:
        return "the border of the picture"
    rows, columns = np.nonzero(board)
    return f"a place: {_where((rows.mean() + 0.5) / grid[0], (columns.mean() + 0.5) / grid[1])}"


def _patches(cue: ConceptCue, members: np.ndarray, seen: Observations, tokens: np.ndarray | None) -> str:
    """Where the cue's patches lie, if they mostly lie in one place."""
    if seen.grid is None or seen.patches is None or tokens is None:
        return "alike patches"
    rows = members[:200]
    here = cue.likeness(seen.patches[rows]) >= cue.cut
    cells = tokens[rows][here]
    cells = cells[cells >= 0]
    if not len(cells):
        return "alike patches"
    return f"alike patches {_spread(cells, seen.grid)}"


def _spread(tokens: np.ndarray, grid: tuple[int, int]) -> str:
    """Where most cells of a list lie: a ninth, a third, along the border, or nowhere in particular."""
    rows, columns = tokens // grid[1], tokens % grid[1]
    down = _most([_third((row + 0.5) / grid[0]) for row in rows], ("top", "middle", "bottom"))
    across = _most([_third((column + 0.5) / grid[1]) for column in columns], ("left", "middle", "right"))
    sides = [word for word in (down, across) if word is not None and word != "middle"]
    if sides:
        return f"at the {' '.join(sides)}"
    if down == across == "middle":
        return "in the middle"
    edge = (rows == 0) | (columns == 0) | (rows == grid[0] - 1) | (columns == grid[1] - 1)
    return "along the border" if edge.mean() >= FRAME else "at changing places"


def _third(fraction: float) -> int:
    return min(int(fraction * 3), 2)


def _most(thirds: list[int], names: tuple[str, str, str]) -> str | None:
    """The third that holds most of the cells, if one does."""
    counts = np.bincount(thirds, minlength=3)
    return names[int(counts.argmax())] if counts.max() >= COMMON * counts.sum() else None


def _where(y: float, x: float) -> str:
    """A ninth of the picture, from fractions of its height and width."""
    down = "top" if y < SIDES else "bottom" if y > 1 - SIDES else ""
    across = "left" if x < SIDES else "right" if x > 1 - SIDES else ""
    return f"at the {' '.join(word for word in (down, across) if word)}" if down or across else "in the middle"
