"""Protocols: in which steps the input is taken away, how, and what is scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from engine.errors import EngineError, UnknownName

FILL, REMOVE = "fill", "remove"
DIRECTIONS = ("positive", "negative")
"""Most relevant first, and least relevant first."""

_TENTHS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_WHOLE = (*_TENTHS, 1.0)
_COARSE = (0.0, 0.25, 0.5, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
_FINE = (0.0, 0.5, 0.75, 0.95, 0.96, 0.97, 0.98, 0.99, 1.0)


@dataclass(frozen=True)
class Protocol:
    """One way to test maps.

    Attributes:
        name: what it is asked for by.
        description: one line.
        steps: per modality ("image", "text") the shares of the tokens or pixels that are taken away (that are put in,
            for an insertion), rising; part of each curve is the point of the whole input.
        removal: "fill" (pixels take another colour) or "remove" (for models that read regions). Words and regions are
            taken out under either, and the rest moves together.
        score: what is measured (``engine.faithfulness.scores.SCORES``): "accuracy", "probability", "soft_accuracy".
        fills: what pixels are replaced by, the usual one first ("black", "mean", "blur").
        kept: how many tokens at the front and at the end of every text always stay.
        inserts: starts from nothing and puts the most relevant in first.
        source: paper and script.
    """

    name: str
    description: str
    steps: Mapping[str, tuple[float, ...]]
    removal: str
    score: str
    source: str
    fills: tuple[str, ...] = ()
    kept: tuple[int, int] = (1, 1)
    inserts: bool = False

    @property
    def modalities(self) -> tuple[str, ...]:
        """What it tests."""
        return tuple(self.steps)

    def steps_of(self, modality: str) -> tuple[float, ...]:
        """Steps of a modality. Raises EngineError where the protocol has none for it."""
        if modality not in self.steps:
            raise EngineError(f"protocol {self.name!r} tests {' and '.join(self.steps)}, not {modality!r}")
        return self.steps[modality]

    def clean(self, modality: str) -> int:
        """Index of the step at which the whole input is there."""
        steps = self.steps_of(modality)
        return steps.index(1.0 if self.inserts else 0.0)

    def counts(self, modality: str, tokens: np.ndarray) -> np.ndarray:
        """How many of the tokens [B] of each sample are taken away (put in) at each step, [B, K] int64.

        Rounded as the authors round, in double precision: fills take ``int(share * n)``; what removes tokens keeps
        ``int((1 - share) * n)`` of them, so that of ten words 0.8 leaves one, since 1 - 0.8 lies just below 0.2.
        """
        shares, n = np.asarray(self.steps_of(modality), np.float64), np.asarray(tokens)[:, None]
        if self.removal == FILL or self.inserts:
            return (shares * n).astype(np.int64)
        return n.astype(np.int64) - ((1 - shares) * n).astype(np.int64)


_GAE = "Chefer, Gur, Wolf, ICCV 2021, section 5.1"

PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "vit",
            "pixels turn black in tenths up to 90 %, accuracy of the predicted class",
            {"image": _TENTHS},
            FILL,
            "accuracy",
            "Chefer, Gur, Wolf, CVPR 2021, section 4, and ICCV 2021, section 5.2; pertubation_eval_from_hdf5.py",
            fills=("black",),
        ),
        Protocol(
            "lxmert",
            "regions or words are taken out up to all, soft VQA accuracy; [CLS] and [SEP] stay",
            {"image": _COARSE, "text": _COARSE},
            REMOVE,
            "soft_accuracy",
            f"{_GAE}; lxmert/perturbation.py",
        ),
        Protocol(
            "visualbert",
            "regions or words are taken out up to all, soft VQA accuracy; [CLS], the read-out token and [SEP] stay",
            {"image": _FINE, "text": _COARSE},
            REMOVE,
            "soft_accuracy",
            f"{_GAE}; VisualBERT/mmf/trainers/core/evaluation_loop.py",
            kept=(1, 2),
        ),
        Protocol(
            "deletion",
            "pixels are filled in (words or regions taken out) in tenths up to all, probability of the class",
            {"image": _WHOLE, "text": _WHOLE},
            FILL,
            "probability",
            "Petsiuk, Das, Saenko, BMVC 2018 (RISE), section 4.2; Samek et al., IEEE TNNLS 2017",
            fills=("mean", "blur"),
        ),
        Protocol(
            "insertion",
            "pixels of the picture are put into a filled one (words or regions into none) in tenths up to all, "
            "probability of the class",
            {"image": _WHOLE, "text": _WHOLE},
            FILL,
            "probability",
            "Petsiuk, Das, Saenko, BMVC 2018 (RISE), section 4.2",
            fills=("blur", "mean"),
            inserts=True,
        ),
    )
}


def protocol_of(name: str | Protocol) -> Protocol:
    """The protocol of a name. Raises UnknownName; the message suggests the nearest."""
    if isinstance(name, Protocol):
        return name
    if name not in PROTOCOLS:
        raise UnknownName("protocol", name, PROTOCOLS)
    return PROTOCOLS[name]
