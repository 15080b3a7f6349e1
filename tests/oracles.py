"""Every formula of the engine once more, slowly and plainly, in numpy float64.

A second writing from the papers' equations; nothing here imports the engine.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def softmax(scores: Array) -> Array:
    """Softmax over the last axis."""
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def attention_output(q: Array, k: Array, v: Array, scale: float, bias: Array | None) -> tuple[Array, Array]:
    """One head: q [s, d], k [t, d], v [t, d] -> (output [s, d], A [s, t])."""
    a = softmax(scale * q @ k.T + (0 if bias is None else bias))
    return a @ v, a


def attention_map_gradient(d_out: Array, v: Array) -> Array:
    """dA = dO V^T of one head: [s, d] and [t, d] -> [s, t]."""
    s, t = d_out.shape[0], v.shape[0]
    return np.array([[sum(d_out[i, c] * v[j, c] for c in range(v.shape[1])) for j in range(t)] for i in range(s)])


def abar(a: Array, da: Array) -> Array:
    """Equation 5 for one sample: A, dA [H, s, q] -> [s, q]."""
    heads, s, q = a.shape
    out = np.zeros((s, q))
    for h in range(heads):
        for i in range(s):
            for j in range(q):
                out[i, j] += max(0.0, a[h, i, j] * da[h, i, j]) / heads
    return out


def gae_matrix(maps: list[tuple[Array, Array]]) -> Array:
    """Equations 6 and 7 over layers of one sample: [(A, dA)] -> R [N, N]."""
    r = np.eye(maps[0][0].shape[-1])
    for a, da in maps:
        r = r + abar(a, da) @ r
    return r


def rollout_matrix(attention: list[Array]) -> Array:
    """Product of the row-normalised (mean_h A + I) of one sample: [A] -> [N, N]."""
    r = np.eye(attention[0].shape[-1])
    for a in attention:
        m = a.mean(axis=0) + np.eye(a.shape[-1])
        r = (m / m.sum(axis=1, keepdims=True)) @ r
    return r


def grad_cam_row(a: Array, da: Array, start: Array, shown: Array, minmax: bool = True) -> Array:
    """Grad-CAM on the last map of one sample; A, dA [H, N, N], start [N], shown [N] -> [N]."""
    total = np.zeros(a.shape[-1])
    for h in range(a.shape[0]):
        total += (start @ da[h])[shown].mean() * (start @ a[h]) / a.shape[0]
    cam = np.maximum(total, 0)
    if not minmax:
        return cam
    low, high = cam[shown].min(), cam[shown].max()
    with np.errstate(invalid="ignore", divide="ignore"):
        return (cam - low) / (high - low)


def entropy(weights: Array) -> float:
    """Entropy of a map, 0 for one token and 1 for a uniform map."""
    p = [w for w in weights / weights.sum() if w > 0]
    return float(-sum(x * np.log(x) for x in p) / np.log(len(weights)))


def top_mass(weights: Array, share: float) -> float:
    """Share of the mass that the strongest tokens hold."""
    count = int(np.ceil(share * len(weights)))
    return float(sum(sorted(weights, reverse=True)[:count]) / weights.sum())


def centre_of_mass(cells: Array) -> tuple[float, float]:
    """x and y of the centre of mass of a map [h, w], in 0 to 1 with cell centres at (i + 0.5) / n."""
    h, w = cells.shape
    x = sum(cells[i, j] * (j + 0.5) / w for i in range(h) for j in range(w)) / cells.sum()
    y = sum(cells[i, j] * (i + 0.5) / h for i in range(h) for j in range(w)) / cells.sum()
    return float(x), float(y)
