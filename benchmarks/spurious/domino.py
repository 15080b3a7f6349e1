"""An error-aware mixture on embeddings, as in Domino.

Eyuboglu et al., "Domino: Discovering systematic errors with cross-modal embeddings" (2022), section 4.2: a Gaussian
mixture over embeddings whose components also have a distribution of labels and of predictions, weighted by gamma = 10.
The embeddings are those of the audited model itself: nothing else is at hand for every dataset.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import PCA

from benchmarks.spurious.embeddings import embed
from benchmarks.spurious.slices import Slice
from benchmarks.spurious.subject import Subject

SLICES = 25
WEIGHT = 10.0
DIMENSIONS = 64
ROUNDS = 50


@dataclass(frozen=True)
class Mixture:
    """K components: `weights` [K], `means` and `variances` [K,D], `labels` and `predictions` [K,C] probabilities."""

    weights: np.ndarray
    means: np.ndarray
    variances: np.ndarray
    labels: np.ndarray
    predictions: np.ndarray

    def responsibilities(self, rows: np.ndarray, labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        """Share of each component in each sample [N,K]; `labels` [N,C] one-hot, `predictions` [N,C] probabilities."""
        precision = 1 / self.variances
        squares = rows**2 @ precision.T - 2 * rows @ (self.means * precision).T + (self.means**2 * precision).sum(1)
        logs = np.log(self.weights) - 0.5 * (squares + np.log(self.variances).sum(1))
        logs = logs + WEIGHT * (labels @ np.log(self.labels).T + predictions @ np.log(self.predictions).T)
        logs -= logs.max(1, keepdims=True)
        shares = np.exp(logs)
        return shares / shares.sum(1, keepdims=True)


def _maximise(shares: np.ndarray, rows: np.ndarray, labels: np.ndarray, predictions: np.ndarray) -> Mixture:
    """The mixture that fits the responsibilities [N,K] best."""
    mass = shares.sum(0) + 1e-9
    means = shares.T @ rows / mass[:, None]
    variances = np.maximum(shares.T @ rows**2 / mass[:, None] - means**2, 0) + 1e-3
    floor = 1e-6  # a probability of zero would end all change
    tables = [(shares.T @ table + floor) / (mass + floor * table.shape[1])[:, None] for table in (labels, predictions)]
    return Mixture(mass / mass.sum(), means, variances, *tables)


def _start(labels: np.ndarray, predictions: np.ndarray, count: int) -> np.ndarray:
    """Responsibilities to begin with: components take turns at the cells of the confusion matrix, with some noise."""
    rng = np.random.default_rng(0)
    cells = labels.argmax(1) * labels.shape[1] + predictions.argmax(1)
    names, sizes = np.unique(cells, return_counts=True)
    names = names[np.argsort(-sizes, kind="stable")]
    owners = names[np.arange(count) % len(names)]
    shares = (cells[:, None] == owners[None]) * rng.uniform(0.5, 1.0, (len(cells), count)) + 1e-3
    return shares / shares.sum(1, keepdims=True)


def fit_mixture(
    rows: np.ndarray, labels: np.ndarray, predictions: np.ndarray, count: int = SLICES
) -> tuple[Mixture, np.ndarray]:
    """Expectation maximisation; returns the mixture and the responsibilities [N,K]."""
    shares = _start(labels, predictions, count)
    for _ in range(ROUNDS):
        mixture = _maximise(shares, rows, labels, predictions)
        before, shares = shares, mixture.responsibilities(rows, labels, predictions)
        if np.abs(before - shares).max() < 1e-4:
            break
    return mixture, shares


def mixture_slices(rows: np.ndarray, labels: np.ndarray, probabilities: np.ndarray) -> list[Slice]:
    """Components as slices, those first whose labels and predictions differ most, as the authors' code ranks them."""
    rows = (rows - rows.mean(0)) / max(float(rows.std()), 1e-12)
    rows = PCA(min(DIMENSIONS, *rows.shape), random_state=0).fit_transform(rows)
    mixture, shares = fit_mixture(rows, np.eye(probabilities.shape[1])[labels], probabilities)
    gaps = np.abs(mixture.labels - mixture.predictions).max(1)
    return [
        Slice(
            int(mixture.predictions[k].argmax()),
            tuple(int(m) for m in np.argsort(-shares[:, k], kind="stable")[: max(int((shares[:, k] > 0.5).sum()), 10)]),
            float(gaps[k]),
            kind="component",
        )
        for k in np.argsort(-gaps, kind="stable")
    ]


def domino(subject: Subject) -> list[Slice]:
    """25 slices of the model's own embeddings."""
    return mixture_slices(embed(subject), subject.labels, subject.probabilities.astype(np.float64))
