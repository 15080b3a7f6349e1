"""Soft accuracy of VQA: an answer that three of ten people gave is right.

min(1, matches / 3), averaged over all choices of ten people but one, after both sides were normalised as in
`vqaEval.py` of GT-Vision-Lab/VQA. Exactly as there: line breaks and tabs; punctuation (a mark is dropped where it
touches a blank anywhere, or where the answer has a comma between digits; otherwise it becomes a blank); full stops
that no digit follows; lower case; number words to ten; articles; negations without an apostrophe ("dont").

Not as there: its other contractions ("hes", "youre", "oclock", ...) are compared as they are written, and people's
answers are normalised even where all of them agree, and in full (some versions of the script leave their articles and
number words).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

MARKS = ';/[]"{}()=+\\_-><@`,?!'
THOUSANDS = re.compile(r"\d,\d")
STOP = re.compile(r"\.(?!\d)")
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
NUMBERS = {"none": "0"} | {word: str(number) for number, word in enumerate(WORDS)}
ARTICLES = frozenset({"a", "an", "the"})
VERBS = (
    *("ai", "are", "ca", "could", "did", "does", "do", "had", "has", "have", "is", "might", "must", "need", "ought"),
    *("sha", "should", "was", "were", "wo", "would"),
)
NEGATIONS = {f"{verb}nt": f"{verb}n't" for verb in VERBS}
ENOUGH = 3


def normalised(answer: str) -> str:
    """The answer as it is compared."""
    text = answer.replace("\n", " ").replace("\t", " ").strip()
    thousands = THOUSANDS.search(text) is not None
    cleaned = text
    for mark in MARKS:
        at_blank = f"{mark} " in text or f" {mark}" in text
        cleaned = cleaned.replace(mark, "" if at_blank or thousands else " ")
    words = [NUMBERS.get(word, word) for word in STOP.sub("", cleaned).lower().split()]
    return " ".join(NEGATIONS.get(word, word) for word in words if word not in ARTICLES)


def soft_accuracy(answer: str, answers: Sequence[str]) -> float:
    """Accuracy in 0..1 of `answer` given what people said; NaN when nobody said anything."""
    return soft_scores(answers, [answer])[normalised(answer)] if answers else float("nan")


def soft_scores(answers: Sequence[str], others: Sequence[str] = ()) -> dict[str, float]:
    """Accuracy of every (normalised) answer that somebody gave, best first, and of `others`.

    Of n people k said it. Leaving one of the k out leaves k - 1 matches, leaving one of the rest out leaves k.
    """
    said = [normalised(answer) for answer in answers]
    people = len(said)
    scores = {}
    for answer in dict.fromkeys([*said, *map(normalised, others)]):
        k = said.count(answer)
        scores[answer] = (k * min(1.0, (k - 1) / ENOUGH) + (people - k) * min(1.0, k / ENOUGH)) / people
    return dict(sorted(scores.items(), key=lambda item: -item[1]))
