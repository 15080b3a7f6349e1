"""Detector `concept`: patches that the model looked at, that look alike to it, and that go with one class.

Clusters of relevant patches, not of whole maps: a cue at a random place has no map of its own, but its patches are
alike. Starting point: algorithm D of docs/suspects.md; that file also says what was tried and lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from engine.suspects.candidate import FEWEST, Candidate, adjusted_purity, reach, same_photos
from engine.suspects.cues import ConceptCue, center_of, directions
from engine.suspects.hosts import cohesion
from engine.suspects.observations import NONE, Observations

CUT = 0.5  # average-linkage cosine: patches of one cluster are on average at least so alike
SAME = 0.5  # clusters of one class whose means are so alike, in the same photos, are parts of one cue (a frame's edges)
PATCHES = 5  # most relevant patches of a photo that take part
PHOTOS = 600  # of a class that are clustered, chosen at random: linkage is quadratic
OTHERS = 20_000  # photos of other classes that are looked at for purity
CHUNK = 4096  # photos that are compared at once


@dataclass(frozen=True)
class _Cluster:
    """Mean direction [D] of a cluster of patches and its mean pairwise cosine."""

    mean: np.ndarray
    cohesion: float


def detect_concepts(seen: Observations, rng: np.random.Generator) -> list[Candidate]:
    """Propose one candidate per group of alike, relevant, class-specific patches."""
    if seen.patches is None or seen.patch_shares is None or seen.rest is None or not len(seen):
        return []
    center, units = center_of(seen.rest), patch_directions(seen)
    found: list[Candidate] = []
    for number in range(seen.classes):
        own = seen.of_class(number)
        if len(own) >= FEWEST:
            found += _of_class(seen, units, number, own, center, rng)
    return found


def patch_directions(seen: Observations) -> np.ndarray:
    """Directions [N, T, D] of the patches, seen from the mean of what no photo was looked at for."""
    assert seen.patches is not None and seen.rest is not None
    patches, rest = seen.patches, seen.rest
    return seen.kept("patch directions", (patches, rest), lambda: directions(patches[:, :PATCHES], center_of(rest)))


@dataclass(frozen=True)
class _Scope:
    """What a class's clusters are compared with: its own photos, and photos of other classes that stand for `weight`
    each. `units` [N, T, D] are the directions of all patches."""

    number: int
    units: np.ndarray
    own: np.ndarray
    others: np.ndarray
    weight: float


def _of_class(
    seen: Observations, units: np.ndarray, number: int, own: np.ndarray, center: np.ndarray, rng: np.random.Generator
) -> list[Candidate]:
    """The candidates of one class, whose rows are `own`."""
    sample = own if len(own) <= PHOTOS else np.sort(rng.choice(own, PHOTOS, replace=False))
    clusters = list(_clusters(units[sample]))
    if not clusters:
        return []
    others = np.flatnonzero((seen.predicted != number) & (seen.predicted != NONE))
    weight = max(1.0, len(others) / OTHERS)
    if weight > 1:
        others = np.sort(rng.choice(others, OTHERS, replace=False))
    scope = _Scope(number, units, own, others, weight)
    means = np.stack([cluster.mean for cluster in clusters])
    inside, outside, shares = _likeness(units, own, means), _likeness(units, others, means), _shares(seen, scope, means)
    found = [
        _candidate(scope, cluster, inside[:, k], outside[:, k], shares[:, k], center)
        for k, cluster in enumerate(clusters)
    ]
    ranked = sorted((one for one in found if one is not None), key=lambda candidate: -candidate.score)
    return joined(ranked, _same_cue)  # alike clusters that are seen in the same photos are parts of one cue


def _candidate(
    scope: _Scope, cluster: _Cluster, inside: np.ndarray, outside: np.ndarray, shares: np.ndarray, center: np.ndarray
) -> Candidate | None:
    """The candidate of one cluster, if enough photos of the class show it.

    `inside` and `outside` are the likenesses of the class's and of other photos, `shares` the relevancy that photos of
    the class have on such patches.
    """
    members = np.flatnonzero(inside >= CUT)
    if len(members) < FEWEST:
        return None
    members = members[np.argsort(-inside[members], kind="stable")]
    elsewhere = np.flatnonzero(outside >= CUT)
    every, foreign = len(scope.own), scope.weight * len(elsewhere)
    purity = adjusted_purity(len(members), foreign, every / (every + scope.weight * len(scope.others)))
    share = float(shares[members].mean())
    return Candidate(
        kind="concept",
        class_index=scope.number,
        members=scope.own[members],
        strength=inside[members],
        elsewhere=scope.others[elsewhere],
        score=float(cluster.cohesion * purity * np.sqrt(share) * reach(len(members), every)),
        cue=ConceptCue(cluster.mean[None], center, CUT),
        evidence={
            "cohesion": cluster.cohesion,
            "purity": len(members) / (len(members) + foreign),
            "adjusted_purity": purity,
            "relevancy_share": share,
            "coverage": len(members) / every,
        },
    )


def _clusters(patches: np.ndarray) -> Iterator[_Cluster]:
    """Average-linkage clusters (cosine) of patches [n, T, D] that are seen in enough photos."""
    photos = np.repeat(np.arange(len(patches)), patches.shape[1])
    units = patches.reshape(-1, patches.shape[2])
    whole = np.flatnonzero((units != 0).any(axis=1))
    if len(whole) < FEWEST:
        return
    units, photos = units[whole], photos[whole]
    labels = fcluster(linkage(cosine_distances(units), "average"), 1 - CUT, "distance")
    for label in np.unique(labels):
        chosen = labels == label
        if len(np.unique(photos[chosen])) >= FEWEST:
            yield _Cluster(units[chosen].mean(axis=0), cohesion(units[chosen]))


def cosine_distances(units: np.ndarray) -> np.ndarray:
    """Condensed cosine distances of n vectors of length 1, [n (n - 1) / 2] float64."""
    distances = np.clip(1.0 - units @ units.T, 0.0, 2.0).astype(np.float64)
    return squareform(distances, checks=False)


def _likeness(units: np.ndarray, rows: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Largest mean cosine of a photo's patches to each cluster, [n, K]."""
    chunks = [rows[k : k + CHUNK] for k in range(0, len(rows), CHUNK)]
    parts = [(units[chunk] @ means.T).max(axis=1) for chunk in chunks]
    return np.concatenate(parts) if parts else np.zeros((0, len(means)), np.float32)


