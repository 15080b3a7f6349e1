"""Colours of the demo scenes: named paints for captions, and the light of five times of day."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Colour = tuple[int, int, int]

LIT: Colour = (255, 218, 132)
"""Lamp light: the one colour that no time of day darkens."""

PAINTS: dict[str, Colour] = {
    "red": (198, 52, 46),
    "orange": (228, 128, 44),
    "yellow": (236, 194, 66),
    "green": (66, 140, 84),
    "blue": (54, 104, 182),
    "purple": (126, 82, 158),
    "white": (238, 236, 228),
    "black": (52, 54, 60),
    "brown": (132, 92, 62),
    "grey": (146, 150, 156),
}


@dataclass(frozen=True)
class Light:
    """The light of a time of day: sky gradient (zenith to horizon), clouds, and a tint multiplied on everything."""

    name: str
    phrases: tuple[str, ...]
    zenith: Colour
    horizon: Colour
    tint: tuple[float, float, float]
    cloud: Colour
    cloud_amount: tuple[int, int]

    @property
    def dark(self) -> bool:
        """Whether lamps and windows are lit."""
        return self.name == "night"

    def on(self, colour: Colour, haze: float = 0.0) -> Colour:
        """A surface colour as seen in this light; `haze` (0..1) fades it into the horizon."""
        red, green, blue = (min(round(c * t), 255) for c, t in zip(colour, self.tint, strict=True))
        return mix((red, green, blue), self.horizon, haze) if haze else (red, green, blue)


LIGHTS: dict[str, Light] = {
    light.name: light
    for light in (
        Light(
            "morning",
            ("in the morning", "on a soft morning", "early in the day"),
            (136, 182, 220),
            (252, 226, 200),
            (1.02, 0.98, 0.93),
            (255, 240, 228),
            (1, 4),
        ),
        Light(
            "noon",
            ("under a blue sky", "on a sunny day", "in bright sunshine"),
            (70, 136, 208),
            (194, 224, 240),
            (1.0, 1.0, 1.0),
            (255, 255, 255),
            (1, 5),
        ),
        Light(
            "cloudy",
            ("under a grey sky", "on a cloudy day", "in dull weather"),
            (138, 150, 164),
            (208, 212, 214),
            (0.86, 0.89, 0.92),
            (226, 230, 234),
            (5, 9),
        ),
        Light(
            "sunset",
            ("at sunset", "in the evening light", "under an orange sky"),
            (92, 84, 146),
            (252, 166, 96),
            (0.98, 0.80, 0.70),
            (250, 176, 150),
            (2, 6),
        ),
        Light(
            "night",
            ("at night", "under the stars", "in the dark"),
            (18, 26, 62),
            (60, 74, 118),
            (0.44, 0.50, 0.68),
            (58, 66, 100),
            (0, 3),
        ),
    )
}
LIGHT_CHANCES = {"morning": 0.24, "noon": 0.32, "cloudy": 0.2, "sunset": 0.17, "night": 0.07}


def shade(colour: Colour, factor: float) -> Colour:
    """The colour made darker (factor < 1) or lighter towards white (factor > 1)."""
    if factor <= 1:
        red, green, blue = (round(c * factor) for c in colour)
    else:
        red, green, blue = (round(c + (255 - c) * min(factor - 1, 1)) for c in colour)
    return red, green, blue


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """The colour at `share` of the way from the first to the second (0..1)."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def jitter(rng: np.random.Generator, colour: Colour, spread: int = 14) -> Colour:
    """The colour moved by up to `spread` levels of brightness, and by a little hue."""
    moved = np.array(colour) + rng.integers(-spread, spread + 1) + rng.integers(-spread // 4, spread // 4 + 1, 3)
    red, green, blue = np.clip(moved, 0, 255)
    return int(red), int(green), int(blue)
