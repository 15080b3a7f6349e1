"""Suspects in words: what is said of each kind, and that nothing is said that the row does not hold."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from storage import wording
from storage.columns import SUSPECT_COLUMNS


def effect(**values: Any) -> dict[str, Any]:
    known = {"n": 20, "mean": 0.4, "low": 0.3, "high": 0.5, "control_mean": 0.01, "control_low": -0.001}
    known |= {"control_high": 0.02, "flips": 0.71, "control_flips": 0.06, "verdict": "verified"}
    return known | values


def row(**values: Any) -> dict[str, Any]:
    """A suspect of the class bird, verified by masking."""
    evidence: dict[str, Any] = {
        "effects": {"removal": effect(), "transplant": effect(flips=0.3, control_flips=0.1)},
        "consequence": {
            "accuracy_with": {"k": 19, "n": 20},
            "accuracy_without": {"k": 2, "n": 8},
            "called": {"k": 5, "n": 10},
            "called_without": {"k": 1, "n": 100},
            "leaning": {"k": 19, "n": 21},
        },
        "object_share": 0.1,
        "object_usual": 0.25,
        "expected_by_chance": 0.2,
        "seen_as": ["a place: at the top", "sharp pictures"],
        "untested_because": None,
        "words": [["sky", 0.5, 0.1]],
        "concept_words": [["net", 0.3], ["wire", 0.2]],
    }
    found = {"id": "concept-1", "rank": 1, "kind": "concept", "name": "alike patches at changing places"}
    found |= {"class_name": "bird", "class_index": 0, "n": 54, "share": 0.7105, "score": 0.3, "status": "verified"}
    return found | {"flagged": True, "evidence": evidence, "cue": {"boxes": {}}, "sample_ids": [1]} | values


def pair(kind: str, **values: Any) -> dict[str, Any]:
    evidence = {"effects": {"removal": effect(mean=0.25), "transplant": effect(mean=0.31, control_mean=0.1)}}
    evidence |= {"mean_score": 1.2, "usual_score": 1.7, "seen_as": ["photo: sharp pictures"]}
    return row(kind=kind, class_name="photo", evidence=evidence, cue={"word": "photo", "boxes": {}}) | values


def without(*names: str) -> dict[str, Any]:
    found = row()
    return {**found, "evidence": {k: v for k, v in found["evidence"].items() if k not in names}}


def test_the_strongest_sentence_is_the_verified_effect_that_changes_most() -> None:
    assert wording.headline(row()) == ("masking the cue changes 71% of the predictions; masking as much elsewhere 6%")
    found = row()
    found["evidence"]["effects"]["removal"]["verdict"] = "unverified"
    assert wording.headline(found) == (
        "pasting the cue into other pictures turns 30% of them into bird; as much of the rest 10%"
    )


def test_untested_suspects_tell_of_accuracy_or_of_how_common_the_cue_is() -> None:
    said = wording.headline(without("effects"))
    assert said == "with the cue 95% of 20 samples of bird are right, without it 25% of 8"
    assert wording.headline(without("effects", "consequence")) == "54 samples, 71% of those predicted as bird"


def test_evidence_in_words() -> None:
    lines = wording.evidence_lines(row())
    assert lines == [
        "looks like: net, wire",
        "captions say: sky (50% against 10%)",
        "masking the cue changes 71% of the predictions; masking as much elsewhere 6% (p falls by 0.40, 95% interval "
        "0.30 to 0.50; control 0.01, 0.00 to 0.02; 20 samples)",
        "pasting the cue into other pictures turns 30% of them into bird; as much of the rest 10% (p rises by 0.40, "
        "95% interval 0.30 to 0.50; control 0.01, 0.00 to 0.02; 20 samples)",
        "with the cue 95% of 20 samples of bird are right, without it 25% of 8",
        "errors elsewhere: of 10 samples of other classes with the cue 5 are called bird; without it 1 of 100",
        "19 of the 21 right answers of the class show the cue",
        "10% of the cue's cells touch the object; of all cells 25%",
        "expected by chance: 0.2 of its kind as strong as this one",
        "the same photos: a place: at the top, sharp pictures",
    ]
    assert any(line.startswith(wording.headline(row())) for line in lines)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("location", "masking the cue changes 71%"),
        ("property", "making its pictures like others changes 71% of the predictions; the opposite change 6%"),
        ("word", "taking the word out changes 71% of the predictions; taking out another word 6%"),
    ],
)
def test_each_kind_says_what_was_done_to_it(kind: str, said: str) -> None:
    assert wording.headline(row(kind=kind)).startswith(said)
    assert ("texts say: sky" in "\n".join(wording.evidence_lines(row(kind=kind)))) == (kind == "word")


def test_why_a_suspect_was_not_tested() -> None:
    found = without("effects") | {"status": "unverified", "flagged": False}
    found["evidence"]["untested_because"] = "'iso' cannot be changed in a picture: ask whether it may matter"
    assert wording.status_line(found) == f"unverified: not tested, {found['evidence']['untested_because']}"
    assert f"not tested: {found['evidence']['untested_because']}" in wording.evidence_lines(found)
    found["evidence"]["untested_because"] = None
    assert wording.status_line(found) == "unverified: not tested"
    tested = row(status="unverified", flagged=False)
    assert wording.status_line(tested).startswith("unverified: tested, but")
    assert wording.status_line(row()) == "verified: the model uses the cue; probably spurious"


def test_pairs_speak_of_scores() -> None:
    raised = wording.headline(pair("pair_cue"))
    assert raised == "removing it lowers the score by 0.25 of the usual gap; removing as much elsewhere by 0.01"
    low = wording.evidence_lines(pair("pair_mark", class_name="low scores"))
    assert low[0] == "mean score 1.200, of all pairs 1.700"
    assert "removing it raises the score by 0.25 of the usual gap" in low[1]
    assert "lowers the score by 0.31" in low[2] and low[-1] == "the same pairs: photo: sharp pictures"
    assert "taking it out lowers" in wording.headline(pair("pair_word"))
    assert wording.count_line(pair("pair_cue")) == "54 pairs, 71% of those with the word “photo”"
    assert (
        wording.count_line(pair("pair_word"))
        == wording.count_line(pair("pair_mismatch", cue={}))
        == "54 pairs, 71% of all"
    )
    best = pair("pair_mismatch", evidence={"effects": {"replacement": effect(mean=1.16, control_mean=0.08)}})
    assert wording.headline(best).startswith("the caption that fits the picture best raises the score by 1.16")


def test_what_chance_would_give() -> None:
    about: dict[str, Any] = {"chance": {"permutations": 5, "expected_suspects": 0.2, "kinds": {"concept": {}}}}
    assert wording.chance_line(about) == "chance alone would give 0.2 such suspects: 5 searches on permuted predictions"
    about["chance"] |= {"kinds": {"pair_cue": {}}, "permutations": 1}
    assert wording.chance_line(about).endswith("0.2 such suspects: 1 search on captions dealt out to other pictures")
    assert "not looked at" in wording.chance_line({}) and "not looked at" in wording.chance_line({"chance": {}})


def test_every_kind_of_the_schema_has_a_name_and_a_meaning() -> None:
    (told,) = [column.meaning for column in SUSPECT_COLUMNS if column.name == "kind"]
    assert wording.KINDS and all(kind in told for kind in wording.KINDS)
    assert all(wording.kind_name(kind) and wording.kind_meaning(kind).endswith(".") for kind in wording.KINDS)
    assert wording.kind_name("new_kind") == "new_kind" and wording.kind_meaning("new_kind") == ""


def test_names_are_passed_on_as_they_are() -> None:
    """Braces and percent signs in the data are no templates."""
    hostile = "%{x} {0} {name} <b>"
    found = row(class_name=hostile, name=hostile)
    assert wording.title(found) == f"{hostile}: {hostile}"
    assert hostile in wording.evidence_lines(found)[3]
    assert wording.title(row(class_name=None, name=None)) == "alike patches"


def test_a_row_with_next_to_nothing_still_has_words() -> None:
    for kind in wording.KINDS:
        bare = row(kind=kind, evidence={}, cue={}, status="unverified", flagged=False)
        before = copy.deepcopy(bare)
        assert wording.headline(bare) and wording.title(bare) and wording.status_line(bare) == "unverified: not tested"
        assert wording.evidence_lines(bare) == wording.brief_lines(bare) == [] and bare == before


def test_sentences() -> None:
    assert wording.sentence("not tested") == "Not tested."
    assert wording.sentence("is it?") == "Is it?" and wording.sentence("") == ""
