"""Every formula of the engine once more, slowly and plainly, in numpy float64.

A second writing from the papers' equations; nothing here imports the engine.
"""

from __future__ import annotations

import math
from collections.abc import Callable

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


def grad_cam_map(a: Array, da: Array) -> Array:
    """Grad-CAM with head weights from the whole map: A, dA [H, s, q] -> [s, q]."""
    total = np.zeros(a.shape[1:])
    for h in range(a.shape[0]):
        total += da[h].mean() * a[h] / a.shape[0]
    return np.maximum(total, 0)


def min_max(m: Array) -> Array:
    """Stretch a whole map to 0 to 1; NaN for a constant map."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return (m - m.min()) / (m.max() - m.min())


def transformer_product(maps: list[tuple[Array, Array]]) -> Array:
    """Product of I + mean_h relu(weights * dA), weights and dA [H, N, N]; not row-normalised."""
    return gae_matrix(maps)


def plain_rollout(attention: list[Array]) -> Array:
    """Product of I + mean_h A without row normalisation (VisualBERT)."""
    r = np.eye(attention[0].shape[-1])
    for a in attention:
        r = (a.mean(axis=0) + np.eye(a.shape[-1])) @ r
    return r


def normalised(r: Array) -> Array:
    """Equations 8 and 9: rows of R - I divided by their sum, I added back. Unguarded, as in the authors' code."""
    hat = r - np.eye(len(r))
    with np.errstate(invalid="ignore", divide="ignore"):
        return hat / hat.sum(axis=1, keepdims=True) + np.eye(len(r))


def normalised_or_identity(r: Array) -> Array:
    """Equations 8 and 9 where a row of zeros stays the identity row."""
    n = normalised(r)
    n[np.isnan(n).any(axis=1)] = np.eye(len(r))[np.isnan(n).any(axis=1)]
    return n


def rule_10(r_ss: Array, average: Array, r_qq: Array, factor: str, self_in_rule_10: bool) -> Array:
    """Equation 10's addition to R_sq. ``factor``: "authors" or "identity" (eq. 8-9), or "plain" (not normalised)."""
    if not self_in_rule_10:
        return average
    n = {"authors": normalised, "identity": normalised_or_identity, "plain": lambda r: r}[factor]
    return n(r_ss).T @ average @ n(r_qq)


def lxmert_gae(
    a: dict[str, Array],
    da: dict[str, Array],
    layers: tuple[int, int, int],
    factor: str = "authors",
    self_in_rule_10: bool = True,
    aggregate: bool = True,
) -> dict[str, Array]:
    """Equations 6 to 11 over all maps of LXMERT, one sample. ``layers``: language, image, cross layers.

    Maps are named lang_l, img_l, xl_cross_t_from_i, xl_cross_i_from_t, xl_self_t, xl_self_i.
    """
    bars = {name: abar(a[name], da[name]) for name in a}
    keep = 1.0 if aggregate else 0.0
    texts, boxes = bars["lang_0"].shape[0], bars["img_0"].shape[0]
    tt, ii = np.eye(texts), np.eye(boxes)
    ti, it = np.zeros((texts, boxes)), np.zeros((boxes, texts))
    for i in range(layers[0]):
        m = bars[f"lang_{i}"]
        tt, ti = keep * tt + m @ tt, keep * ti + m @ ti
    for i in range(layers[1]):
        m = bars[f"img_{i}"]
        ii, it = keep * ii + m @ ii, keep * it + m @ it
    for i in range(layers[2]):
        m = bars[f"x{i}_cross_t_from_i"]
        ti_add, tt_add = rule_10(tt, m, ii, factor, self_in_rule_10), m @ it
        if i < layers[2] - 1:
            m = bars[f"x{i}_cross_i_from_t"]
            it_add, ii_add = rule_10(ii, m, tt, factor, self_in_rule_10), m @ ti
            it, ii = keep * it + it_add, keep * ii + ii_add
        ti, tt = keep * ti + ti_add, keep * tt + tt_add
        m = bars[f"x{i}_self_t"]
        tt, ti = keep * tt + m @ tt, keep * ti + m @ ti
        if i < layers[2] - 1:
            m = bars[f"x{i}_self_i"]
            ii, it = keep * ii + m @ ii, keep * it + m @ it
    tt[0, 0] = 0
    return {"R_t_t": tt, "R_t_i": ti, "R_i_i": ii, "R_i_t": it}


