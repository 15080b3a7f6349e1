"""Marks that hold scores down, lists of mismatched pairs, words of high and low scores, words without support."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import planted
import pytest

from engine.suspects import NONE, Candidate, ConceptCue, Observations, PairCue, UnsupportedCue, WordCue
from engine.suspects.candidate import FEWEST
from engine.suspects.pairs.marks import mark_candidates
from engine.suspects.pairs.mismatch import PROBABLE, mismatch_candidate, mismatch_probability
from engine.suspects.pairs.words import RISE, score_words, unsupported_candidate

PAIRS = 160
LOW, HIGH = np.arange(40), np.arange(40, 120)
APART = np.arange(120, 160)
"""Pairs that do not belong together."""


def sides() -> np.ndarray:
    return np.repeat([0, 1, NONE], [len(LOW), len(HIGH), len(APART)])


def marked(seed: int, *rows: np.ndarray) -> Observations:
    """Patches of noise, with a mark in some pairs."""
    rng = np.random.default_rng(seed)
    seen = planted.photos(rng, np.zeros(PAIRS, np.int64))
    planted.plant(rng, seen, np.concatenate(rows), planted.axis(0))
    return seen


def points_to(one: Candidate, number: int) -> bool:
    """Whether the strongest prototype of a candidate is about the direction of that number."""
    assert isinstance(one.cue, ConceptCue)
    first = one.cue.prototypes[0]
    return bool(first @ planted.axis(number) / np.linalg.norm(first) > 0.9)


# --- marks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_a_mark_in_pairs_with_low_scores_is_found_with_its_look_alikes(seed: int) -> None:
    """Also those whose score is high in spite of it, and those that do not belong together."""
    shown = np.r_[LOW[:25], HIGH[:3], APART[:4]]
    first, *others = mark_candidates(marked(seed, shown), sides())
    assert (first.kind, first.class_index) == ("pair_mark", -1) and points_to(first, 0) and first.testable
    assert set(shown) <= set(first.members.tolist()) and len(first.members) <= len(shown) + 2
    assert len(set(first.members.tolist())) == len(first.members) == len(first.strength)
    assert (np.diff(first.strength) <= 0).all() and isinstance(first.cue, ConceptCue)
    assert first.strength.min() >= first.cue.cut
    assert first.evidence["low"] == 25 and len(first.elsewhere) == 0
    assert 0.2 < first.score <= 1 and first.score > 3 * max((one.score for one in others), default=0)
    assert "host_likeness" in first.evidence and "purity" in first.evidence


def test_members_are_as_alike_as_the_plain_recomputation_says() -> None:
    seen = marked(0, LOW[:25], HIGH[:3])
    first, *_ = mark_candidates(seen, sides())
    assert isinstance(first.cue, ConceptCue) and seen.patches is not None
    best = {}
    for row in range(PAIRS):
        likeness = []
        for state in seen.patches[row]:
            direction = state - first.cue.center
            likeness.append(float(direction @ first.cue.prototypes[0] / np.linalg.norm(direction)))
        best[row] = max(likeness)
    expected = {row for row, value in best.items() if value >= first.cue.cut}
    assert set(first.members.tolist()) == expected
    np.testing.assert_allclose(first.strength, [best[row] for row in first.members], atol=1e-5)


def test_pairs_that_do_not_belong_together_say_nothing_of_marks() -> None:
    """Neither for one nor against one."""
    assert not [one for one in mark_candidates(marked(0, APART), sides()) if points_to(one, 0)]
    alone = mark_candidates(marked(0, LOW[:25]), sides())[0]
    beside = mark_candidates(marked(0, LOW[:25], APART), sides())[0]
    assert points_to(beside, 0) and beside.evidence["purity"] == alone.evidence["purity"] == 1
    assert set(APART) <= set(beside.members.tolist()) and beside.evidence["low"] == 25
    as_others = mark_candidates(marked(0, LOW[:25], APART), np.where(sides() == NONE, 1, sides()))[0]
    assert as_others.evidence["purity"] < 0.5 and as_others.score < beside.score / 2


def test_what_is_everywhere_is_no_mark() -> None:
    everywhere = mark_candidates(marked(0, np.arange(PAIRS)), sides())
    assert max((one.score for one in everywhere), default=0) < 0.02
    high = mark_candidates(marked(0, HIGH), sides())
    assert not [one for one in high if points_to(one, 0)]


def test_no_marks_where_there_is_nothing() -> None:
    seen = marked(0, LOW[:FEWEST])
    assert mark_candidates(seen, sides())
    few = np.where(np.isin(np.arange(PAIRS), LOW[: FEWEST - 1]), 0, 1)
    assert mark_candidates(seen, few) == []
    assert mark_candidates(seen, np.full(PAIRS, NONE)) == [] and mark_candidates(seen, np.ones(PAIRS, int)) == []
    assert mark_candidates(Observations(np.zeros(PAIRS, np.int64), 1), sides()) == []
    assert mark_candidates(Observations(np.zeros(0, np.int64), 1), sides()[:0]) == []
    noise = mark_candidates(marked(1, LOW[:0]), sides())
    assert max((one.score for one in noise), default=0) < 0.1


def test_the_same_seed_gives_the_same_marks() -> None:
    seen = marked(2, LOW[:25], HIGH[:3])
    one, other = mark_candidates(seen, sides(), 3), mark_candidates(replace(seen), sides(), 3)
    assert [c.score for c in one] == [c.score for c in other] and len(one) > 0
    assert [c.score for c in one] == sorted((c.score for c in one), reverse=True)


# --- mismatched pairs -------------------------------------------------------------------------------------------------


def fits(wrong: int, count: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Fit of pairs, the first `wrong` of which are as unrelated as shuffled ones, and of shuffled pairs."""
    rng = np.random.default_rng(seed)
    null = rng.random(count)
    fit = np.r_[rng.random(wrong) * 0.6, 1 - 0.05 * rng.random(count - wrong)]
    return fit, null


