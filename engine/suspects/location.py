"""Detector `location`: places that the model looks at for one class and not for the others.

A class is compared with the *other* classes, never with its own mean: a cue in most of a class's photos is the mean
(docs/suspects.md).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import ndimage

from engine.suspects.candidate import FEWEST, Candidate, adjusted_purity, reach, same_photos
from engine.suspects.cues import PlaceCue
from engine.suspects.hosts import cohesion
from engine.suspects.observations import NONE, Observations

SURE = 4.0  # standard errors by which a cell's mean share must lie above that of the other classes
TIMES = 1.5  # ... and how many times above
MOST = 0.6  # of the cells: a larger region is no place
CUTS = (0.8, 0.9, 0.95, 0.99)  # quantiles of the other classes' share in the region; a photo above is a member
SCALE = 0.7  # a place says less than a look: where both detectors see a cue, the concept is to stand for it


def detect_locations(seen: Observations, rng: np.random.Generator) -> list[Candidate]:
    """Propose the connected regions that draw more relevancy for a class than for the mean of the other classes."""
    if seen.shares is None or seen.grid is None or seen.classes < 2:
        return []
    counts, means, errors = _moments(seen)
    present = np.flatnonzero(counts >= FEWEST)
    if len(present) < 2:
        return []
    found = []
    for number in present:
        others = present[present != number]
        mean, error = means[others].mean(axis=0), errors[others].sum(axis=0) / len(others) ** 2
        excess = (means[number] - mean) / np.sqrt(errors[number] + error + 1e-12)
        cells = (excess > SURE) & (means[number] > TIMES * mean)
        found += _joined(seen, int(number), [r.reshape(-1) for r in regions(cells.reshape(seen.grid))])
    return found


def _joined(seen: Observations, number: int, places: list[np.ndarray]) -> list[Candidate]:
    """The candidates of a class's places; places that show in the same photos are one (the sides of a frame)."""
    found: list[Candidate] = []
    for cells in sorted(places, key=lambda place: -place.sum()):
        candidate = _best(seen, number, cells)
        if candidate is None:
            continue
        partner = next((other for other in found if same_photos(candidate, other)), None)
        if partner is not None:
            assert isinstance(partner.cue, PlaceCue)
            whole = _best(seen, number, cells | partner.cue.cells)
            found = [other for other in found if other is not partner] + ([partner] if whole is None else [whole])
        else:
            found.append(candidate)
    return found


def _best(seen: Observations, number: int, cells: np.ndarray) -> Candidate | None:
    """The candidate of one place, with the cut at which it scores best."""
    if not 0 < cells.sum() <= MOST * cells.size:
        return None
    options = (_candidate(seen, number, cells, cut) for cut in CUTS)
    return max((c for c in options if c is not None), key=lambda c: c.score, default=None)


def regions(cells: np.ndarray) -> Iterator[np.ndarray]:
    """Connected regions (8 neighbours) of a board [h, w] boolean, each as a board."""
    labels, count = ndimage.label(cells, structure=np.ones((3, 3)))
    for number in range(1, count + 1):
        yield labels == number


def _moments(seen: Observations) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per class: number of maps [C], mean share [C, cells], squared standard error of the mean [C, cells]."""
    assert seen.shares is not None
    cells = seen.shares.shape[1]
    counts = np.zeros(seen.classes)
    means, errors = np.zeros((seen.classes, cells)), np.ones((seen.classes, cells))
    for number in range(seen.classes):
        maps = seen.shares[seen.of_class(number)]
        counts[number] = len(maps)
        if len(maps) >= FEWEST:
            means[number] = maps.mean(axis=0)
            errors[number] = maps.var(axis=0) / len(maps)
    return counts, means, errors


def _candidate(seen: Observations, number: int, region: np.ndarray, quantile: float) -> Candidate | None:
    """The candidate of one region, if enough photos of the class look there more than others do."""
    assert seen.shares is not None
    inside = seen.shares[:, region].sum(axis=1)
    own = seen.of_class(number)
    others = np.flatnonzero((seen.predicted != number) & (seen.predicted != NONE))
    cut = np.quantile(inside[others], quantile)
    members = own[inside[own] > cut]
    if len(members) < FEWEST:
        return None
    members = members[np.argsort(-inside[members], kind="stable")]
    elsewhere = others[inside[others] > cut]
    purity = adjusted_purity(len(members), len(elsewhere), len(own) / (len(own) + len(others)))
    share = float(inside[members].mean())
    excess = max(share - float(inside[others].mean()), 0.0)
    maps = seen.shares[members]
    alike = cohesion(maps / np.maximum(np.linalg.norm(maps, axis=1, keepdims=True), 1e-12))
    return Candidate(
        kind="location",
        class_index=number,
        members=members,
        strength=inside[members],
        elsewhere=elsewhere,
        score=float(SCALE * alike * purity * np.sqrt(excess) * reach(len(members), len(own))),
        cue=PlaceCue(region),
        evidence={
            "cohesion": alike,
            "purity": len(members) / (len(members) + len(elsewhere)),
            "adjusted_purity": purity,
            "relevancy_share": share,
            "excess_share": excess,
            "area": float(region.mean()),
            "coverage": len(members) / len(own),
        },
    )
