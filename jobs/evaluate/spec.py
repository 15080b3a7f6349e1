"""What an evaluation is: everything the user chose."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from jobs.errors import JobError, unknown

if TYPE_CHECKING:
    from jobs.origin import Whereabouts

PERTURBATIONS = ("vit", "lxmert", "visualbert", "deletion", "insertion")
PLACES = ("segmentation", "localisation")
SANITY = ("randomisation", "similarity")
PROTOCOLS = (*PERTURBATIONS, *PLACES, "coco", *SANITY)


@dataclass(frozen=True)
class EvaluateSpec:
    """All options of `evaluate`.

    Attributes:
        run: the run to evaluate; None for the newest one.
        protocols: tests that are made; those that fit the run and its data where none is named.
        methods: methods that are compared; the run's own, the paper's baselines and random where none is named.
        ablations: whether the ablations of GAE are compared too.
        samples: samples that are tested, chosen at random, where the run has more.
        fills: what removed pixels become in deletion and insertion.
        annotations: a COCO-format file, for `coco`.
        data, model, checkpoint: where the run's data and model lie now, if they have moved.
        batch_size: inputs that the model sees at once.
    """

    run: str | None = None
    store: str = "audits"
    protocols: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    ablations: bool = False
    samples: int = 200
    seed: int = 0
    fills: tuple[str, ...] = ("mean", "blur")
    annotations: str | None = None
    data: str | None = None
    model: str | None = None
    checkpoint: str | None = None
    device: str = "auto"
    batch_size: int = 32

    def checked(self) -> EvaluateSpec:
        """This spec, or `JobError` for a value that makes no sense."""
        for name, low in (("samples", 2), ("seed", 0), ("batch_size", 1)):
            if getattr(self, name) < low:
                raise JobError(f"--{name.replace('_', '-')} {getattr(self, name)}: must be at least {low}")
        for name in self.protocols:
            if name not in PROTOCOLS:
                raise unknown("protocol", name, PROTOCOLS)
        for name in self.fills:
            if name not in ("mean", "blur", "zero"):
                raise unknown("fill", name, ("mean", "blur", "zero"))
        if self.annotations is not None and self.protocols and "coco" not in self.protocols:
            raise JobError("--annotations is for --protocol coco")
        return self

    @property
    def whereabouts(self) -> Whereabouts:
        """Where the data and the model lie now."""
        from jobs.origin import Whereabouts  # loads torch

        return Whereabouts(self.data, self.model, self.checkpoint, self.device)

    def settings(self) -> dict[str, Any]:
        """The options that change the result, for the record."""
        names = ("ablations", "samples", "seed", "fills", "annotations", "batch_size")
        return {name: value for name, value in asdict(self).items() if name in names}