def _shares(seen: Observations, scope: _Scope, means: np.ndarray) -> np.ndarray:
    """Share of the relevancy that each photo of the class has on patches of each cluster, [n, K]."""
    assert seen.patch_shares is not None
    parts = []
    for k in range(0, len(scope.own), CHUNK):
        chunk = scope.own[k : k + CHUNK]
        here = scope.units[chunk] @ means.T >= CUT
        known = np.nan_to_num(seen.patch_shares[chunk, :PATCHES])
        parts.append(np.einsum("nt,ntk->nk", known, here))
    return np.concatenate(parts)


def joined(ranked: Sequence[Candidate], is_part: Callable[[Candidate, Candidate], bool]) -> list[Candidate]:
    """Candidates with their parts as further prototypes; the strongest of each cue stands for it.

    `is_part(candidate, other)`: whether it is a part of the cue of another one above it.
    """
    kept: list[Candidate] = []
    for candidate in ranked:
        home = next((i for i, other in enumerate(kept) if is_part(candidate, other)), None)
        if home is None:
            kept.append(candidate)
        else:
            kept[home] = _with_part(kept[home], candidate)
    return kept


def _same_cue(one: Candidate, other: Candidate) -> bool:
    assert isinstance(one.cue, ConceptCue) and isinstance(other.cue, ConceptCue)
    first, second = one.cue.prototypes[0], other.cue.prototypes[0]
    alike = first @ second / (np.linalg.norm(first) * np.linalg.norm(second))
    return bool(alike >= SAME) and same_photos(one, other)


def _with_part(one: Candidate, part: Candidate) -> Candidate:
    """A candidate with one more prototype. Its members and its score stay those of its strongest part."""
    assert isinstance(one.cue, ConceptCue) and isinstance(part.cue, ConceptCue)
    prototypes = np.concatenate([one.cue.prototypes, part.cue.prototypes])
    return replace(one, cue=replace(one.cue, prototypes=prototypes))