def lxmert_rollout(a: dict[str, Array], layers: tuple[int, int, int]) -> dict[str, Array]:
    """Row-normalised rollouts on both sides of the last cross map."""
    last = layers[2] - 1
    text = [a[f"lang_{i}"] for i in range(layers[0])] + [a[f"x{i}_self_t"] for i in range(last)]
    image = [a[f"img_{i}"] for i in range(layers[1])] + [a[f"x{i}_self_i"] for i in range(last)]
    ti = rollout_matrix(text).T @ a[f"x{last}_cross_t_from_i"].mean(axis=0) @ rollout_matrix(image)
    tt = rollout_matrix([*text, a[f"x{last}_self_t"]])
    tt[0, 0] = 0
    return {"R_t_t": tt, "R_t_i": ti}


def lxmert_last(
    a: dict[str, Array], da: dict[str, Array], layers: tuple[int, int, int], method: str
) -> dict[str, Array]:
    """Methods that read the last maps: "raw_attn", "attn_gradcam", "partial_lrp" (with LRP relevances as ``a``)."""
    last = layers[2] - 1
    read = {
        "raw_attn": lambda name: a[name].mean(axis=0),
        "attn_gradcam": lambda name: grad_cam_map(a[name], da[name]),
        "partial_lrp": lambda name: min_max(a[name].mean(axis=0)),
    }[method]
    tt, ti = read(f"x{last}_self_t").copy(), read(f"x{last}_cross_t_from_i")
    tt[0, 0] = 0
    return {"R_t_t": tt, "R_t_i": ti}


def lxmert_transformer_attribution(
    lrp: dict[str, Array], da: dict[str, Array], layers: tuple[int, int, int]
) -> dict[str, Array]:
    """Product over text self-attentions; the last cross map alone."""
    names = [f"lang_{i}" for i in range(layers[0])] + [f"x{i}_self_t" for i in range(layers[2])]
    tt = transformer_product([(lrp[name], da[name]) for name in names])
    tt[0, 0] = 0
    last = f"x{layers[2] - 1}_cross_t_from_i"
    return {"R_t_t": tt, "R_t_i": abar(lrp[last], da[last])}


def detr_gae(
    a: dict[str, Array],
    da: dict[str, Array],
    layers: tuple[int, int],
    factor: str = "authors",
    self_in_rule_10: bool = True,
    aggregate: bool = True,
) -> dict[str, Array]:
    """Equations 6 to 10 over all maps of DETR, one sample; maps enc_l, dec_self_l, dec_cross_l."""
    bars = {name: abar(a[name], da[name]) for name in a}
    keep = 1.0 if aggregate else 0.0
    queries, tokens = bars["dec_cross_0"].shape
    qq, ii, qi = np.eye(queries), np.eye(tokens), np.zeros((queries, tokens))
    for i in range(layers[0]):
        ii = keep * ii + bars[f"enc_{i}"] @ ii
    for i in range(layers[1]):
        m = bars[f"dec_self_{i}"]
        qq, qi = keep * qq + m @ qq, keep * qi + m @ qi
        add = rule_10(qq, bars[f"dec_cross_{i}"], ii, factor, self_in_rule_10)
        qi = keep * qi + np.where(np.isnan(add), 0.0, add)
    return {"R_q_i": qi, "R_q_q": qq, "R_i_i": ii}


def detr_rollout(a: dict[str, Array], layers: tuple[int, int]) -> Array:
    """R_qq^T mean_h(A last cross) R_ii with row-normalised rollouts."""
    decoder = rollout_matrix([a[f"dec_self_{i}"] for i in range(layers[1])])
    encoder = rollout_matrix([a[f"enc_{i}"] for i in range(layers[0])])
    return decoder.T @ a[f"dec_cross_{layers[1] - 1}"].mean(axis=0) @ encoder


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


def lrp_div(a: float, b: float) -> float:
    """a / (b + 1e-9), and 0 where b is 0."""
    return 0.0 if b == 0 else a / (b + 1e-9)


def lrp_linear(r: Array, x: Array, w: Array, joint: bool) -> Array:
    """Linear layer y = x W^T of one row: r [out], x [in], w [out, in] -> [in]; alpha = 1, no bias.

    ``joint``: one denominator for both sign pairs (conserving), else one each (classic).
    """
    result = np.zeros(len(x))
    for j in range(len(r)):
        up = [max(x[i], 0) * max(w[j, i], 0) for i in range(len(x))]
        down = [min(x[i], 0) * min(w[j, i], 0) for i in range(len(x))]
        z_up, z_down = (sum(up) + sum(down),) * 2 if joint else (sum(up), sum(down))
        for i in range(len(x)):
            result[i] += up[i] * lrp_div(r[j], z_up) + down[i] * lrp_div(r[j], z_down)
    return result


