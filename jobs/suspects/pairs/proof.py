"""Proof of a suspect of pairs: change the pictures or the texts, and see what the scores do.

All changes are in units: 1 is as far as the median pair lies above a shuffled one.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from engine.interventions.effect import Effect, effect_of
from engine.interventions.pictures import remove, transplant
from engine.interventions.properties import moved
from engine.interventions.words import remove_word, transplant_word
from engine.suspects import Candidate, ConceptCue, PairCue, PlaceCue, PropertyCue, UnsupportedCue, WordCue, WordedCue
from jobs.suspects.pairs.gather import GatheredPairs
from jobs.suspects.pairs.subject import PairSubject
from jobs.suspects.proof import FEWEST, MOST, Proof, cue_boxes, cue_cells, spread

REFERENCE = 1000  # texts that a mismatched picture is compared with


def prove_pairs(one: Candidate, gathered: GatheredPairs, subject: PairSubject, *, photos: int, seed: int) -> Proof:
    """Intervene on at most `photos` of a suspect's pairs, spread over weak and strong ones."""
    rng = np.random.default_rng((seed, len(one.members)))
    rows, cue = spread(one.members, photos), one.cue
    if isinstance(cue, PairCue):
        effect = replacement(gathered, rows, rng)
        return Proof(reason="there are too few other texts") if effect is None else Proof({"replacement": effect})
    if isinstance(cue, UnsupportedCue):
        return Proof(reason="what was measured is the finding itself: the score rises without the word")
    if isinstance(cue, WordCue):
        return _prove_word(one, cue, gathered, subject, rows, rng)
    if isinstance(cue, WordedCue) and isinstance(cue.cue, PropertyCue):
        return _prove_property(one, cue.word, cue.cue, gathered, subject, rows, rng)
    if isinstance(cue, WordedCue) and isinstance(cue.cue, ConceptCue | PlaceCue):
        return _prove_region(one, cue.cue, cue.word, gathered, subject, rows, rng)
    assert isinstance(cue, ConceptCue)
    return _prove_region(one, cue, None, gathered, subject, rows, rng)


def replacement(gathered: GatheredPairs, rows: np.ndarray, rng: np.random.Generator) -> Effect | None:
    """Rise of the cosine of pairs when their text is replaced by the one that fits the picture best, against a random
    one. Pairs that belong together do not gain. In units; "flips" are pairs that fit better than a typical pair's half.
    None where nearly all pairs have the same text.
    """
    count = len(gathered)
    others = rng.choice(count, min(REFERENCE, count), replace=False)
    own = np.einsum("nd,nd->n", gathered.images, gathered.texts_at)
    usual = float(np.median(np.einsum("nd,nd->n", gathered.images, gathered.texts_at[rng.permutation(count)])))
    unit, middle = max(float(np.median(own)) - usual, 1e-6), (float(np.median(own)) + usual) / 2
    cosines = gathered.images[rows] @ gathered.texts_at[others].T
    cosines[gathered.group[rows][:, None] == gathered.group[others][None]] = np.nan
    usable = np.isfinite(cosines).any(axis=1)
    rows, cosines = rows[usable], cosines[usable]
    if len(rows) < FEWEST:
        return None
    best = np.nanmax(cosines, axis=1)
    random = np.array([rng.choice(values[np.isfinite(values)]) for values in cosines])
    before = own[rows]
    return effect_of(
        (best - before) / unit,
        (random - before) / unit,
        (before < middle) & (best >= middle),
        (before < middle) & (random >= middle),
    )


