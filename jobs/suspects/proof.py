"""Proof of one suspect: remove its cue, transplant its cue, and see what the model says."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage
from torch import Tensor

from engine.interventions.effect import Effect
from engine.interventions.pictures import remove, transplant
from engine.interventions.properties import shift_property
from engine.interventions.words import remove_word, transplant_word
from engine.suspects import NONE, Candidate, ConceptCue, PlaceCue, PropertyCue, WordCue
from jobs.suspects.gather import Gathered
from jobs.suspects.material import Material

FEWEST = 4  # photos that an intervention needs to say anything
MOST = 0.7  # of the cells: more is not a cue's region but the picture
TOUCHED = 0.05  # of a cell: less is a mask's ragged edge
CROPS = 6  # strongest samples whose region is kept, for pictures of the cue


@dataclass(frozen=True)
class Proof:
    """What interventions said of a suspect.

    Attributes:
        effects: "removal" and "transplant", as far as they could be done.
        on_object: share of the cue's cells that touch the object, and the same for all cells; None without masks or
            boxes.
        boxes: sample_id -> box around the cue (x0, y0, x1, y1, fractions of the picture), strongest samples first.
        reason: why there are no effects, in words.
    """

    effects: dict[str, Effect] = field(default_factory=dict)
    on_object: tuple[float, float] | None = None
    boxes: dict[int, list[float]] = field(default_factory=dict)
    reason: str | None = None


def prove(one: Candidate, gathered: Gathered, material: Material, *, photos: int, seed: int) -> Proof:
    """Intervene on at most `photos` of a suspect's samples, spread over weak and strong ones."""
    rng = np.random.default_rng((seed, one.class_index, len(one.members)))
    if isinstance(one.cue, WordCue):
        return _prove_word(one, one.cue, gathered, material, photos, rng)
    if material.loaded.preprocess is None or material.loaded.task != "classify":
        return Proof(reason="pictures of this kind of model are not intervened on")
    if isinstance(one.cue, PropertyCue):
        return _prove_property(one, one.cue, gathered, material, photos, rng)
    assert isinstance(one.cue, ConceptCue | PlaceCue)
    return _prove_region(one, one.cue, gathered, material, photos, rng)