def lrp_add(r: Array, a: Array, b: Array, conserving: bool) -> tuple[Array, Array]:
    """Sum of a and b, tensors of one sample; the conserving form keeps the sum of r."""
    shares = [np.array([x * lrp_div(q, p + s) for q, p, s, x in zip(r, a, b, y, strict=True)]) for y in (a, b)]
    if not conserving:
        return shares[0], shares[1]
    sums = [float(share.sum()) for share in shares]
    weight = abs(sums[0]) + abs(sums[1])
    scaled = [
        share * lrp_div(lrp_div(abs(part), weight) * float(r.sum()), part)
        for share, part in zip(shares, sums, strict=True)
    ]
    return scaled[0], scaled[1]


def lrp_clone(rs: list[Array], x: Array) -> Array:
    """x that goes to several consumers."""
    return np.array([x[i] * sum(lrp_div(r[i], x[i]) for r in rs) for i in range(len(x))])


def lrp_select(r: Array, x: Array, position: int) -> Array:
    """Row ``position`` of x [N, D] was selected: r [D] -> [N, D]."""
    result = np.zeros_like(x)
    for d in range(x.shape[1]):
        result[position, d] = x[position, d] * lrp_div(r[d], x[position, d])
    return result


def lrp_product(r: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """a [s, t] times b [t, d]: half of r [s, d] to each."""
    of_a, of_b = np.zeros_like(a), np.zeros_like(b)
    for i in range(r.shape[0]):
        for d in range(r.shape[1]):
            z = sum(a[i, j] * b[j, d] for j in range(a.shape[1]))
            for j in range(a.shape[1]):
                of_a[i, j] += a[i, j] * b[j, d] * lrp_div(r[i, d], z) / 2
                of_b[j, d] += a[i, j] * b[j, d] * lrp_div(r[i, d], z) / 2
    return of_a, of_b


def lrp_mean(r: float, x: Array) -> Array:
    """Sum (or mean) over x [n]: each element in proportion."""
    return np.array([v * lrp_div(r, float(x.sum())) for v in x])


def lrp_dot(r: float, a: Array, b: Array) -> Array:
    """Dot product as a linear layer over a with weights b: the positive products share r."""
    positive = [max(p * q, 0.0) for p, q in zip(a, b, strict=True)]
    return np.array([p * lrp_div(r, sum(positive)) for p in positive])


def lrp_pixels(r: Array, image: Array, kernel: Array, stride: int) -> Array:
    """z-B rule at a convolution without padding: r [out, h, w], image [C, H, W], kernel [out, C, k, k] -> [C, H, W]."""
    low, high, size = image.min(), image.max(), kernel.shape[-1]
    result = np.zeros_like(image)
    for o, i, j in np.ndindex(r.shape):
        rows, columns = slice(i * stride, i * stride + size), slice(j * stride, j * stride + size)
        patch, w = image[:, rows, columns], kernel[o]
        parts = patch * w - low * np.maximum(w, 0) - high * np.minimum(w, 0)
        result[:, rows, columns] += parts * r[o, i, j] / (parts.sum() + 1e-9)
    return result


def attn_ratio(r: float, z: float) -> float:
    """r / (z + eps sign z)."""
    return r / (z - 1e-6 if z < 0 else z + 1e-6)


def attn_lrp_linear(r: Array, x: Array, w: Array, bias: Array) -> Array:
    """AttnLRP, linear layer of one row by the epsilon rule: r [out], x [in], w [out, in], bias [out] -> [in]."""
    result = np.zeros(len(x))
    for j in range(len(r)):
        z = sum(x[i] * w[j, i] for i in range(len(x))) + bias[j]
        for i in range(len(x)):
            result[i] += x[i] * w[j, i] * attn_ratio(r[j], z)
    return result


def attn_lrp_product(r: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """AttnLRP, a [s, t] times b [t, d]: R_ji = sum A_ji V_ip R_jp / (2 O_jp + eps)."""
    of_a, of_b = np.zeros_like(a), np.zeros_like(b)
    for i in range(r.shape[0]):
        for d in range(r.shape[1]):
            share = attn_ratio(r[i, d], 2 * sum(a[i, j] * b[j, d] for j in range(a.shape[1])))
            for j in range(a.shape[1]):
                of_a[i, j] += a[i, j] * b[j, d] * share
                of_b[j, d] += a[i, j] * b[j, d] * share
    return of_a, of_b


def attn_lrp_softmax(r: Array, x: Array) -> Array:
    """AttnLRP, softmax of x [n]: x_i (r_i - s_i sum r); a masked score (-inf) gets nothing."""
    s = softmax(x)
    return np.array([0.0 if s[i] == 0 else x[i] * (r[i] - s[i] * float(r.sum())) for i in range(len(x))])


def attn_lrp_norm(r: Array, x: Array, gain: Array, bias: Array, eps: float) -> Array:
    """AttnLRP, layer norm of x [n]: the linear map (x - mean) gain / std + bias with the std held fixed."""
    n, std = len(x), float(np.sqrt(x.var() + eps))
    matrix = np.array([[gain[j] / std * ((i == j) - 1 / n) for i in range(n)] for j in range(n)])
    return attn_lrp_linear(r, x, matrix, bias)


def top_patches(relevancy: Array, shown: Array, states: Array, count: int) -> tuple[list[int], Array, Array]:
    """The most relevant shown tokens of one sample, strongest first, their states, and the mean state of the less
    relevant half: relevancy [N], shown [N] boolean, states [N, D]."""
    order = sorted((i for i in range(len(relevancy)) if shown[i]), key=lambda i: (-relevancy[i], i))
    half = max(len(order) // 2, 1)
    lower = order[len(order) - half :] if order else []
    rest = sum((states[i] for i in lower), np.zeros(states.shape[1])) / max(len(lower), 1)
    return order[:count], np.array([states[i] for i in order[:count]]), rest


def properties(rgb: Array) -> dict[str, float]:
    """Brightness, contrast, saturation, warmth, greenness and sharpness of a picture [H, W, 3] on 0..255, by pixels,
    on a copy with a long side of 128 pixels (triangle filter, as wide as the pixels that become one)."""
    long = max(rgb.shape[:2])
    height, width = (max(1, round(side * 128 / long)) for side in rgb.shape[:2])
    picture = np.array([_resampled(row, width) for row in rgb / 255])
    picture = np.array([_resampled(column, height) for column in picture.transpose(1, 0, 2)]).transpose(1, 0, 2)
    luma, spread, warm, green = (np.zeros((height, width)) for _ in range(4))
    for y, x in np.ndindex(height, width):
        r, g, b = picture[y, x]
        luma[y, x] = 0.299 * r + 0.587 * g + 0.114 * b
        spread[y, x], warm[y, x], green[y, x] = max(r, g, b) - min(r, g, b), r - b, g - (r + b) / 2
    edges = np.zeros((height, width))
    for y, x in np.ndindex(height, width):
        for i, j in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            edges[y, x] += luma[min(max(i, 0), height - 1), min(max(j, 0), width - 1)] - luma[y, x]
    return {
        "brightness": luma.mean(), "contrast": luma.std(), "saturation": spread.mean(), "warmth": warm.mean(),
        "greenness": green.mean(), "sharpness": np.log10(edges.var() + 1e-6),
    }  # fmt: skip


def _resampled(line: Array, size: int) -> Array:
    """A line of colours [n, 3] resampled to `size` of them."""
    scale = len(line) / size
    out = []
    for i in range(size):
        weights = [max(0.0, 1 - abs(k + 0.5 - (i + 0.5) * scale) / max(scale, 1)) for k in range(len(line))]
        out.append(np.array(weights) @ line / sum(weights))
    return np.array(out)


def mean_pairwise_cosine(vectors: list[Array]) -> float:
    """Mean cosine over all pairs of vectors; a zero vector has cosine 0 with all."""
    total, pairs = 0.0, 0
    for i in range(len(vectors)):
        for j in range(i):
            lengths = np.linalg.norm(vectors[i]) * np.linalg.norm(vectors[j])
            total += vectors[i] @ vectors[j] / lengths if lengths > 0 else 0.0
            pairs += 1
    return total / pairs if pairs else 0.0


def kappa(inside: float, outside: float, base: float) -> float:
    """(p - base) / (1 - base) of a share p = inside / (inside + outside), at least 0; 0 where it is not defined."""
    if inside + outside == 0 or base == 1:
        return 0.0
    return max(0.0, (inside / (inside + outside) - base) / (1 - base))


def average_linkage(units: list[Array], cut: float) -> list[list[int]]:
    """Join the two clusters with the highest mean cosine between their members, until it is below `cut`."""
    clusters = [[i] for i in range(len(units))]
    while len(clusters) > 1:
        best, pair = -2.0, (0, 0)
        for a in range(len(clusters)):
            for b in range(a):
                mean = sum(units[i] for i in clusters[a]) @ sum(units[j] for j in clusters[b])
                mean /= len(clusters[a]) * len(clusters[b])
                if mean > best:
                    best, pair = mean, (a, b)
        if best < cut:
            break
        joined = clusters[pair[0]] + clusters[pair[1]]
        clusters = [cluster for k, cluster in enumerate(clusters) if k not in pair] + [joined]
    return clusters


def log_reach(members: int, of_class: int) -> float:
    """ln n / ln N of n photos out of N."""
    return np.log(members) / np.log(of_class)


def concepts(patches: Array, shares: Array, rest: Array, predicted: Array, number: int) -> list[dict]:
    """All groups of at least 5 photos' patches of one class: their mean, members, other photos and score.

    patches [N, T, D], shares [N, T], rest [N, D], predicted [N]; everything is there and finite.
    """
    center = sum(rest) / len(rest)
    unit = {
        (n, t): (patches[n, t] - center) / np.linalg.norm(patches[n, t] - center)
        for n in range(len(patches)) for t in range(patches.shape[1])
    }  # fmt: skip
    own = [n for n in range(len(patches)) if predicted[n] == number]
    others = [n for n in range(len(patches)) if predicted[n] not in (number, -1)]
    places = [place for place in unit if place[0] in own]
    found = []
    for cluster in average_linkage([unit[place] for place in places], 0.5):
        chosen = [places[k] for k in cluster]
        if len({n for n, _ in chosen}) < 5:
            continue
        mean = sum(unit[place] for place in chosen) / len(chosen)
        likeness = {n: max(unit[n, t] @ mean for t in range(patches.shape[1])) for n in range(len(patches))}
        members = sorted((n for n in own if likeness[n] >= 0.5), key=lambda n: -likeness[n])
        elsewhere = [n for n in others if likeness[n] >= 0.5]
        if len(members) < 5:
            continue
        looked = [sum(shares[n, t] for t in range(patches.shape[1]) if unit[n, t] @ mean >= 0.5) for n in members]
        score = mean_pairwise_cosine([unit[place] for place in chosen])
        score *= kappa(len(members), len(elsewhere), len(own) / (len(own) + len(others)))
        score *= np.sqrt(sum(looked) / len(looked)) * log_reach(len(members), len(own))
        found.append({"mean": mean, "members": members, "elsewhere": elsewhere, "score": score})
    return sorted(found, key=lambda one: -one["score"])


def quantile(values: list[float], share: float) -> float:
    """Value below which a share of the values lies, on the straight line between its neighbours."""
    values = sorted(values)
    place = share * (len(values) - 1)
    low = int(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (place - low) * (values[high] - values[low])


def place_cells(shares: Array, predicted: Array, number: int) -> list[int]:
    """Cells whose mean share in one class lies 4 standard errors and 1.5 times above the mean of the other classes'
    means: shares [N, cells]; every class has at least 5 samples."""
    others = sorted({int(one) for one in predicted} - {number, -1})
    found = []
    for cell in range(shares.shape[1]):
        mean, error = {}, {}
        for one in [number, *others]:
            values = [shares[n, cell] for n in range(len(shares)) if predicted[n] == one]
            mean[one] = sum(values) / len(values)
            error[one] = sum((value - mean[one]) ** 2 for value in values) / len(values) ** 2
        usual = sum(mean[one] for one in others) / len(others)
        width = np.sqrt(error[number] + sum(error[one] for one in others) / len(others) ** 2)
        if mean[number] - usual > 4 * width and mean[number] > 1.5 * usual:
            found.append(cell)
    return found


def place(shares: Array, predicted: Array, number: int, cells: list[int]) -> dict:
    """Members, other photos and score of a place: shares [N, cells], at the best of four cuts."""
    inside = [sum(row[cell] for cell in cells) for row in shares]
    own = [n for n in range(len(shares)) if predicted[n] == number]
    others = [n for n in range(len(shares)) if predicted[n] not in (number, -1)]
    best = {"score": -1.0}
    for share in (0.8, 0.9, 0.95, 0.99):
        cut = quantile([inside[n] for n in others], share)
        members = sorted((n for n in own if inside[n] > cut), key=lambda n: -inside[n])
        elsewhere = [n for n in others if inside[n] > cut]
        if len(members) < 5:
            continue
        excess = sum(inside[n] for n in members) / len(members) - sum(inside[n] for n in others) / len(others)
        score = 0.7 * mean_pairwise_cosine([shares[n] for n in members]) * np.sqrt(max(excess, 0))
        score *= kappa(len(members), len(elsewhere), len(own) / (len(own) + len(others)))
        score *= log_reach(len(members), len(own))
        if score > best["score"]:
            best = {"score": score, "members": members, "elsewhere": elsewhere}
    return best


def holding(here: list[bool], predicted: Array, number: int) -> dict:
    """Members, other photos and score of a property that some samples [N] have."""
    own = [n for n in range(len(here)) if predicted[n] == number]
    others = [n for n in range(len(here)) if predicted[n] not in (number, -1)]
    members, elsewhere = [n for n in own if here[n]], [n for n in others if here[n]]
    if len(members) < 5:
        return {"score": 0.0}
    score = 0.4 * kappa(len(members), len(elsewhere), len(own) / (len(own) + len(others)))
    score *= np.sqrt(max(len(members) / len(own) - len(elsewhere) / len(others), 0))
    score *= log_reach(len(members), len(own))
    return {"score": score, "members": members, "elsewhere": elsewhere}


def best_tail(values: list[float], predicted: Array, number: int) -> dict:
    """The tail ("low" or "high", from a cut) of a number, known of each sample, that scores highest."""
    best = {"score": 0.0}
    for side in ("low", "high"):
        for step in range(19):
            cut = quantile(values, 0.05 + step * 0.05)
            one = holding([value >= cut if side == "low" else value <= cut for value in values], predicted, number)
            if one["score"] > best["score"]:
                best = {**one, "side": side, "cut": cut}
    return best


def word(texts: list[list[tuple[str, float]]], predicted: Array, name: str, number: int) -> dict:
    """Purity, members, other texts and score of a word in texts of (word, relevancy), each word once."""
    own, others, size, known = {}, [], 0, 0
    for n, text in enumerate(texts):
        known += predicted[n] != -1
        size += predicted[n] == number
        total = sum(value for _, value in text)
        for one, value in text:
            if one == name and total > 0 and value / total >= 0.5 / len(text):
                if predicted[n] == number:
                    own[n] = value / total
                elif predicted[n] != -1:
                    others.append(n)
    purity = kappa(len(own), len(others), size / known)
    score = purity * np.sqrt(sum(own.values()) / len(own)) * log_reach(len(own), size) if own else 0.0
    return {"purity": purity, "score": score, "members": sorted(own, key=lambda n: -own[n]), "elsewhere": others}


def queue(scores: list[float], members: list[set], classes: list[int]) -> list[tuple[int, float]]:
    """(candidate, score) one after the other, where photos that were accounted for in its class count a quarter."""
    waiting, done, order = list(range(len(scores))), {number: set() for number in classes}, []
    while waiting:
        now = {k: scores[k] * (1 - 0.75 * len(members[k] & done[classes[k]]) / len(members[k])) for k in waiting}
        best = max(waiting, key=lambda k: now[k])
        order.append((best, now[best]))
        waiting.remove(best)
        done[classes[best]] |= members[best]
    return order


def wilson(k: int, n: int) -> tuple[float, float]:
    """The shares p for which k of n lies 1.96 standard deviations of a binomial away, by halving."""

    def edge(inside: float, outside: float) -> float:
        for _ in range(100):
            p = (inside + outside) / 2
            if abs(k / n - p) <= 1.96 * np.sqrt(p * (1 - p) / n):
                inside = p
            else:
                outside = p
        return inside

    return edge(k / n, 0.0), edge(k / n, 1.0)


def bootstrap(values: list[float], seed: int) -> tuple[float, float]:
    """2.5 % and 97.5 % quantile of the means of 2000 samples, drawn with replacement."""
    draws = np.random.default_rng(seed).integers(0, len(values), (2000, len(values)))
    means = [sum(values[k] for k in draw) / len(values) for draw in draws]
    return quantile(means, 0.025), quantile(means, 0.975)


def verdict(change: list[float], control: list[float]) -> str:
    """What changes under a cue, beside those under its control, prove: "verified", "refuted" or "unverified"."""
    low, high = bootstrap(change, 0)
    if sum(change) / len(change) >= 0.05 and low > bootstrap(control, 0)[1]:
        return "verified"
    return "refuted" if high < 0.05 else "unverified"


def cell_of_pixel(y: int, x: int, size: tuple[int, int], grid: tuple[int, int]) -> tuple[int, int]:
    """The cell that a pixel's center lies in, in whole numbers."""
    return (2 * y + 1) * grid[0] // (2 * size[0]), (2 * x + 1) * grid[1] // (2 * size[1])


def push_pull(image: Array, known: Array) -> Array:
    """One channel [H, W] continued where it is not known: means of the known of 2 x 2 pixels, again and again, then
    back, each level filled from the one above by lines between the centers of its pixels."""
    height, width = image.shape
    if (height, width) == (1, 1):
        return image * known
    small = np.zeros(((height + 1) // 2, (width + 1) // 2))
    there = np.zeros(small.shape)
    for y, x in np.ndindex(small.shape):
        block = [(i, j) for i in (2 * y, 2 * y + 1) for j in (2 * x, 2 * x + 1) if i < height and j < width]
        values = [image[place] for place in block if known[place]]
        if values:
            small[y, x], there[y, x] = sum(values) / len(values), 1
    above = push_pull(small, there)
    out = image * known
    for y, x in np.ndindex(image.shape):
        if not known[y, x]:
            i, j = ((p + 0.5) * above.shape[d] / image.shape[d] - 0.5 for d, p in enumerate((y, x)))
            out[y, x] = _between(above, i, j)
    return out


def _between(board: Array, y: float, x: float) -> float:
    """The value at a place between pixels; beyond the outer centers it is that of the edge."""
    y, x = min(max(y, 0), board.shape[0] - 1), min(max(x, 0), board.shape[1] - 1)
    i, j = int(y), int(x)
    below, right = min(i + 1, board.shape[0] - 1), min(j + 1, board.shape[1] - 1)
    top = board[i, j] + (x - j) * (board[i, right] - board[i, j])
    bottom = board[below, j] + (x - j) * (board[below, right] - board[below, j])
    return top + (y - i) * (bottom - top)


def without(text: str, word: str) -> str:
    """A text of words that are separated by spaces, without one of them."""
    return " ".join(one for one in text.split(" ") if one.lower() != word)


def object_shares(core: Array, cover: Array, grid: tuple[int, int]) -> tuple[float, float] | None:
    """Mean share of the cue's cells that touch the object, and of all cells: those that the object covers by more than
    a twentieth, and their neighbours above, below, left and right. Pictures without a known object or cue do not count.
    """
    shares, usual = [], []
    for own, covered in zip(core, cover, strict=True):
        if any(np.isnan(covered)) or not any(own):
            continue
        there = {divmod(k, grid[1]) for k in range(len(covered)) if covered[k] > 0.05}
        near = [
            any((y + dy, x + dx) in there for dy, dx in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)))
            for y, x in np.ndindex(*grid)
        ]
        shares.append(sum(n for n, shown in zip(near, own, strict=True) if shown) / sum(own))
        usual.append(sum(near) / len(near))
    return (sum(shares) / len(shares), sum(usual) / len(usual)) if shares else None


def telling_words(inside: list[str], outside: list[str]) -> list[tuple[str, float, float]]:
    """Words (split at blanks) with a higher share inside: two-proportion z-test, pooled, Bonferroni; in 5 texts."""
    words = {word for text in inside + outside for word in text.split()}
    counts = {
        word: (sum(word in text.split() for text in inside), sum(word in text.split() for text in outside))
        for word in words
    }
    tested = [word for word, (a, b) in counts.items() if a + b >= 5]
    n, m, found = len(inside), len(outside), []
    for word in tested:
        a, b = counts[word]
        p = (a + b) / (n + m)
        error = (p * (1 - p) / n + p * (1 - p) / m) ** 0.5
        if a >= 5 and a / n > b / m and math.erfc((a / n - b / m) / error / 2**0.5) < 0.05 / len(tested):
            found.append((word, a / n, b / m))
    return sorted(found, key=lambda one: (one[2] - one[1], one[0]))


def grouped(words: list[tuple[int, int]], pieces: list[tuple[int, int]]) -> tuple[list[set[int]], list[int]]:
    """Words as sets of characters, and the word of each piece or -1: words that share a piece are joined until none do;
    what no piece reaches is left out."""
    groups = [set(range(first, last)) for first, last in words]
    for first, last in pieces:
        reached = [group for group in groups if group & set(range(first, last))]
        if reached:  # and all that lies between them, so that a word stays in one stretch
            low, high = min(min(g) for g in reached), max(max(g) for g in reached)
            joined = set(range(low, high + 1)).union(*reached)
            groups = [g for g in groups if not g & joined] + [joined]
    read = sorted((g for g in groups if any(g & set(range(*piece)) for piece in pieces)), key=min)
    return read, [next((k for k, g in enumerate(read) if g & set(range(*piece))), -1) for piece in pieces]


def strongest_fifth(values: Array) -> list[int]:
    """Positions of the largest fifth of the values, at least one; of equal ones the first."""
    return sorted(range(len(values)), key=lambda i: (-values[i], i))[: max(1, round(len(values) / 5))]


def blurred(channel: Array) -> Array:
    """One channel [H, W] by the means of 8 x 8 blocks, continued by cubic curves (Keys, a = -0.75) between them."""
    blocks = np.array([[_block(channel, i, j).mean() for j in range(8)] for i in range(8)])
    rows = np.array([_cubic_line(row, channel.shape[1]) for row in blocks])
    return np.array([_cubic_line(column, channel.shape[0]) for column in rows.T]).T


def _block(board: Array, i: int, j: int) -> Array:
    """Block (i, j) of 8 x 8; where the sides are no multiples of 8, neighbours share pixels."""
    (h, w), up = board.shape, math.ceil
    return board[i * h // 8 : up((i + 1) * h / 8), j * w // 8 : up((j + 1) * w / 8)]


def _cubic_line(line: Array, size: int) -> Array:
    """8 values as `size`; beyond the ends they stay as they are."""
    out = np.zeros(size)
    for k in range(size):
        place = (k + 0.5) * len(line) / size - 0.5
        left = math.floor(place)
        for i in range(left - 1, left + 3):
            x = abs(place - i)
            near, far = 1.25 * x**3 - 2.25 * x**2 + 1, -0.75 * (x**3 - 5 * x**2 + 8 * x - 4)
            out[k] += line[min(max(i, 0), len(line) - 1)] * (near if x <= 1 else far)
    return out


def painted_over(image: Array, cells: list[int], grid: tuple[int, int], fill: str) -> Array:
    """A picture [C, H, W] without some cells: there it has the mean colour of all other pixels, or is blurred."""
    gone = np.zeros(image.shape[1:], bool)
    for y, x in np.ndindex(gone.shape):
        i, j = cell_of_pixel(y, x, gone.shape, grid)
        gone[y, x] = i * grid[1] + j in cells
    out = image.copy()
    for c, channel in enumerate(image):
        out[c][gone] = channel[~gone].mean() if fill == "mean" else blurred(channel)[gone]
    return out


def deletion(
    score: Callable[[Array, str], float],
    image: Array,
    text: str,
    relevancy: Array,
    grid: tuple[int, int],
    words: list[tuple[int, int]],
    strengths: list[float],
    seed: int,
) -> dict[str, float]:
    """Falls of the score of one pair without its strongest or random patches and words; NaN where there is no word."""
    draw = np.random.default_rng((seed, len(text)))
    chosen = {"patches": strongest_fifth(relevancy)}
    chosen["patches_random"] = list(draw.choice(len(relevancy), len(chosen["patches"]), replace=False))
    whole, falls = score(image, text), {"word": math.nan, "word_random": math.nan}
    for name, cells in chosen.items():
        for fill in ("mean", "blur"):
            falls[f"{name}_{fill}"] = whole - score(painted_over(image, cells, grid, fill), text)
    taken = {"word": max(range(len(words)), key=lambda k: (strengths[k], -k))} if words else {}
    if len(words) > 1:
        taken["word_random"] = draw.choice([k for k in range(len(words)) if k != taken["word"]])
    for name, k in taken.items():
        falls[name] = whole - score(image, " ".join((text[: words[k][0]] + text[words[k][1] :]).split()))
    return falls


def pair_fit(images: Array, texts: Array, group: list[int], chosen: list[int], partner: list[int]) -> list[float]:
    """Share of the chosen pairs' texts that fit the picture less than its partner's text does, and of their pictures
    that fit that text less, mean of both; pairs with either text do not count. 0 where none is left."""
    found = []
    for n, other in enumerate(partner):
        score = images[n] @ texts[other]
        fair = [k for k in chosen if group[k] not in (group[n], group[other])]
        less = sum(images[n] @ texts[k] < score for k in fair) + sum(images[k] @ texts[other] < score for k in fair)
        found.append(less / (2 * len(fair)) if fair else 0.0)
    return found
