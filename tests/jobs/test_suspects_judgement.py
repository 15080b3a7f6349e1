"""What is concluded from evidence: the status, the flag, the name, and which earlier suspect it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import oracles
import pytest

from engine.interventions.effect import Effect
from engine.suspects import Candidate, ConceptCue, Observations, PlaceCue, PropertyCue, WordCue
from jobs.suspects.gather import Gathered
from jobs.suspects.judgement import is_flagged, off_object, status_of
from jobs.suspects.known import known_again
from jobs.suspects.naming import name_of
from jobs.suspects.proof import Proof, object_shares, spread

GRID = (6, 6)


def effect(verdict: str) -> Effect:
    """An effect with this verdict."""
    low, mean, high = {"verified": (0.3, 0.4, 0.5), "refuted": (-0.01, 0, 0.01), "unverified": (0.0, 0.1, 0.2)}[verdict]
    made = Effect(20, mean, low, high, 0.05, 0.0, 0.1, mean, 0.05, 1.0, 0.5, 0.0)
    assert made.verdict == verdict
    return made


@pytest.mark.parametrize(
    ("verdicts", "status"),
    [
        ([], "unverified"),
        (["verified"], "verified"),
        (["refuted"], "refuted"),
        (["unverified"], "unverified"),
        (["verified", "verified"], "verified"),
        (["refuted", "verified"], "verified"),
        (["unverified", "verified"], "verified"),
        (["refuted", "refuted"], "refuted"),
        (["refuted", "unverified"], "unverified"),
        (["unverified", "refuted"], "unverified"),
    ],
)
def test_status(verdicts: list[str], status: str) -> None:
    names = ("removal", "transplant")
    assert status_of(Proof(dict(zip(names, map(effect, verdicts), strict=False)))) == status


@pytest.mark.parametrize(
    ("share", "usual", "off"),
    [
        (0.0, 0.0, True), (0.2, 0.2, True), (0.25, 0.2, True), (0.26, 0.2, False), (0.5, 0.45, True),
        (0.51, 0.45, False), (1.0, 1.0, False), (0.1, 0.0, False),
    ],
)  # fmt: skip
def test_off_the_object(share: float, usual: float, off: bool) -> None:
    assert off_object((share, usual)) is off


def candidate(cue: Any, kind: str = "concept", members: Any = range(10), **changes: Any) -> Candidate:
    members = np.array(members)
    values = {"class_index": 0, "score": 0.2, "association": 0.2, "evidence": {"host_likeness": 0.05}, **changes}
    return Candidate(
        kind, members=members, strength=np.ones(len(members)), elsewhere=np.array([], int), cue=cue, **values
    )


PLACE = PlaceCue(np.arange(36) == 0)
UNKNOWN = {  # flagged without an object
    "one": candidate(PLACE), "status": "verified", "on_object": None, "called": (5, 10), "highest_by_chance": 0.1
}  # fmt: skip
OBJECT = {  # flagged beside an object
    "one": candidate(PLACE, score=0.075, evidence={}), "status": "verified", "on_object": (0.1, 0.2), "called": (0, 10),
    "highest_by_chance": 0.1,
}  # fmt: skip


@pytest.mark.parametrize(
    ("case", "change", "flagged"),
    [
        (UNKNOWN, {}, True),
        (UNKNOWN, {"status": "unverified"}, False),
        (UNKNOWN, {"status": "refuted"}, False),
        (UNKNOWN, {"highest_by_chance": 0.2}, False),  # chance gives as much
        (UNKNOWN, {"highest_by_chance": 0.19}, True),
        (UNKNOWN, {"kind": "word"}, False),
        (UNKNOWN, {"kind": "property"}, True),
        (UNKNOWN, {"kind": "location"}, True),
        (UNKNOWN, {"score": 0.15}, True),
        (UNKNOWN, {"score": 0.149}, False),
        (UNKNOWN, {"evidence": {"host_likeness": 0.07}}, True),
        (UNKNOWN, {"evidence": {"host_likeness": 0.071}}, False),
        (UNKNOWN, {"evidence": {}}, False),  # nothing is known of the photos
        (UNKNOWN, {"called": (4, 10)}, False),  # a look-alike part
        (UNKNOWN, {"called": (0, 4)}, True),  # too few to say
        (UNKNOWN, {"called": (2, 5)}, False),
        (UNKNOWN, {"called": (0, 0)}, True),
        (UNKNOWN, {"on_object": (0.9, 0.2)}, False),
        (OBJECT, {}, True),
        (OBJECT, {"on_object": (0.26, 0.2)}, False),
        (OBJECT, {"on_object": None}, False),
        (OBJECT, {"score": 0.0749}, False),
        (OBJECT, {"status": "unverified"}, False),
        (OBJECT, {"highest_by_chance": 0.2}, False),
        (OBJECT, {"kind": "word"}, False),
    ],
)
def test_flagged(case: dict[str, Any], change: dict[str, Any], flagged: bool) -> None:
    """Each condition alone turns the answer."""
    of_one = {name: change[name] for name in ("kind", "score", "evidence") if name in change}
    rest = {name: value for name, value in change.items() if name not in of_one}
    assert is_flagged(**{**case, **rest, "one": replace(case["one"], **of_one)}) is flagged


def test_the_score_before_the_ranking_is_compared_with_chance() -> None:
    """What others account for lowers the score, not the association."""
    lowered = replace(UNKNOWN["one"], score=0.16, association=0.3)
    assert is_flagged(**{**UNKNOWN, "one": lowered, "highest_by_chance": 0.2})
    assert not is_flagged(**{**UNKNOWN, "one": replace(lowered, association=0.2), "highest_by_chance": 0.2})


@pytest.mark.parametrize("seed", range(20))
def test_shares_of_the_object_are_those_of_the_oracle(seed: int) -> None:
    rng = np.random.default_rng(seed)
    grid = (int(rng.integers(1, 6)), int(rng.integers(1, 6)))
    core = rng.random((7, grid[0] * grid[1])) < 0.3
    cover = np.where(rng.random(core.shape) < 0.25, rng.random(core.shape), 0.0)
    cover[rng.random(7) < 0.3] = np.nan
    found, expected = object_shares(core, cover, grid), oracles.object_shares(core, cover, grid)
    assert found == (None if expected is None else pytest.approx(expected))


def test_shares_of_the_object_by_hand() -> None:
    core = np.zeros((2, 9), bool)
    core[0, [0, 4]] = core[1, 8] = True
    cover = np.zeros((2, 9))
    cover[0, 8] = 0.2  # touches cells 5, 7 and 8
    cover[1, 8] = 0.04  # no more than a ragged edge
    assert object_shares(core, cover, (3, 3)) == (0.0, pytest.approx(3 / 18))
    cover[0, 4] = 1
    assert object_shares(core, cover, (3, 3)) == (pytest.approx(0.25), pytest.approx(6 / 18))
    assert object_shares(core, np.full((2, 9), np.nan), (3, 3)) is None
    assert object_shares(np.zeros((2, 9), bool), cover, (3, 3)) is None


@pytest.mark.parametrize(("count", "expected"), [(3, [0, 4, 9]), (2, [0, 9]), (50, list(range(10))), (1, [0])])
def test_samples_are_spread_over_the_whole_list(count: int, expected: list[int]) -> None:
    assert spread(np.arange(10), count).tolist() == expected


# -- names --------------------------------------------------------------------------------------------


def gathered(tokens: np.ndarray | None = None, grid: tuple[int, int] | None = GRID, count: int = 20) -> Gathered:
    """A run of 20 samples with the ids 100, 101, ...; all patches look alike and lie at `tokens`."""
    patches = None if tokens is None else np.tile([0.0, 2.0, 0.0], (count, tokens.shape[1], 1)).astype(np.float32)
    seen = Observations(np.zeros(count, int), 2, grid=grid, patches=patches)
    return Gathered(
        seen, 100 + np.arange(count), [str(k) for k in range(count)], np.zeros(count, int), ["ant", "bee"], "predicted",
        "image", count, tokens,
    )  # fmt: skip


def cells(*places: tuple[slice | int, slice | int]) -> np.ndarray:
    board = np.zeros(GRID, bool)
    for place in places:
        board[place] = True
    return board


ALL = slice(None)


@pytest.mark.parametrize(
    ("board", "name"),
    [
        (cells((0, ALL), (-1, ALL), (ALL, 0), (ALL, -1)), "the border of the picture"),
        (cells((0, ALL), (ALL, 0), (-1, 3), (3, -1)), "the border of the picture"),
        (cells((0, 0)), "a place: at the top left"),
        (cells((0, -1)), "a place: at the top right"),
        (cells((-1, 0)), "a place: at the bottom left"),
        (cells((slice(4, 6), slice(4, 6))), "a place: at the bottom right"),
        (cells((0, ALL)), "a place: at the top"),
        (cells((-1, ALL)), "a place: at the bottom"),
        (cells((ALL, 0)), "a place: at the left"),
        (cells((ALL, -1)), "a place: at the right"),
        (cells((slice(2, 4), slice(2, 4))), "a place: in the middle"),
        (cells((ALL, ALL)), "a place: in the middle"),
    ],
)
def test_names_of_places(board: np.ndarray, name: str) -> None:
    assert name_of(candidate(PlaceCue(board.reshape(-1)), "location"), gathered()) == name


CUE = ConceptCue(np.array([[0.0, 1.0, 0.0]]), np.zeros(3), 0.5)
RING = np.flatnonzero(cells((0, ALL), (-1, ALL), (ALL, 0), (ALL, -1)))


@pytest.mark.parametrize(
    ("tokens", "where"),
    [
        ([0], "at the top left"), ([35, 34], "at the bottom right"), ([0, 3, 5], "at the top"),
        ([0, 12, 30], "at the left"),
        ([14, 15, 20, 21], "in the middle"), (RING, "along the border"), (range(36), "at changing places"),
        ([-1, -1, 5], "at the top right"),
    ],
)  # fmt: skip
def test_names_of_patches(tokens: list[int], where: str) -> None:
    own = gathered(np.tile(np.array(tokens), (20, 1)))
    assert name_of(candidate(CUE), own) == f"alike patches {where}"


def test_patches_that_are_not_alike_do_not_name_the_place() -> None:
    own = gathered(np.tile([0, 35], (20, 1)))
    assert own.seen.patches is not None
    own.seen.patches[:, 1] = [2, 0, 0]
    assert name_of(candidate(CUE), own) == "alike patches at the top left"
    own.seen.patches[:] = [2, 0, 0]
    assert name_of(candidate(CUE), own) == "alike patches"
    assert name_of(candidate(CUE), gathered(None)) == "alike patches"
    assert name_of(candidate(CUE), gathered(np.tile([-1], (20, 1)))) == "alike patches"
    assert name_of(candidate(CUE), gathered(np.tile([0], (20, 1)), grid=None)) == "alike patches"


@pytest.mark.parametrize(
    ("cue", "name"),
    [
        (PropertyCue("brightness", low=0.5), "bright pictures"),
        (PropertyCue("brightness", high=0.5), "dark pictures"),
        (PropertyCue("sharpness", high=-3.0), "blurred pictures"),
        (PropertyCue("warmth", low=0.0), "reddish pictures"),
        (PropertyCue("aspect", low=0.0), "wide pictures"),
        (PropertyCue("iso", low=0.0), "iso at least 0"),
        (PropertyCue("iso", high=1234567.0), "iso at most 1.23457e+06"),
        (PropertyCue("camera", category="old"), "camera = old"),
        (WordCue("boat"), "the word 'boat'"),
    ],
)
def test_names_of_properties_and_words(cue: Any, name: str) -> None:
    assert name_of(candidate(cue, "word" if isinstance(cue, WordCue) else "property"), gathered()) == name


# -- known again --------------------------------------------------------------------------------------


def row(number: int, samples: Any, **changes: Any) -> dict[str, Any]:
    """An earlier suspect that was tested on 20 samples."""
    evidence = {"tested_on": 20, "effects": {"removal": number}, "object_share": 0.1, "object_usual": 0.2}
    cue = {"boxes": {"100": [0, 0, 1, 1]}}
    return {
        "id": f"concept-{number}", "kind": "concept", "class_index": 0, "status": "verified", "cue": cue,
        "sample_ids": list(samples), "evidence": {**evidence, "untested_because": None}, **changes,
    }  # fmt: skip


def test_a_suspect_is_known_by_half_of_its_samples_its_kind_and_its_class() -> None:
    one = candidate(CUE)  # samples 100 .. 109

    def known(earlier: dict[str, Any]) -> bool:
        return known_again([one], gathered(), [earlier], 20)[0].id == "concept-1"

    assert known(row(1, range(100, 110)))
    assert known(row(1, range(105, 115))) and not known(row(1, range(106, 116)))
    assert known(row(1, range(100, 104))), "a list of fewer samples, as of a smaller run"
    assert known(row(1, range(100, 120)))
    assert not known(row(1, range(100, 110), kind="location"))
    assert not known(row(1, range(100, 110), class_index=1))
    assert not known(row(1, []))


def test_what_was_tested_is_kept_for_as_many_photos() -> None:
    one, earlier = candidate(CUE), row(1, range(100, 110))
    (known,) = known_again([one], gathered(), [earlier], 20)
    assert known.tested is not None
    assert (known.tested.status, known.tested.effects, known.tested.on_object) == (
        "verified",
        {"removal": 1},
        (0.1, 0.2),
    )
    assert known.tested.boxes == {"100": [0, 0, 1, 1]} and known.tested.photos == 20
    (other,) = known_again([one], gathered(), [earlier], 10)
    assert (other.id, other.tested) == ("concept-1", None)
    (untested,) = known_again([one], gathered(), [{**earlier, "evidence": {}}], 20)
    assert (untested.id, untested.tested) == ("concept-1", None)


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_suspects_of_the_same_photos_each_is_known_as_itself(turned: bool) -> None:
    """One cue lies within the photos of another: the more alike lists belong together, in whatever order they come."""
    chosen = [candidate(CUE), candidate(CUE, members=range(4))]
    earlier = [row(1, range(100, 110)), row(2, range(100, 104))]
    found = known_again(chosen, gathered(), earlier[::-1] if turned else earlier, 20)
    assert [known.id for known in found] == ["concept-1", "concept-2"]
    assert [known.tested and known.tested.effects["removal"] for known in found] == [1, 2]


def test_one_earlier_suspect_is_known_again_once() -> None:
    chosen = [candidate(CUE, members=range(5)), candidate(CUE, members=range(6))]
    found = known_again(chosen, gathered(), [row(1, range(100, 107))], 20)
    assert found[1].id == "concept-1"
    assert found[0].id.startswith("concept-") and found[0].id != "concept-1" and found[0].tested is None


@pytest.mark.parametrize(
    ("cue", "same", "other"),
    [
        (WordCue("boat"), {"word": "boat"}, {"word": "sea"}),
        (PropertyCue("iso", low=3.0), {"property": "iso", "category": None}, {"property": "width", "category": None}),
        (
            PropertyCue("camera", category="old"),
            {"property": "camera", "category": "old"},
            {"property": "camera", "category": "new"},
        ),
    ],
)
def test_the_test_of_another_word_or_property_is_not_taken_over(cue: Any, same: dict, other: dict) -> None:
    one = candidate(cue, "word")
    for earlier, known in ((same, True), (other, False)):
        before = row(1, range(100, 110), kind="word", cue={"boxes": {}, **earlier})
        assert (known_again([one], gathered(), [before], 20)[0].tested is not None) is known


def test_new_ids_follow_from_kind_class_and_samples() -> None:
    def id_of(one: Candidate) -> str:
        return known_again([one], gathered(), [], 20)[0].id

    one = candidate(CUE)
    assert id_of(one) == id_of(candidate(CUE, members=[9, *range(9)])), "the order of the samples does not matter"
    others = [candidate(CUE, members=range(9)), candidate(CUE, class_index=1), candidate(CUE, "location")]
    assert len({id_of(one), *map(id_of, others)}) == 4
    assert id_of(one).startswith("concept-") and id_of(others[2]).startswith("location-")
    assert id_of(candidate(WordCue("boat"), "word")) != id_of(candidate(WordCue("sea"), "word"))


def test_two_new_cues_in_the_same_photos_have_ids_of_their_own() -> None:
    found = known_again([candidate(CUE), candidate(CUE)], gathered(), [], 20)
    assert found[0].id != found[1].id
    again = known_again([candidate(CUE), candidate(CUE)], gathered(), [], 20)
    assert [known.id for known in again] == [known.id for known in found]


@pytest.mark.parametrize("turned", [False, True])
def test_two_cues_in_the_same_photos_are_told_apart_by_their_looks(turned: bool) -> None:
    other = ConceptCue(np.array([[1.0, 0.1, 0.0]]), np.zeros(3), 0.5)
    earlier = [row(1, range(100, 110), cue={"boxes": {}, "prototypes": [[0.1, 0.9, 0.0]]})]
    earlier.append(row(2, range(100, 110), cue={"boxes": {}, "prototypes": [[0.9, 0.1, 0.0]]}))
    found = known_again([candidate(CUE), candidate(other)], gathered(), earlier[::-1] if turned else earlier, 20)
    assert [known.id for known in found] == ["concept-1", "concept-2"]
