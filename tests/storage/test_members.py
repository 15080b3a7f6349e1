"""Members of a suspect beside their peers, against a plain loop over the known audit."""

from __future__ import annotations

from statistics import mean, stdev
from typing import Any

import numpy as np
import pytest

from storage import RunReader, StoreError
from storage.queries import members
from storage.queries.members import Peers
from tests.storage import audit

ALL = audit.explained_ids(0, 1, 2, 3)
MEMBERS = [i for i in ALL if i % 4 == 1]


def told(sample_id: int) -> dict[str, Any]:
    return {**audit.sample(sample_id), **audit.explanation(sample_id, "predicted", "image")}


def peers(by: str, name: str = "bee") -> Peers:
    return Peers("predicted", "image", by, name, audit.CLASSES.index(name) if name in audit.CLASSES else -1)


def expected(by: str, name: str = "bee") -> list[int]:
    keep = {
        "label": lambda row: row["label"] == name,
        "predicted": lambda row: row["predicted"] == name,
        "word": lambda row: name in row["text"].lower().replace("%", " ").replace(".", " ").split(),
        "all": lambda row: True,
    }[by]
    return [i for i in ALL if keep(told(i))]


@pytest.mark.parametrize(("by", "name"), [("label", "bee"), ("predicted", "bee"), ("word", "12"), ("all", "bee")])
def test_peers_inside_and_outside_a_set(reader: RunReader, by: str, name: str) -> None:
    kept, whole = reader.sets.keep(MEMBERS), expected(by, name)
    assert whole
    outside = members.peers_of(reader, peers(by, name), kept, 1000)
    inside = members.peers_of(reader, peers(by, name), kept, 1000, inside=True)
    assert sorted(outside) == [i for i in whole if i not in MEMBERS]
    assert sorted(inside) == [i for i in whole if i in MEMBERS]
    assert members.peers_of(reader, peers(by, name), kept, 3) == outside[:3]
    assert sorted(members.peers_of(reader, peers(by, name), kept, 1000, blockwise=True)) == sorted(outside)
    assert members.which_of(reader, peers(by, name), ALL[:20]) == set(whole) & set(ALL[:20])


def test_a_word_is_a_whole_word_and_no_pattern(reader: RunReader) -> None:
    kept = reader.sets.keep([])
    assert members.peers_of(reader, peers("word", "hoto"), kept, 10) == []
    for hostile in (".*", "'; DROP TABLE samples; --", "(", "\\", "[a b]"):
        assert members.peers_of(reader, peers("word", hostile), kept, 10) == []


def test_wrong_ones_only(reader: RunReader) -> None:
    kept = reader.sets.keep(MEMBERS)
    found = members.peers_of(reader, peers("predicted"), kept, 1000, inside=True, wrong=True)
    assert sorted(found) == [i for i in expected("predicted") if i in MEMBERS and told(i)["correct"] is False]
    assert found


def test_right_answers_are_counted_with_and_without_the_cue(reader: RunReader) -> None:
    counted = members.tally(reader, peers("label"), reader.sets.keep(MEMBERS))
    for key, inside in (("with", True), ("without", False)):
        group = [told(i)["correct"] for i in expected("label") if (i in MEMBERS) is inside]
        assert counted[key] == (sum(group), len(group))
    assert members.tally(reader, peers("label"), reader.sets.keep([]))["with"] == (0, 0)


@pytest.mark.parametrize("column", ["score", "confidence"])
def test_means_with_and_without_the_cue(reader: RunReader, column: str) -> None:
    found = members.spread(reader, peers("all"), reader.sets.keep(MEMBERS), column)
    for key, inside in (("with", True), ("without", False)):
        group = [told(i)[column] for i in ALL if (i in MEMBERS) is inside]
        assert found[key].n == len(group)
        assert found[key].mean == pytest.approx(mean(group), abs=1e-6)
        assert found[key].deviation == pytest.approx(stdev(group), abs=1e-6)
    with pytest.raises(StoreError, match="'score' or 'confidence'"):
        members.spread(reader, peers("all"), reader.sets.keep(MEMBERS), "uri")


def test_vectors_of_named_samples_in_their_order(reader: RunReader) -> None:
    wanted = [*MEMBERS[::-1], 10_000]
    for (ids, found), made in (
        (members.maps_of(reader, wanted, "label"), lambda i: audit.relevancy(i, "label", "image")),
        (
            members.features_of(reader, wanted, "predicted", "image"),
            lambda i: audit.features(i, "predicted", "image"),
        ),
        (members.embeddings_of(reader, wanted, "text"), lambda i: audit.embedding(i, "text")),
    ):
        assert ids.tolist() == MEMBERS[::-1]
        np.testing.assert_array_equal(found, np.stack([made(i) for i in MEMBERS[::-1]]))
    assert members.maps_of(reader, [], "label")[1].size == 0


def test_patches_of_named_samples(reader: RunReader) -> None:
    found = members.patches_of(reader, MEMBERS, "predicted")
    assert sorted(found) == MEMBERS
    for sample_id, (tokens, states) in found.items():
        wanted = audit.patches(sample_id, "predicted")
        np.testing.assert_array_equal(tokens, wanted[0])
        np.testing.assert_array_equal(states, wanted[1][: len(tokens)])


def test_blocks_are_chosen_whole_and_the_same_each_time() -> None:
    ids = np.random.default_rng(1).permutation(1_000_000)[:20_000]
    some = members.blockwise(ids, 1000)
    assert len(some) == 1000 and set(some.tolist()) <= set(ids.tolist())
    blocks = np.unique(some // members.BLOCK)
    assert len(blocks) < 40
    whole = [np.isin(ids[ids // members.BLOCK == block], some).all() for block in blocks]
    assert sum(whole) >= len(blocks) - 1
    np.testing.assert_array_equal(some, members.blockwise(ids, 1000))
    np.testing.assert_array_equal(members.blockwise(ids[:7], 1000), ids[:7])


def test_wrong_questions_are_refused(reader: RunReader) -> None:
    with pytest.raises(StoreError, match="not by 'colour'"):
        Peers("predicted", "image", "colour")
    with pytest.raises(StoreError, match="at most 1,000"):
        members.which_of(reader, peers("all"), list(range(1001)))
