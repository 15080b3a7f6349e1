"""Tokens as people read them, and text that stays text."""

from __future__ import annotations

import re

import numpy as np
import pytest

from dashboard.words import literal, pieces, tinted
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
