"""Where the pieces of a text come from: the characters of the original text behind every token."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Any

import regex

from engine.words import Span, word_spans

Places = Callable[[str], list[Span]]
"""Text -> characters [first, last) of every token, special tokens included, cut to the context, without padding;
(0, 0) for special tokens and for pieces that cannot be placed."""
Clean = Callable[[str], str]
NOWHERE: Span = (0, 0)

_CLUSTER = regex.compile(r"\X")
_UNIT = regex.compile(r"\p{Han}\p{M}*|(?:(?![\p{Han}_])[\w\p{M}])+|_|[^\w\s]")
_CHUNK = regex.compile(r"[^ ]+ ?| +")
_COMPARED = 1_000_000
"""Pairs of characters beyond which two changed passages are not compared at all."""
_REACH = 40
"""Characters that one piece without a known spelling may stand for."""


def hugging_face_places(
    tokenizer: Any,
    special: frozenset[int],
    context: int,
    readable: Callable[[str], str],
    clean: Clean | None = None,
    clips: bool = False,
) -> Places:
    """Of a tokenizer of transformers.

    Fast ones tell the places themselves; the pieces of those written in Python are looked up one after the other.

    Args:
        tokenizer: the tokenizer.
        special: ids that stand for no characters.
        context: tokens that the model reads.
        readable: strips the marks of the vocabulary from a piece.
        clean: what texts go through before.
        clips: open_clip's "clips" mode: start, pieces, end, padding, and a class token that is never shown.
    """
    options = {"add_special_tokens": False} if clips else {"truncation": True, "max_length": context}
    locate = _told if tokenizer.is_fast else _looked_for

    def places(text: str) -> list[Span]:
        cleaned = clean(text) if clean else text
        spans = on_original(locate(tokenizer, special, readable, cleaned, options), cleaned, text)
        return [NOWHERE, *spans[: context - 3], NOWHERE] if clips else spans

    return places


def _told(
    tokenizer: Any, special: frozenset[int], readable: Callable[[str], str], text: str, options: dict[str, Any]
) -> list[Span]:
    out = tokenizer(text, return_offsets_mapping=True, verbose=False, **options)
    offsets = zip(out["input_ids"], out["offset_mapping"], strict=True)
    return [NOWHERE if i in special else (first, last) for i, (first, last) in offsets]


def _looked_for(
    tokenizer: Any, special: frozenset[int], readable: Callable[[str], str], text: str, options: dict[str, Any]
) -> list[Span]:
    ids = tokenizer(text, verbose=False, **options)["input_ids"]
    unknown = getattr(tokenizer, "unk_token_id", None)
    pieces = [
        None if i in special else _UNKNOWN if i == unknown else readable(str(token))
        for i, token in zip(ids, tokenizer.convert_ids_to_tokens(ids), strict=True)
    ]
    return looked_up(pieces, text)


def bpe_places(tokenizer: Any, special: frozenset[int], context: int) -> Places:
    """Of open_clip's own tokenizer: bytes of the cleaned text, counted, and carried back to the text.

    Where it drops random words to fit the context (a mask for training), no piece is placed.
    """
    if getattr(tokenizer, "reduction_fn", None) is not None:
        return lambda text: []

    def places(text: str) -> list[Span]:
        cleaned, spans = tokenizer.clean_fn(text), list[Span]()
        for match in tokenizer.pat.finditer(cleaned):
            owners = [k for k in range(*match.span()) for _ in cleaned[k].encode("utf-8")]
            coded = "".join(tokenizer.byte_encoder[byte] for byte in match.group().encode("utf-8"))
            done = 0
            for piece in tokenizer.bpe(coded).split(" "):
                size = len(piece.removesuffix("</w>"))
                hidden = tokenizer.encoder[piece] in special
                spans.append(NOWHERE if hidden else (owners[done], owners[done + size - 1] + 1))
                done += size
        return [NOWHERE, *on_original(spans[: context - 2], cleaned, text), NOWHERE]

    return places


def on_original(spans: Sequence[Span], cleaned: str, text: str) -> list[Span]:
    """Carry spans of a cleaned text back to the text that it was made of; white space at their ends is left out."""
    origins = None if cleaned == text else _origins(cleaned, text)
    carried = []
    for first, last in spans:
        parts = [(first, last)] if origins is None else [one for one in origins[first:last] if one[0] < one[1]]
        carried.append(_trimmed(text, parts))
    return carried


def _trimmed(text: str, parts: Sequence[Span]) -> Span:
    """The span from the first part to the last, without white space at its ends."""
    if not parts:
        return NOWHERE
    first, last = min(a for a, _ in parts), max(b for _, b in parts)
    inside = text[first:last]
    first += len(inside) - len(inside.lstrip())
    last -= len(inside) - len(inside.rstrip())
    return (first, last) if first < last else NOWHERE


def words_read(text: str, clean: Clean | None) -> list[Span]:
    """The words of a text as the model reads it, in the characters of the text before it was cleaned.

    "caf&eacute;" is one word where the model reads "café", and "&lt;" is none.
    """
    cleaned = clean(text) if clean else text
    words: list[Span] = []
    for first, last in on_original(word_spans(cleaned), cleaned, text):
        if words and first < words[-1][1]:  # both come from one passage that could not be told apart
            words[-1] = words[-1][0], max(last, words[-1][1])
        elif first < last:
            words.append((first, last))
    return words


@lru_cache(maxsize=64)
def _origins(cleaned: str, text: str) -> list[Span]:
    """For every character of a cleaned text its characters [first, last) in the original; empty where it has none."""
    new, new_places = _folded(cleaned)
    old, old_places = _folded(text)
    found = [NOWHERE] * len(cleaned)
    for place, (a, b) in zip(new_places, _aligned(new, old), strict=True):
        for k in range(*place) if a < b else ():
            first, last = found[k] if found[k] != NOWHERE else (len(text), 0)
            found[k] = min(first, old_places[a][0]), max(last, old_places[b - 1][1])
    return found


def _folded(text: str) -> tuple[str, list[Span]]:
    """What cleaning leaves as it is: the text in one case and normal form, each run of white space one blank."""
    out, places = list[str](), list[Span]()
    for match in _CLUSTER.finditer(text):
        cluster, (first, last) = match.group(), match.span()
        if cluster.isspace():
            letters = " " if out and out[-1] != " " else ""
        else:
            letters = unicodedata.normalize("NFC", cluster).casefold()
        out += letters
        one_by_one = len(letters) == last - first
        places += [(k, k + 1) for k in range(first, last)] if one_by_one else [(first, last)] * len(letters)
    if out and out[-1] == " ":
        out, places = out[:-1], places[:-1]
    return "".join(out), places


def _aligned(new: str, old: str) -> list[Span]:
    """For every character of ``new`` its characters [first, last) of ``old``."""
    if new == old:
        return [(k, k + 1) for k in range(len(new))]
    aligned, done = list[Span](), 0
    for written, original in _passages(_CHUNK.findall(new), _CHUNK.findall(old)):
        aligned += [(done + a, done + b) for a, b in _inside(written, original)]
        done += len(original)
    return aligned


def _passages(new: Sequence[str], old: Sequence[str]) -> list[tuple[str, str]]:
    """Two texts in passages that belong together: word by word where there are as many and each is akin to its partner,
    which is the rule; else as a comparison of the words says."""
    if len(new) == len(old) and all(_akin(*pair) for pair in zip(new, old, strict=True)):
        return list(zip(new, old, strict=True))
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    return [("".join(new[c:d]), "".join(old[a:b])) for _, a, b, c, d in matcher.get_opcodes()]


def _akin(one: str, other: str) -> bool:
    """Whether two words share a letter or digit, or one of them has none."""
    letters, others = ({c for c in word if c.isalnum()} for word in (one, other))
    return one == other or not letters or not others or not letters.isdisjoint(others)


def _inside(new: str, old: str) -> list[Span]:
    if new == old:
        return [(k, k + 1) for k in range(len(new))]
    if len(new) * len(old) > _COMPARED:
        return [(0, len(old))] * len(new)
    aligned: list[Span] = []
    for tag, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        aligned += [(a + k, a + k + 1) for k in range(b - a)] if tag == "equal" else [(a, b)] * (d - c)
    return aligned


_UNKNOWN = "\x00"
"""A piece that stands for something that the vocabulary has not."""


def looked_up(pieces: Sequence[str | None], text: str) -> list[Span]:
    """Find pieces in a text one after the other; None is a special token.

    Spelling is compared without case, accents and white space. Pieces that are not found (unknown words, single bytes)
    share what lies between their neighbours: one word each where there are as many (at the end of the text, which may
    be cut, also where there are more), else all of it.
    """
    bare, places = _bare(text)
    units = {match.start() for match in _UNIT.finditer(text)}
    starts = [k for k, place in enumerate(places) if place[0] in units and (not k or places[k - 1] != place)]
    spans, waiting, position = [NOWHERE] * len(pieces), list[int](), 0
    for k, piece in enumerate(pieces):
        sought = "" if piece is None else _bare(piece)[0]
        if not sought:
            continue
        found = -1 if piece == _UNKNOWN else _found(sought, bare, position, len(waiting), starts)
        if found < 0:
            waiting.append(k)
            continue
        _share(spans, waiting, text, _between(places, position, found), ends=False)
        waiting, position = [], found + len(sought)
        spans[k] = _between(places, found, position)
    _share(spans, waiting, text, _between(places, position, len(places)), ends=True)
    return spans


def _bare(text: str) -> tuple[str, list[Span]]:
    """A text without case, accents and white space, and the character that each of what remains comes from."""
    out, places = list[str](), list[Span]()
    for k, character in enumerate(text):
        plain = unicodedata.normalize("NFKD", character).casefold()
        letters = [c for c in plain if not unicodedata.combining(c) and not c.isspace()]
        if not letters and character.isalnum():  # a letter that is written like a mark, as the Katakana voiced sound
            letters = [character]
        out += letters
        places += [(k, k + 1)] * len(letters)
    return "".join(out), places


def _found(sought: str, bare: str, position: int, waiting: int, starts: Sequence[int]) -> int:
    """Where a piece begins in a bare text, at ``position`` or a little after it; -1 where it is not found.

    With pieces waiting for a place between, the beginning of a word is preferred.
    """
    end = position + len(sought) + _REACH * (1 + waiting)
    if waiting:
        for k in starts:
            if position < k < end and bare.startswith(sought, k):
                return k
    found = bare.find(sought, position, end)
    skipped = bare[position : max(found, position)]
    return found if waiting or not any(c.isalnum() for c in skipped) else -1


def _between(places: Sequence[Span], first: int, last: int) -> Span:
    return (places[first][0], places[last - 1][1]) if first < last else NOWHERE


def _share(spans: list[Span], waiting: Sequence[int], text: str, gap: Span, ends: bool) -> None:
    """Give the pieces that wait for a place their part of a gap."""
    units = [match.span() for match in _UNIT.finditer(text, *gap)]
    alone = len(units) == len(waiting) or (ends and len(units) > len(waiting))
    for n, k in enumerate(waiting):
        spans[k] = units[n] if alone else gap
