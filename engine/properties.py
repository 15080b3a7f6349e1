"""Properties: what a picture is like as a whole (light, colour, sharpness), measured and changed.

All of them are read off a copy whose long side is 128 pixels, so that a picture and its thumbnail have the same.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from engine.resampling import both_ways, resized

SIDE = 128  # pixels, the long side of the copy that is measured
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
FLATTEST = 1e-6  # added to the variance of the Laplacian: a picture of one colour has sharpness -6
STEPS = 12  # halvings of the range that holds the strength of a change
ROUNDS = 2  # of them: the strength is sought on the copy, the second round makes up for what the picture itself differs

PROPERTIES: dict[str, str] = {
    "brightness": "mean luma, 0..1",
    "contrast": "standard deviation of luma, 0..0.5",
    "saturation": "mean of the largest minus the smallest channel, 0..1",
    "warmth": "mean red minus mean blue, -1..1",
    "greenness": "mean green minus the mean of red and blue, -1..1",
    "sharpness": "log10 of the variance of the Laplacian of luma, from -6 (flat)",
}

# Rows: luma, warmth, greenness of a colour. Its inverse says which colour to add to change one of them alone.
_TONES = np.stack([LUMA, np.array([1, 0, -1], np.float32), np.array([-0.5, 1, -0.5], np.float32)])

Change = Callable[[np.ndarray, float], np.ndarray]
"""(picture [3, H, W] on 0..1, strength) -> picture, not clipped. Strength 0 changes nothing; more of it, more of the
property."""


def measure(rgb: np.ndarray) -> dict[str, float]:
    """All `PROPERTIES` of a picture, uint8 [H, W, 3].

    Raises:
        ValueError: it is no such picture, or an empty one.
    """
    return _measured(resized(_planes(rgb), SIDE))


def change(rgb: np.ndarray, name: str, amount: float) -> np.ndarray:
    """The picture, uint8 [H, W, 3], with the property `name` shifted by about `amount`, in its own unit.

    Brightness, warmth and greenness add a colour, contrast scales luma about its mean, saturation blends with grey or
    away from it, sharpness blurs or puts an unsharp mask on (its time grows with the cube of the long side). Where
    clipping to 0..255 or the limits of the change (eightfold contrast, say) allow no more, the property ends up as
    close as it gets.

    Raises:
        ValueError: unknown property, an amount that is no number, or no such picture.
    """
    if name not in CHANGES:
        raise ValueError(f"unknown property {name!r}; available: {', '.join(PROPERTIES)}")
    if not np.isfinite(amount):
        raise ValueError(f"{name} cannot be changed by {amount}")
    picture = _planes(rgb)
    if amount == 0:
        return rgb.copy()
    small = resized(picture, SIDE)
    wanted = aim = _measured(small)[name] + amount
    for _ in range(ROUNDS):
        changed = np.rint(_clipped(picture, name, _strength(small, name, aim)) * 255)
        aim += wanted - _measured(resized(changed / 255, SIDE))[name]
    return np.ascontiguousarray(changed.transpose(1, 2, 0).astype(np.uint8))


def _planes(rgb: np.ndarray) -> np.ndarray:
    """The picture, uint8 [H, W, 3], as float32 [3, H, W] on 0..1: numpy is slow along an axis of three."""
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or not rgb.size:
        raise ValueError(f"a picture is uint8 [H, W, 3] with at least one pixel, not {rgb.dtype} {list(rgb.shape)}")
    return np.ascontiguousarray(rgb.transpose(2, 0, 1)).astype(np.float32) / 255


def _luma(picture: np.ndarray) -> np.ndarray:
    """[3, H, W] -> [H, W]."""
    return (LUMA @ picture.reshape(3, -1)).reshape(picture.shape[1:])


def _measured(small: np.ndarray) -> dict[str, float]:
    """The properties of a copy [3, h, w] on 0..1."""
    luma = _luma(small)
    red, green, blue = (float(value) for value in small.mean(axis=(1, 2)))
    around = np.pad(luma, 1, mode="edge")
    laplacian = around[:-2, 1:-1] + around[2:, 1:-1] + around[1:-1, :-2] + around[1:-1, 2:] - 4 * luma
    return {
        "brightness": float(luma.mean()),
        "contrast": float(luma.std()),
        "saturation": float((small.max(axis=0) - small.min(axis=0)).mean()),
        "warmth": red - blue,
        "greenness": green - (red + blue) / 2,
        "sharpness": float(np.log10(laplacian.var() + FLATTEST)),
    }


def _strength(small: np.ndarray, name: str, wanted: float) -> float:
    """The strength whose change takes the property of the copy to `wanted`, by halving the range it lies in."""
    low, high = (0.0, LIMITS[name][1]) if wanted > _measured(small)[name] else (LIMITS[name][0], 0.0)
    for _ in range(STEPS):
        middle = (low + high) / 2
        if _measured(_clipped(small, name, middle))[name] < wanted:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _clipped(picture: np.ndarray, name: str, strength: float) -> np.ndarray:
    return CHANGES[name](picture, strength).clip(0, 1)


def _tone(which: int) -> Change:
    """Add a colour: of `_TONES` only the one of this number changes."""
    colour = np.linalg.inv(_TONES.astype(np.float64))[:, which].astype(np.float32)
    return lambda picture, strength: picture + np.float32(strength) * colour[:, None, None]


def _contrast(picture: np.ndarray, strength: float) -> np.ndarray:
    """Luma 2^strength times as far from its mean; colours keep their distance from grey."""
    luma = _luma(picture)
    return picture + np.float32(2**strength - 1) * (luma - luma.mean())


def _saturation(picture: np.ndarray, strength: float) -> np.ndarray:
    """Colours 2^strength times as far from the grey of their luma."""
    luma = _luma(picture)
    return luma + np.float32(2**strength) * (picture - luma)


def _sharpness(picture: np.ndarray, strength: float) -> np.ndarray:
    """Gaussian blur of radius -strength, or what a blur of radius 1 takes away added `strength` times.

    Radii in pixels of the copy that is measured.
    """
    if strength == 0:
        return picture
    scale = max(picture.shape[1:]) / SIDE
    radius = (1.0 if strength > 0 else -strength) * scale
    blurred = both_ways(_blur(picture.shape[1], radius), picture, _blur(picture.shape[2], radius))
    return picture + np.float32(strength) * (picture - blurred) if strength > 0 else blurred


def _blur(size: int, radius: float) -> np.ndarray:
    """Gaussian weights [size, size]; at the edge what is left of them counts."""
    distance = np.arange(size)[:, None] - np.arange(size)
    weights = np.exp(-0.5 * (distance / max(radius, 1e-3)) ** 2)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


CHANGES: dict[str, Change] = {
    "brightness": _tone(0),
    "contrast": _contrast,
    "saturation": _saturation,
    "warmth": _tone(1),
    "greenness": _tone(2),
    "sharpness": _sharpness,
}

# The weakest and strongest change: strengths of `CHANGES`.
LIMITS: dict[str, tuple[float, float]] = {
    "brightness": (-1.0, 1.0),
    "contrast": (-6.0, 3.0),
    "saturation": (-6.0, 3.0),
    "warmth": (-2.0, 2.0),
    "greenness": (-2.0, 2.0),
    "sharpness": (-8.0, 8.0),
}
