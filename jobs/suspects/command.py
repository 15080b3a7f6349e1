"""`python -m jobs suspects RUN`: gather, detect, compare with chance, rank, prove, keep."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.suspects import Candidate, Chance, chance_of, detect, ranked
from jobs.errors import Interrupted, JobError
from jobs.suspects.captions import caption_words
from jobs.suspects.gather import Gathered, gather
from jobs.suspects.known import known_again
from jobs.suspects.listing import ClassListing, Listing
from jobs.suspects.pairs.gather import is_of_pairs
from jobs.suspects.proof import prove
from jobs.suspects.spec import KINDS, SuspectsSpec
from storage import RunReader, Store, StoreError, suspects_lock, write_suspects

if TYPE_CHECKING:
    from jobs.suspects.concept_words import Namer

Progress = Callable[[str, int, int], None]
"""Called with a step's name, how far it is, and of how much."""


@dataclass(frozen=True)
class SuspectsResult:
    """The document of `suspects --json`."""

    run: str
    store: str
    samples: int
    total: int
    complete: bool
    seconds: float
    suspects: list[dict[str, Any]]
    chance: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def find_suspects(spec: SuspectsSpec, progress: Progress | None = None) -> SuspectsResult:
    """Search a run and keep what was found in its store.

    Each suspect is kept as soon as it is tested: a call that is interrupted, or repeated when the run has grown, goes
    on from there.

    Raises `JobError`, `engine.EngineError` or `storage.StoreError` with one clear line.
    """
    spec = spec.checked()
    store = Store.open(spec.store)
    run = spec.run or next(iter(store.run_ids()), None)
    if run is None:
        raise JobError(f"the store {store.address} has no runs yet; `python -m jobs run` makes one")
    with store.reader(run) as reader, suspects_lock(reader.run):
        try:
            return _search(spec, store, reader, progress or (lambda step, done, total: None))
        except KeyboardInterrupt:
            done = sum("tested_on" in row["evidence"] for row in reader.suspects().rows)
            raise Interrupted(f"interrupted, {done} tested suspects are kept, run the same command to go on") from None


def _check_device(spec: SuspectsSpec) -> None:
    """A device that cannot be used is refused before the search."""
    if spec.verify and spec.device != "auto":
        from jobs.device import chosen_device  # loads torch

        chosen_device(spec.device)


def _namer(spec: SuspectsSpec) -> Namer | None:
    """The model that names suspects; a wrong one is refused before the search."""
    if spec.name_with is None:
        return None
    from jobs.suspects.concept_words import find_namer  # loads the model libraries

    return find_namer(spec)


def _search(spec: SuspectsSpec, store: Store, reader: RunReader, progress: Progress) -> SuspectsResult:
    started = time.monotonic()
    _check_device(spec)
    if is_of_pairs(reader):
        from jobs.suspects.pairs.command import search_pairs  # loads the model libraries

        pair_listing, about = search_pairs(spec, reader, _before(reader, spec), progress)
        return _kept(pair_listing, about, store, reader, started)
    kinds = spec.kinds_of(KINDS, "classes")
    namer = _namer(spec)
    progress("reading", 0, 1)
    gathered = gather(reader, sample=spec.sample, seed=spec.seed)
    progress("reading", 1, 1)
    complete = reader.record.state == "finished"
    notes = [*gathered.notes, *_remarks(gathered, complete)]
    candidates, chance = _detected(gathered, spec, kinds, progress)
    chosen = ranked([c for c in candidates if c.score > chance.highest(c.kind)], spec.top)
    known = known_again(chosen, gathered, _before(reader, spec), spec.photos)
    words = caption_words(chosen, gathered, reader, spec.seed)
    listing = ClassListing(chosen, known, chance, words, gathered=gathered)
    about = {
        "samples": len(gathered.ids),
        "total": gathered.total,
        "complete": complete,
        "target": gathered.target,
        "chance": listing.chance_summary(),
        "settings": {**spec.settings(), "kinds": kinds},
        "notes": notes,
    }
    if spec.verify and listing.waiting:
        _test(listing, spec, reader, progress, about)
    if namer is not None:
        _name(listing, namer, spec, reader, progress)
    return _kept(listing, about, store, reader, started)


def _kept(listing: Listing, about: dict[str, Any], store: Store, reader: RunReader, started: float) -> SuspectsResult:
    """Keep the whole list, and return it with the pictures' names."""
    rows = listing.rows()
    write_suspects(reader.run, rows, {**about, "done": True})
    store.send(reader.run.run_id)
    uris = listing.uris
    return SuspectsResult(
        run=reader.run.run_id,
        store=store.address,
        samples=about["samples"],
        total=about["total"],
        complete=about["complete"],
        seconds=round(time.monotonic() - started, 2),
        suspects=[{**row, "sample_uris": [uris[i] for i in row["sample_ids"]]} for row in rows],
        chance=about["chance"],
        notes=about["notes"],
    )


def _remarks(gathered: Gathered, complete: bool) -> list[str]:
    """What a person should know before reading the list."""
    remarks = []
    if not complete:
        remarks.append(f"the run is not finished: this is what its first {gathered.total:,} samples say")
    if len(np.unique(gathered.seen.predicted)) < 2:
        remarks.append("all predictions are of one class: there is no other class to compare with")
    return remarks


def _before(reader: RunReader, spec: SuspectsSpec) -> list[dict[str, Any]]:
    """The rows of the earlier list; none where they are to be tested again, or where the list is damaged."""
    try:
        rows = reader.suspects().rows
    except StoreError:
        return []
    return [{**row, "evidence": {}} for row in rows] if spec.again else rows


def _detected(
    gathered: Gathered, spec: SuspectsSpec, kinds: tuple[str, ...], progress: Progress
) -> tuple[list[Candidate], Chance]:
    """Candidates, and what the same search finds on permuted predictions."""
    steps = 1 + spec.permutations
    progress("searching", 0, steps)
    candidates = detect(gathered.seen, spec.seed, kinds)
    progress("searching", 1, steps)
    done = iter(range(2, steps + 1))
    chance = chance_of(
        gathered.seen,
        spec.seed,
        permutations=spec.permutations,
        kinds=kinds,
        progress=lambda: progress("searching", next(done), steps),
    )
    return candidates, chance


def _test(
    listing: ClassListing, spec: SuspectsSpec, reader: RunReader, progress: Progress, about: dict[str, Any]
) -> None:
    """Test every suspect that nobody has tested; keep the list after each."""
    from jobs.suspects.material import find_material  # loads the model: only when something is to be tested

    material = find_material(reader.record, spec)
    listing.test(
        lambda one: prove(one, listing.gathered, material, photos=spec.photos, seed=spec.seed),
        spec.photos,
        lambda rows: write_suspects(reader.run, rows, {**about, "done": False}),
        progress,
    )


def _name(listing: ClassListing, namer: Namer, spec: SuspectsSpec, reader: RunReader, progress: Progress) -> None:
    """Say in words of a vocabulary what the suspects look like."""
    from jobs.origin import find_dataset
    from jobs.suspects.concept_words import name_suspects

    if any(tested is not None and tested.boxes for tested in listing.tested):
        dataset = find_dataset(reader.record, spec.whereabouts("leave out --name-with"))
        name_suspects(listing, namer, dataset, spec.seed, progress)
