"""`python -m jobs suspects RUN` on a run of image-text scores."""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.suspects import Candidate, ranked, telling_words
from engine.suspects.vocabulary import MOST
from jobs.suspects.captions import READ, Telling
from jobs.suspects.known import known_again
from jobs.suspects.pairs.gather import GatheredPairs, gather_pairs
from jobs.suspects.pairs.listing import PairListing
from jobs.suspects.pairs.proof import prove_pairs
from jobs.suspects.pairs.search import PairSearch, Progress
from jobs.suspects.pairs.subject import PairSubject
from jobs.suspects.spec import PAIR_KINDS, SuspectsSpec
from storage import RunReader, write_suspects

NEED_MODEL = ("pair_mark", "pair_cue", "pair_unsupported")


def search_pairs(
    spec: SuspectsSpec, reader: RunReader, before: list[dict[str, Any]], progress: Progress
) -> tuple[PairListing, dict[str, Any]]:
    """Search, test and keep; the list, and what was said about how it was made.

    `before` are the rows of an earlier list, whose tests are kept.
    """
    kinds = spec.kinds_of(PAIR_KINDS, "image-text scores")
    progress("reading", 0, 1)
    gathered = gather_pairs(reader, sample=spec.sample, seed=spec.seed)
    progress("reading", 1, 1)
    subject = _subject(spec, reader, gathered)
    search = PairSearch(gathered, subject, kinds, spec.seed, progress)
    candidates, chance = search.candidates(), search.chance(spec.permutations)
    chosen = ranked([one for one in candidates if one.score > chance.highest(one.kind)], spec.top)
    known = known_again(chosen, gathered, before, spec.photos)
    listing = PairListing(chosen, known, chance, _caption_words(chosen, gathered, spec.seed), pairs=gathered)
    complete = reader.record.state == "finished"
    notes = [*gathered.notes, *_remarks(gathered, complete, subject, kinds)]
    info = {
        "samples": len(gathered),
        "total": gathered.total,
        "complete": complete,
        "target": gathered.target,
        "chance": listing.chance_summary(),
        "settings": {**spec.settings(), "kinds": kinds},
        "notes": notes,
    }
    if subject is not None:
        listing.test(
            lambda one: prove_pairs(one, gathered, subject, photos=spec.photos, seed=spec.seed),
            spec.photos,
            lambda rows: write_suspects(reader.run, rows, {**info, "done": False}),
            progress,
        )
    return listing, info


def _subject(spec: SuspectsSpec, reader: RunReader, gathered: GatheredPairs) -> PairSubject | None:
    if not spec.verify:
        return None
    from jobs.suspects.material import find_material

    start_layer = int(reader.record.model.get("start_layer") or 0)
    return PairSubject(find_material(reader.record, spec), gathered, start_layer)


def _caption_words(chosen: list[Candidate], gathered: GatheredPairs, seed: int) -> list[Telling]:
    """Per suspect the words that more of its captions have than of all others."""
    found = []
    for one in chosen:
        rng = np.random.default_rng((seed, len(one.members)))
        others = np.setdiff1d(np.arange(len(gathered)), one.members)
        inside, outside = ([gathered.texts[row] for row in _some(rows, rng)] for rows in (one.members, others))
        own = one.cue.to_json().get("word")
        telling = [entry for entry in telling_words(inside, outside, MOST + 1) if entry[0] != own]
        found.append([(word, round(share, 5), round(other, 5)) for word, share, other in telling[:MOST]])
    return found


def _some(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rows if len(rows) <= READ else np.sort(rng.choice(rows, READ, replace=False))


def _remarks(gathered: GatheredPairs, complete: bool, subject: PairSubject | None, kinds: tuple[str, ...]) -> list[str]:
    """What a person should know before reading the list."""
    remarks = []
    if not complete:
        remarks.append(f"the run is not finished: this is what its first {gathered.total:,} pairs say")
    left_out = [kind for kind in NEED_MODEL if kind in kinds]
    if subject is None and left_out:
        remarks.append(f"{', '.join(left_out)} need the model: not looked for (--no-verify)")
    return remarks
