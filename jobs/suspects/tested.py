"""A test as it is kept in the list of suspects, and read from it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jobs.suspects.judgement import status_of
from jobs.suspects.proof import Proof


@dataclass(frozen=True)
class Tested:
    """What testing a suspect on up to `photos` samples said; `effects` in plain numbers.

    `concept_words` are what the boxes look like, where an image-text model was asked: (word, contrast).
    """

    status: str
    photos: int
    effects: dict[str, Any] = field(default_factory=dict)
    on_object: tuple[float, float] | None = None
    boxes: dict[str, list[float]] = field(default_factory=dict)
    reason: str | None = None
    concept_words: list[tuple[str, float]] = field(default_factory=list)

    @classmethod
    def of(cls, proof: Proof, photos: int) -> Tested:
        """A fresh proof."""
        return cls(
            status=status_of(proof),
            photos=photos,
            effects={name: effect.to_json() for name, effect in proof.effects.items()},
            on_object=proof.on_object,
            boxes={str(sample): box for sample, box in proof.boxes.items()},
            reason=proof.reason,
        )

    @classmethod
    def read(cls, row: Mapping[str, Any], photos: int) -> Tested | None:
        """What an earlier call kept; None where it tested nothing, or another number of samples."""
        evidence = row["evidence"]
        if evidence.get("tested_on") != photos:  # also where nothing was tested
            return None
        return cls(
            status=row["status"],
            photos=photos,
            effects=evidence["effects"],
            on_object=None
            if evidence["object_share"] is None
            else (evidence["object_share"], evidence["object_usual"]),
            boxes=row["cue"]["boxes"],
            reason=evidence["untested_because"],
            concept_words=[(word, contrast) for word, contrast in evidence.get("concept_words") or []],
        )

    def evidence(self) -> dict[str, Any]:
        """Its part of a suspect's evidence."""
        return {
            "tested_on": self.photos,
            "effects": self.effects,
            "object_share": None if self.on_object is None else round(self.on_object[0], 6),
            "object_usual": None if self.on_object is None else round(self.on_object[1], 6),
            "untested_because": self.reason,
            **({"concept_words": [list(entry) for entry in self.concept_words]} if self.concept_words else {}),
        }
