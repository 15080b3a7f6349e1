"""Words of a text, put together from the pieces of any tokenizer."""

from __future__ import annotations

import numpy as np
import pytest

from jobs.suspects.text import words_of


@pytest.mark.parametrize(
    ("pieces", "text", "expected"),
    [
        # WordPiece: pieces go on within a word; special tokens are ''
        (["", "un", "believ", "able", "film", ""], "Unbelievable film", {"unbelievable": 14, "film": 16}),
        # BPE: a piece brings the space before it
        ([" The", " bo", "at", "s"], "The boats", {"the": 1, "boats": 14}),
        (["Hello", ",", " world", "!"], "Hello, world!", {"hello": 1, "world": 4}),
        (["(", "a", ")", ".", ".", "."], "(a)...", {"a": 2}),
        (["don", "'", "t", "stop"], "Don't stop", {"don't": 7, "stop": 8}),
        (["don", "\u2019", "t"], "don\u2019t", {"don\u2019t": 7}),
        (["state", "-", "of", "-", "the", "-", "art"], "state-of-the-art", {"state-of-the-art": 127}),
        (["caf", "\u00e9", "\u00fcber"], "Caf\u00e9 \u00dcber", {"caf\u00e9": 3, "\u00fcber": 4}),
        # accents stripped by the tokenizer: the piece is not in the text, and is a word of its own
        (["cafe", "noir"], "Caf\u00e9 noir", {"noir": 2, "cafe": 1}),
        (["[UNK]", "film"], "\u2603\u2603 film", {"film": 2, "[unk]": 1}),
        (["\u2581", "film"], "film", {"film": 2}),  # a mark without letters is no word
        (["film", "film"], "film film", {"film": 3}),
        (["a", "b", "a"], "a b a", {"a": 5, "b": 2}),
        (["a"], "", {"a": 1}),
        ([], "a film", {}),
        (["", " "], "a film", {}),
        (["one", "two", "three"], "one two", {"one": 1, "two": 2, "three": 4}),
    ],
)
def test_every_word_has_the_sum_of_its_pieces(pieces: list[str], text: str, expected: dict[str, float]) -> None:
    values = 2.0 ** np.arange(len(pieces))  # every sum tells which pieces it is of
    found: dict[str, float] = {}
    for word, value in words_of(pieces, values, text):
        found[word] = found.get(word, 0) + value
    assert found == expected


def test_repeated_words_are_entries_of_their_own() -> None:
    assert words_of(["film", "good", "film"], np.array([1.0, 2, 4]), "Film, good film") == [
        ("film", 1), ("good", 2), ("film", 4)
    ]  # fmt: skip


def test_a_text_that_was_cut_has_the_words_that_were_read() -> None:
    assert words_of(["", "a", "very", "go", ""], np.arange(5.0), "a very good film") == [
        ("a", 1), ("very", 2), ("good", 3)
    ]  # fmt: skip


def test_fewer_values_than_pieces() -> None:
    assert words_of(["a", "b", "c"], np.array([1.0, 2]), "a b c") == [("a", 1), ("b", 2)]


def test_a_piece_after_an_unknown_one_is_found_where_it_stands() -> None:
    """The pieces that are not in the text do not move the place from which the next is looked for."""
    assert words_of(["cafe", "cafe", "x"], np.array([1.0, 2, 4]), "caf\u00e9 caf\u00e9 x") == [
        ("x", 4), ("cafe", 1), ("cafe", 2)
    ]  # fmt: skip
