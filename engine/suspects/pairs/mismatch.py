"""Mismatch: pairs whose picture and text probably belong to other pairs."""

from __future__ import annotations

import numpy as np
from sklearn.isotonic import IsotonicRegression

from engine.suspects.candidate import FEWEST, Candidate, reach
from engine.suspects.cues import PairCue

KIND = "pair_mismatch"
PROBABLE = 0.5  # probability from which a pair is listed
REFERENCE = 1000  # pairs that each pair is compared with
TRIES = 20
CHUNK = 4096  # pairs that are compared at once


def pair_fit(
    images: np.ndarray, texts: np.ndarray, group: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """How well picture and text of each pair fit each other among all others, and the same of shuffled pairs.

    Args:
        images, texts: unit vectors [N, D]; row i of both is a pair.
        group: number of each text, [N]: equal texts have the same.
        rng: chooses the pairs that all are compared with, and shuffles.

    Returns:
        For the pairs, [N], and for pairs with the text of another one, [N]: the share of other texts that fit the
        picture less, and of other pictures that fit the text less, mean of both, 0..1. It is 0.5 on average for a
        picture and a text that have nothing to do with each other.
    """
    count = len(images)
    chosen = np.sort(rng.choice(count, min(REFERENCE, count), replace=False))
    partner = shuffled(group, rng)
    fits = [np.zeros(count), np.zeros(count)]
    for start in range(0, count, CHUNK):
        rows = np.arange(start, min(start + CHUNK, count))
        for fit, other in zip(fits, (rows, partner[rows]), strict=True):
            score = np.einsum("nd,nd->n", images[rows], texts[other])[:, None]
            fair = (group[chosen] != group[rows, None]) & (group[chosen] != group[other, None])
            fewer_texts = (images[rows] @ texts[chosen].T < score) & fair
            fewer_images = (texts[other] @ images[chosen].T < score) & fair
            total = np.maximum(fair.sum(axis=1), 1)
            fit[rows] = (fewer_texts.sum(axis=1) + fewer_images.sum(axis=1)) / (2 * total)
    return fits[0], fits[1]


def shuffled(group: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A partner for each of N items, from another group wherever there is one, [N]."""
    partner = rng.permutation(len(group))
    for _ in range(TRIES):
        clash = np.flatnonzero(group[partner] == group)
        if not len(clash):
            break
        partner[clash] = rng.integers(0, len(group), len(clash))
    return partner


def mismatch_probability(fit: np.ndarray, null: np.ndarray) -> tuple[np.ndarray, float]:
    """Probability [N] that a pair is as unrelated as a shuffled one, and the share of such pairs.

    The local false discovery rate (Efron et al., JASA 2001): share * density of `null` / density of `fit`. The share is
    estimated as Storey does (JRSS B 2002), from the pairs below the median of the shuffled ones, where pairs that
    belong together are not to be expected; the ratio of the densities by isotonic regression: it falls with the fit.
    """
    low = float(np.median(null))
    share = min(1.0, float((fit < low).mean()) / max(float((null < low).mean()), 1e-9))
    values = np.concatenate([fit, null])
    shuffled_one = np.repeat([0.0, 1.0], [len(fit), len(null)])
    falling = IsotonicRegression(y_min=0, y_max=1, increasing=False, out_of_bounds="clip").fit(values, shuffled_one)
    chance = falling.predict(fit)
    return np.minimum(1.0, share * chance / np.maximum(1 - chance, 1e-9)), share


def mismatch_candidate(fit: np.ndarray, null: np.ndarray, without: np.ndarray) -> Candidate | None:
    """The pairs that probably do not belong together, worst first; None where there are too few.

    `fit` and `null` are what :func:`pair_fit` returns; `without` are rows whose fit something else explains.
    """
    probability, share = mismatch_probability(fit, null)
    order = np.argsort(fit, kind="stable")
    members = order[(probability[order] >= PROBABLE) & ~np.isin(order, without)]
    if len(members) < FEWEST:
        return None
    certain = float(probability[members].mean())
    return Candidate(
        kind=KIND,
        class_index=-1,
        members=members,
        strength=1 - fit[members],
        elsewhere=np.zeros(0, np.int64),
        score=certain * reach(len(members), len(fit)),
        cue=PairCue(),
        evidence={"probability": certain, "estimated_share": share, "fit": float(fit[members].mean())},
    )