def test_mismatched_pairs_come_worst_first_and_none_else() -> None:
    fit, null = fits(40)
    one = mismatch_candidate(fit, null, np.zeros(0, np.int64))
    assert one is not None and (one.kind, one.class_index, one.cue) == ("pair_mismatch", -1, PairCue())
    probability, share = mismatch_probability(fit, null)
    assert set(one.members.tolist()) == set(np.flatnonzero(probability >= PROBABLE).tolist()) <= set(range(40))
    assert len(one.members) >= 35 and (np.diff(fit[one.members]) >= 0).all()
    np.testing.assert_allclose(one.strength, 1 - fit[one.members])
    assert one.evidence["probability"] == pytest.approx(probability[one.members].mean())
    assert one.evidence["estimated_share"] == share and one.evidence["fit"] == pytest.approx(fit[one.members].mean())
    expected = probability[one.members].mean() * np.log(len(one.members)) / np.log(400)
    assert one.score == pytest.approx(expected) and one.testable


def test_what_something_else_explains_is_not_listed_as_mismatched() -> None:
    fit, null = fits(40)
    every = mismatch_candidate(fit, null, np.zeros(0, np.int64))
    assert every is not None
    held_down = every.members[:10]
    rest = mismatch_candidate(fit, null, held_down)
    assert rest is not None and rest.members.tolist() == every.members[10:].tolist()
    assert mismatch_candidate(fit, null, every.members) is None
    assert mismatch_candidate(fit, null, every.members[: -(FEWEST - 1)]) is None
    least = mismatch_candidate(fit, null, every.members[:-FEWEST])
    assert least is not None and len(least.members) == FEWEST


@pytest.mark.parametrize(("wrong", "count"), [(0, 400), (FEWEST - 1, 400), (0, 1), (1, 3)])
def test_too_few_mismatched_pairs_are_no_suspect(wrong: int, count: int) -> None:
    assert mismatch_candidate(*fits(wrong, count), np.zeros(0, np.int64)) is None


# --- words of high and low scores -------------------------------------------------------------------------------------


def texts_with(word: str, rows: np.ndarray, count: int = 200) -> list[list[str]]:
    """Words of texts; other words are of no account."""
    rng = np.random.default_rng(0)
    filler = ["a", "boat", "car", "by", "sea", "town"]
    return [[*rng.choice(filler, 3), *([word] if row in rows else [])] for row in range(count)]


def found_words(words: list[list[str]], scores: np.ndarray, share: float = 0.5) -> list[Candidate]:
    """`score_words` where each text has a share of its relevancy on its last word, and the rest even on the others."""
    shares = [np.r_[np.full(len(own) - 1, (1 - share) / (len(own) - 1)), share] for own in words]
    return score_words([" ".join(own) for own in words], words, shares, scores)


