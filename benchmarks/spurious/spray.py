"""Spectral Relevance Analysis as CoRelAy and ViRelAy do it: spectral clusters of relevancy maps, class by class.

Lapuschkin et al., "Unmasking Clever Hans predictors and assessing what machines really learn" (2019); ranking as in
Anders et al., "Finding and removing Clever Hans" (2022): by how linearly separable a cluster is from the rest of its
class (Fisher's criterion in the spectral embedding).
"""

from __future__ import annotations

from math import ceil, log

import numpy as np
from sklearn.cluster import KMeans
from sklearn.neighbors import kneighbors_graph

from benchmarks.spurious.embeddings import relevancy_maps
from benchmarks.spurious.slices import Slice
from benchmarks.spurious.subject import Subject

MOST_CLUSTERS = 8
FEWEST_MEMBERS = 5


def spectral_embedding(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues [n] (ascending) and eigenvectors [n,n] of the symmetric normalised Laplacian of the kNN graph.

    k = ceil(log n), at least 3; two samples are linked if either is a neighbour of the other.
    """
    neighbours = min(max(ceil(log(len(rows))), 3), len(rows) - 1)
    graph = kneighbors_graph(rows, neighbours, mode="connectivity", include_self=False).toarray()
    affinity = np.maximum(graph, graph.T)
    scale = 1 / np.sqrt(np.maximum(affinity.sum(1), 1e-12))
    return np.linalg.eigh(np.eye(len(rows)) - scale[:, None] * affinity * scale[None])


def cluster(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cluster of each row [n] and the spectral embedding [n,k]; k of 2 to 8 is where the largest eigengap is."""
    values, vectors = spectral_embedding(rows)
    gaps = np.diff(values[1 : MOST_CLUSTERS + 1])  # between the 2nd and 3rd eigenvalue: two clusters
    count = 2 + int(np.argmax(gaps)) if len(gaps) else 2
    embedding = vectors[:, :count]
    return KMeans(count, n_init=10, random_state=0).fit_predict(embedding), embedding


def separability(embedding: np.ndarray, inside: np.ndarray) -> float:
    """Fisher's criterion of a cluster against the rest along the best direction: d' S^-1 d."""
    one, rest = embedding[inside], embedding[~inside]
    if len(rest) < 2:
        return 0.0
    within = (np.cov(one.T, bias=True) * len(one) + np.cov(rest.T, bias=True) * len(rest)) / len(embedding)
    difference = one.mean(0) - rest.mean(0)
    ridge = 1e-6 * max(float(np.trace(within)), 1e-12) + 1e-9
    return float(difference @ np.linalg.solve(within + ridge * np.eye(len(difference)), difference))


def class_slices(maps: np.ndarray, members: np.ndarray, class_index: int) -> list[Slice]:
    """The clusters of one predicted class; `members` [n] are its samples, `maps` [n,K] their relevancies."""
    assigned, embedding = cluster(maps)
    slices = []
    for label in np.unique(assigned):
        inside = assigned == label
        if inside.sum() < FEWEST_MEMBERS:
            continue
        distance = np.linalg.norm(embedding[inside] - embedding[inside].mean(0), axis=1)
        ordered = members[inside][np.argsort(distance, kind="stable")]
        score = separability(embedding, inside)
        slices.append(Slice(class_index, tuple(int(m) for m in ordered), score, kind="cluster"))
    return slices


def spray(subject: Subject, method: str = "gae") -> list[Slice]:
    """Clusters of all predicted classes, the most separable first."""
    maps, slices = relevancy_maps(subject, method), []
    for label in range(len(subject.class_names)):
        members = np.flatnonzero(subject.predicted == label)
        if len(members) >= 2 * FEWEST_MEMBERS:
            slices += class_slices(maps[members], members, label)
    return sorted(slices, key=lambda s: -s.score)