def _prove_region(
    one: Candidate,
    cue: ConceptCue | PlaceCue,
    word: str | None,
    gathered: GatheredPairs,
    subject: PairSubject,
    rows: np.ndarray,
    rng: np.random.Generator,
) -> Proof:
    """Without a word the cue holds scores down: removing it must lift them. With one it carries the word: removing it
    must lower them, and pasting it must lift the score that another picture has with the same text."""
    grid, sign = gathered.seen.grid, 1 if word else -1
    if grid is None:
        return Proof(reason="the pictures have no common grid")
    rows, images = subject.images(rows)
    if len(rows) < FEWEST:
        return Proof(reason=f"only {len(rows)} of its pictures can be read")
    hosts, host_images = subject.images(_others(one, word, gathered, len(rows), rng))
    half = subject.image_half
    cells, _ = cue_cells(cue, images, host_images if len(hosts) else images[:0], grid, half)
    usable = np.flatnonzero(cells.any(axis=1) & (cells.mean(axis=1) <= MOST))
    if len(usable) < FEWEST:
        return Proof(reason="the cue's region could not be told from the rest of the picture")
    rows, images, cells = rows[usable], images[usable], cells[usable]
    texts = [gathered.texts[row] for row in rows]
    effects = {"removal": remove(images, cells, grid, 0, subject.of_pictures(texts, sign), rng)}
    if len(hosts) >= FEWEST:
        chosen = np.arange(len(hosts)) % len(rows)
        said = [texts[k] for k in chosen] if word else [gathered.texts[row] for row in hosts]
        effects["transplant"] = transplant(
            images[chosen], cells[chosen], host_images, grid, 0, subject.of_pictures(said, sign), rng
        )
    ids = [int(gathered.ids[row]) for row in rows]
    sizes = [picture.size for picture in subject.material.pictures(ids)[1]]
    return Proof(effects, None, cue_boxes(ids, sizes, cells, grid, subject.material))


def _prove_property(
    one: Candidate,
    word: str,
    cue: PropertyCue,
    gathered: GatheredPairs,
    subject: PairSubject,
    rows: np.ndarray,
    rng: np.random.Generator,
) -> Proof:
    if not cue.measured:
        return Proof(reason=f"'{cue.name}' cannot be changed in a picture: ask whether it may matter")
    values, has = gathered.seen.properties[cue.name].values, gathered.having(word)
    typical, usual = float(np.nanmedian(values[one.members])), float(np.nanmedian(values[~has]))
    hosts = _others(one, word, gathered, len(rows), rng)
    own = [gathered.texts[row] for row in rows]
    effects = {}
    for name, chosen, aim in (("removal", rows, usual), ("transplant", hosts, typical)):
        ids = [int(gathered.ids[row]) for row in chosen]
        found, pictures = subject.material.pictures(ids)
        if len(found) < FEWEST:
            return Proof(reason="too few of its pictures can be read")
        score = subject.of_pictures([own[k % len(own)] for k, sample in enumerate(ids) if sample in set(found)])
        (before, after), (_, control) = moved(
            [np.asarray(picture) for picture in pictures],
            cue.name,
            aim,
            lambda changed, score=score: score(  # type: ignore[misc]
                subject.material.inputs([Image.fromarray(picture) for picture in changed])
            ),
        )
        effects[name] = _between(before, after, control, -1 if name == "removal" else 1)
    return Proof(effects)


def _between(before: np.ndarray, after: np.ndarray, control: np.ndarray, sign: int) -> Effect:
    """Effect of answers [B, 2]; `sign` is the direction in which the score is to move."""
    fits = [answers[:, 0] >= answers[:, 1] for answers in (before, after, control)]
    if sign > 0:
        flips, control_flips = ~fits[0] & fits[1], ~fits[0] & fits[2]
    else:
        flips, control_flips = fits[0] & ~fits[1], fits[0] & ~fits[2]
    change, other = sign * (after - before)[:, 0], sign * (control - before)[:, 0]
    return effect_of(change, other, flips, control_flips)


def _prove_word(
    one: Candidate,
    cue: WordCue,
    gathered: GatheredPairs,
    subject: PairSubject,
    rows: np.ndarray,
    rng: np.random.Generator,
) -> Proof:
    """A word of high scores must take some along when it goes; one of low scores must leave more."""
    sign = int(one.evidence["side"])
    hosts = _others(one, cue.word, gathered, len(rows), rng)
    texts, said = ([gathered.texts[row] for row in some] for some in (rows, hosts))
    if min(len(texts), len(said)) < FEWEST:
        return Proof(reason="too few texts without the word")
    return Proof(
        {
            "removal": remove_word(texts, cue.word, 0, subject.of_texts(rows, sign), rng),
            "transplant": transplant_word(texts, said, cue.word, 0, subject.of_texts(hosts, sign), rng),
        }
    )


def _others(
    one: Candidate, word: str | None, gathered: GatheredPairs, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Pairs without the cue and without its word, chosen at random; of those that fit where there is no word."""
    free = ~gathered.having(word) if word else gathered.scores >= gathered.middle
    free[one.members] = free[one.elsewhere] = False
    rows = np.flatnonzero(free)
    return rng.choice(rows, min(count, len(rows)), replace=False)
