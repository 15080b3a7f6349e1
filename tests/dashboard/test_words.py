"""Tokens as people read them, and text that stays text."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from dashboard.words import REST, literal, pieces, shown, tinted
from tests.dashboard.make_store import HOSTILE


def read(tokens: list[str]) -> str:
    shown = pieces(tokens, np.ones(len(tokens)))
    return "".join(("" if p.glued else " ") + p.text for p in shown).strip()


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        (["", "a</w>", "pho", "to</w>", "of</w>", "cats</w>", ""], "a photo of cats"),  # CLIP
        (["a", "Ġphot", "o", "Ġof", "Ġcats"], "a photo of cats"),  # RoBERTa
        (["▁a", "▁photo", "s"], "a photos"),  # SentencePiece
        (["", "a", "photo", "##s", ""], "a photos"),  # WordPiece
        (["plain", "words"], "plain words"),
        (["", ""], ""),
    ],
)
def test_pieces_of_words_are_joined(tokens: list[str], text: str) -> None:
    assert read(tokens) == text


def test_values_stay_with_their_tokens() -> None:
    shown = pieces(["", "a</w>", "b</w>", ""], np.array([9.0, 0.25, 0.5, 9.0]))
    assert [(p.text, p.value) for p in shown] == [("a", 0.25), ("b", 0.5)]


def test_tint_goes_from_least_to_most_relevant_word() -> None:
    html = tinted(pieces(["low", "high"], np.array([1.0, 2.0])), "viridis")
    grounds = re.findall(r"background:(#\w{6})", html)
    assert grounds == ["#440154", "#fde725"]
    assert tinted([], "viridis") == ""


def placed(text: str, words: list[str], token_words: list[int]) -> dict[str, Any]:
    """A row of `samples`; the words in the order in which they stand in the text."""
    starts, end = [], 0
    for word in words:
        starts.append(text.index(word, end))
        end = starts[-1] + len(word)
    ends = [start + len(word) for start, word in zip(starts, words, strict=True)]
    return {
        "text": text,
        "words": words,
        "word_starts": starts,
        "word_ends": ends,
        "token_words": token_words,
        "tokens": [f"t{k}" for k in range(len(token_words))],
    }


def test_words_are_tinted_where_they_stand_in_the_text() -> None:
    row = placed(
        "Zwei Hausboote, im  Café: 🚤!", ["Zwei", "Hausboote", "im", "Café", "🚤"], [-1, 0, 1, 1, -1, 2, 3, 4, 4]
    )
    told = shown(row, np.array([9, 0.5, 1, 0.25, 9, 2, 0, 0.125, 0.125]))
    assert "".join(piece.text for piece in told) == row["text"] and all(piece.glued for piece in told)
    assert [(p.text, p.value) for p in told if p.value is not None] == [
        ("Zwei", 0.5), ("Hausboote", 1.25), ("im", 2.0), ("Café", 0.0), ("🚤", 0.25),
    ]  # fmt: skip
    html = tinted(told, "viridis")
    assert re.sub(r"<[^>]*>", "", html) == row["text"]
    assert re.findall(r"background:(#\w{6})", html)[2:4] == ["#fde725", "#440154"]  # most and least relevant
    assert html.count("<span") == 5, "punctuation has no colour"


def test_the_unread_end_of_a_text_is_shown_without_colour() -> None:
    row = placed("a boat on the sea", ["a", "boat"], [-1, 0, 1, -1])
    assert [(p.text, p.value) for p in shown(row, np.array([0, 1, 2, 0]))][-1] == (" on the sea", None)
    row["text"] += "!" * REST
    assert shown(row, np.array([0, 1, 2, 0]))[-1].text == " on the sea" + "!" * (REST - 11) + "…"


@pytest.mark.parametrize("lost", ["text", "word_starts", "words"])
def test_without_words_the_tokens_are_shown(lost: str) -> None:
    row = placed("a boat", ["a", "boat"], [0, 1]) | {"tokens": ["a</w>", "boat</w>"]}
    without = {
        "text": row | {"text": None},
        "word_starts": row | {"word_starts": "a column of an old run's dataset"},
        "words": row | dict.fromkeys(("words", "word_starts", "word_ends", "token_words")),  # an older run
    }[lost]
    assert shown(without, np.array([1.0, 2.0])) == pieces(row["tokens"], np.array([1.0, 2.0]))
    assert shown(row, np.array([1.0, 2.0])) != pieces(row["tokens"], np.array([1.0, 2.0]))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_escaped(text: str) -> None:
    row = placed(f"{text} boat {text}", ["boat"], [0])
    if row["text"].index("boat") != len(text) + 1:
        pytest.skip("the text has a boat of its own")
    html = tinted(shown(row, np.array([1.0])), "magma")
    tags = re.findall(r"<[^>]*>", html)
    assert {re.match(r"</?\w+", tag).group() for tag in tags} == {"<div", "</div", "<span", "</span"}  # type: ignore[union-attr]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_tokens_are_escaped(text: str) -> None:
    html = tinted(pieces([text, text + "</w>"], np.array([0.0, 1.0])), "magma")
    tags = re.findall(r"<[^>]*>", html)
    assert {re.match(r"</?\w+", tag).group() for tag in tags} == {"<div", "</div", "<span", "</span"}  # type: ignore[union-attr]


@pytest.mark.parametrize("text", HOSTILE)
def test_literal_hides_no_character(text: str) -> None:
    """What stays after taking our own escapes away is the text; that it is shown as such, a browser test proves."""
    shown = literal(text).replace("\u2060", "")
    assert re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", shown) == " ".join(text.split())