@pytest.mark.parametrize("side", [1, -1])
def test_a_word_of_the_top_or_bottom_tenth_is_found(side: int) -> None:
    scores = np.random.default_rng(1).permutation(200) / 100.0
    tenth = np.argsort(-side * scores)[:20]
    others = np.argsort(-side * scores)[60:70]
    rows = np.r_[tenth[:16], others]
    (one,) = found_words(texts_with("stock", rows), scores)
    assert (one.kind, one.class_index, one.cue) == ("pair_word", -1, WordCue("stock"))
    assert one.evidence["side"] == side
    assert one.evidence["share_inside"] == pytest.approx(16 / 20)
    assert one.evidence["share_outside"] == pytest.approx(10 / 180)
    assert sorted(one.members.tolist()) == sorted(rows.tolist()) and one.evidence["relevancy_share"] == 0.5
    expected = (16 / 20 - 10 / 180) * np.sqrt(0.5) * np.log(26) / np.log(200)
    assert one.score == pytest.approx(expected)


def test_texts_that_look_at_the_word_most_come_first() -> None:
    scores = np.arange(200) / 100.0
    words = texts_with("stock", np.arange(180, 200))
    shares = [np.full(len(own), 1 / len(own)) for own in words]
    for row, share in ((183, 0.9), (197, 0.8)):
        shares[row] = np.array([0, 0, 1 - share, share])
    (one,) = score_words([" ".join(own) for own in words], words, shares, scores)
    assert one.members[:2].tolist() == [183, 197] and one.strength[:3].tolist() == [0.9, 0.8, 0.25]


def test_a_word_that_carries_more_relevancy_is_more_suspicious() -> None:
    scores, words = np.arange(200) / 100.0, texts_with("stock", np.arange(180, 200))
    (weak,), (strong,) = found_words(words, scores, 0.1), found_words(words, scores, 0.9)
    assert strong.score > 2 * weak.score > 0


def test_no_words_without_texts_and_where_scores_say_nothing() -> None:
    assert score_words([], [], [], np.zeros(0)) == []
    assert score_words([""] * 30, [[]] * 30, [np.zeros(0)] * 30, np.arange(30.0)) == []
    assert score_words(["a"] * 3, [["a"]] * 3, [np.ones(1)] * 3, np.arange(3.0)) == []
    assert found_words(texts_with("stock", np.arange(0, 200, 7)), np.random.default_rng(0).random(200)) == []


# --- words that nothing supports --------------------------------------------------------------------------------------


def test_pairs_whose_score_rises_without_a_word_come_by_the_rise() -> None:
    rows = np.array([7, 3, 11, 20, 4, 9, 30])
    words = [["a", f"w{row}"] for row in rows]
    rises = [np.array([-0.2, rise]) for rise in (0.3, 0.5, RISE, RISE - 0.01, 0.2, 0.15, 0.0)]
    rises[4] = np.array([0.4, 0.2])  # here the other word
    one = unsupported_candidate(rows, words, rises, 100)
    assert one is not None and (one.kind, one.class_index) == ("pair_unsupported", -1)
    assert one.members.tolist() == [3, 4, 7, 9, 11] and one.strength.tolist() == [0.5, 0.4, 0.3, 0.15, RISE]
    assert one.cue == UnsupportedCue({3: "w3", 4: "a", 7: "w7", 9: "w9", 11: "w11"})
    assert one.evidence["rise"] == pytest.approx(np.mean([0.5, 0.4, 0.3, 0.15, RISE]))
    assert one.score == pytest.approx(one.evidence["rise"] * np.log(5) / np.log(100) / 2)


def test_few_pairs_without_support_are_no_suspect() -> None:
    rows, words = np.arange(FEWEST), [["a"]] * FEWEST
    assert unsupported_candidate(rows, words, [np.array([0.3])] * FEWEST, 50) is not None
    assert unsupported_candidate(rows, words, [np.array([0.3])] * (FEWEST - 1) + [np.array([0.0])], 50) is None
    assert unsupported_candidate(rows, words, [np.array([RISE - 1e-9])] * FEWEST, 50) is None
    assert unsupported_candidate(rows, [[]] * FEWEST, [np.zeros(0)] * FEWEST, 50) is None  # texts without words
    assert unsupported_candidate(rows[:0], [], [], 0) is None


def test_no_rise_makes_more_than_half_a_score() -> None:
    rows = np.arange(50)
    one = unsupported_candidate(rows, [["a"]] * 50, [np.array([9.0])] * 50, 50)
    assert one is not None and one.score == pytest.approx(0.5)