def spread(rows: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of ranked rows, evenly spread from first to last."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int))]


def _others(one: Candidate, gathered: Gathered, count: int, rng: np.random.Generator) -> np.ndarray:
    """Rows of samples that are predicted otherwise and do not show the cue, chosen at random."""
    free = (gathered.seen.predicted != one.class_index) & (gathered.seen.predicted != NONE)
    free[one.elsewhere] = False
    rows = np.flatnonzero(free)
    return rng.choice(rows, min(count, len(rows)), replace=False)


# -- regions ------------------------------------------------------------------------------------------


def _prove_region(
    one: Candidate,
    cue: ConceptCue | PlaceCue,
    gathered: Gathered,
    material: Material,
    photos: int,
    rng: np.random.Generator,
) -> Proof:
    grid = gathered.seen.grid
    if grid is None:
        return Proof(reason="the pictures have no common grid")
    ids, pictures = material.pictures([int(gathered.ids[row]) for row in spread(one.members, photos)])
    if len(ids) < FEWEST:
        return Proof(reason=f"only {len(ids)} of its pictures can be read")
    images = material.inputs(pictures)
    hosts = _others(one, gathered, len(ids), rng)
    foreign_ids, foreign = material.pictures([int(gathered.ids[row]) for row in hosts])
    host_images = material.inputs(foreign) if foreign_ids else images[:0]
    cells, core = cue_cells(cue, images, host_images, grid, material)
    usable = np.flatnonzero(cells.any(axis=1) & (cells.mean(axis=1) <= MOST))
    if len(usable) < FEWEST:
        return Proof(reason="the cue's region could not be told from the rest of the picture")
    ids = [ids[k] for k in usable]
    sizes = [pictures[k].size for k in usable]
    images, cells, core = images[usable], cells[usable], core[usable]
    on_object = object_shares(core, material.object_cells(ids, sizes, grid), grid)
    effects = {"removal": remove(images, cells, grid, one.class_index, material.score, rng)}
    if len(foreign_ids) >= FEWEST:
        chosen = np.arange(len(foreign_ids)) % len(ids)
        effects["transplant"] = transplant(
            images[chosen], cells[chosen], host_images, grid, one.class_index, material.score, rng
        )
    return Proof(effects, on_object, cue_boxes(ids, sizes, cells, grid, material))


def cue_cells(
    cue: ConceptCue | PlaceCue, images: Tensor, hosts: Tensor, grid: tuple[int, int], material: Material
) -> tuple[np.ndarray, np.ndarray]:
    """The cue's region in each picture, and the cells of it that show the cue best, [B, h * w] boolean each."""
    if isinstance(cue, PlaceCue):
        cells = np.tile(cue.cells, (len(images), 1))
        return cells, cells
    likeness = cue.likeness(material.states(images, grid))
    reach = cue.reach(material.states(hosts, grid) if len(hosts) else np.zeros(0))
    return likeness >= reach, likeness >= cue.cut


def object_shares(core: np.ndarray, cover: np.ndarray, grid: tuple[int, int]) -> tuple[float, float] | None:
    """Share of the cue's cells that touch the object, and share of all cells that do: what a random place would give.

    Args:
        core: cells that show the cue, [B, h * w] boolean.
        cover: how far the object covers each cell, [B, h * w]; NaN rows where the object is not known.
        grid: rows and columns.

    A cell touches the object when the object covers some of it or of one of its four neighbours: a cell is coarse
    beside a small object. None where no object is known.
    """
    known = ~np.isnan(cover).any(axis=1) & core.any(axis=1)
    if not known.any():
        return None
    objects = (cover[known] > TOUCHED).reshape(-1, *grid)
    near = ndimage.binary_dilation(objects, ndimage.generate_binary_structure(2, 1)[None]).reshape(len(objects), -1)
    shares = [cells[own].mean() for cells, own in zip(near, core[known], strict=True)]
    return float(np.mean(shares)), float(near.mean())


def cue_boxes(
    ids: list[int], sizes: list[tuple[int, int]], cells: np.ndarray, grid: tuple[int, int], material: Material
) -> dict[int, list[float]]:
    """A box around the cue in the strongest samples, as fractions of the whole picture."""
    assert material.loaded.preprocess is not None
    found = {}
    for sample, size, own in list(zip(ids, sizes, cells, strict=True))[:CROPS]:
        x0, y0, x1, y1 = material.loaded.preprocess.view(*size)
        rows, columns = np.nonzero(own.reshape(grid))
        spans = (
            columns.min() / grid[1],
            rows.min() / grid[0],
            (columns.max() + 1) / grid[1],
            (rows.max() + 1) / grid[0],
        )
        left, top, right, bottom = spans
        box = (x0 + left * (x1 - x0), y0 + top * (y1 - y0), x0 + right * (x1 - x0), y0 + bottom * (y1 - y0))
        found[sample] = [round(float(min(max(edge, 0), 1)), 4) for edge in box]
    return found


# -- properties and words -----------------------------------------------------------------------------


def _prove_property(
    one: Candidate, cue: PropertyCue, gathered: Gathered, material: Material, photos: int, rng: np.random.Generator
) -> Proof:
    if not cue.measured:
        return Proof(reason=f"'{cue.name}' cannot be changed in a picture: ask whether it may matter")
    values = gathered.seen.properties[cue.name].values
    other = gathered.seen.predicted != one.class_index
    _, members = material.pictures([int(gathered.ids[row]) for row in spread(one.members, photos)])
    _, hosts = material.pictures([int(gathered.ids[row]) for row in _others(one, gathered, photos, rng)])
    if min(len(members), len(hosts)) < FEWEST:
        return Proof(reason="too few of its pictures can be read")
    removal, moved = shift_property(
        [np.asarray(picture) for picture in members],
        [np.asarray(picture) for picture in hosts],
        cue.name,
        float(np.nanmedian(values[one.members])),
        float(np.nanmedian(values[other])),
        one.class_index,
        material.score_pictures,
    )
    return Proof({"removal": removal, "transplant": moved})


def _prove_word(
    one: Candidate, cue: WordCue, gathered: Gathered, material: Material, photos: int, rng: np.random.Generator
) -> Proof:
    if material.loaded.modalities != ("text",):
        return Proof(reason="words of image-text models are not intervened on yet")
    texts = [material.text(int(gathered.ids[row])) for row in spread(one.members, photos)]
    hosts = [material.text(int(gathered.ids[row])) for row in _others(one, gathered, photos, rng)]
    if min(len(texts), len(hosts)) < FEWEST:
        return Proof(reason="too few of its texts are there")
    return Proof(
        {
            "removal": remove_word(texts, cue.word, one.class_index, material.score_texts, rng),
            "transplant": transplant_word(texts, hosts, cue.word, one.class_index, material.score_texts, rng),
        }
    )
