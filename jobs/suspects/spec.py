"""What a search for suspects is: everything the user chose."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from jobs.errors import JobError, unknown

if TYPE_CHECKING:
    from jobs.origin import Whereabouts

KINDS = ("concept", "location", "property", "word")
PAIR_KINDS = (
    "pair_mismatch",
    "pair_mark",
    "pair_cue",
    "pair_place",
    "pair_property",
    "pair_word",
    "pair_unsupported",
)
"""Of runs that explain image-text scores."""


@dataclass(frozen=True)
class SuspectsSpec:
    """All options of `suspects`.

    Attributes:
        run: the run to look at; None for the newest one.
        top: suspects that are kept and tested.
        kinds: detectors that take part; all of those for such a run where none is named.
        verify: whether to test the suspects by intervention, which needs the pictures and the model.
        photos: photos per suspect that are intervened on.
        permutations: runs of the same search on permuted predictions.
        sample: samples that are searched, chosen at random, where the run has more.
        data, model, checkpoint: where the run's data and model lie now, if they have moved.
        device: where the model runs.
        again: test every suspect anew, also those that an earlier call has tested.
        name_with: an image-text model that says what tested suspects look like; None for no such words.
        vocabulary: a file of the words it chooses from, one per line; None for jobs/suspects/vocabulary.txt.
    """

    run: str | None = None
    store: str = "audits"
    top: int = 12
    kinds: tuple[str, ...] = ()
    verify: bool = True
    photos: int = 20
    permutations: int = 5
    seed: int = 0
    sample: int = 200_000
    data: str | None = None
    model: str | None = None
    checkpoint: str | None = None
    device: str = "auto"
    batch_size: int = 32
    again: bool = False
    name_with: str | None = None
    vocabulary: str | None = None

    def checked(self) -> SuspectsSpec:
        """This spec, or `JobError` for a value that makes no sense."""
        lowest = (("top", 0), ("photos", 2), ("permutations", 0), ("seed", 0), ("sample", 1), ("batch_size", 1))
        for name, low in lowest:
            value = getattr(self, name)
            if value < low:
                raise JobError(f"--{name.replace('_', '-')} {value}: must be at least {low}")
        for kind in self.kinds:
            if kind not in (*KINDS, *PAIR_KINDS):
                raise unknown("kind of suspect", kind, (*KINDS, *PAIR_KINDS))
        if self.vocabulary is not None and self.name_with is None:
            raise JobError("--vocabulary is for naming suspects with an image-text model: give --name-with too")
        return self

    def kinds_of(self, known: tuple[str, ...], what: str) -> tuple[str, ...]:
        """Those of `known` that take part in a run of `what`; `JobError` for another kind of run's."""
        for kind in self.kinds:
            if kind not in known:
                raise JobError(f"--kind {kind} is not for runs of {what}; {', '.join(known)} are")
        return self.kinds or known

    def whereabouts(self, way_out: str) -> Whereabouts:
        """Where the data and the model lie now; `way_out` is what helps when they are gone."""
        from jobs.origin import Whereabouts  # loads torch

        return Whereabouts(self.data, self.model, self.checkpoint, self.device, way_out)

    def settings(self) -> dict[str, Any]:
        """The options that change the result, for the record."""
        names = ("top", "kinds", "verify", "photos", "permutations", "seed", "sample", "name_with", "vocabulary")
        return {name: value for name, value in asdict(self).items() if name in names}
