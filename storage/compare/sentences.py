"""A comparison in words, for the terminal, the page and a report. Names of runs and classes are plain text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OBJECT_WORDS = {"mask_share": "the object (masks)", "box_share": "the object (boxes)"}


def summary_sentences(summary: Mapping[str, Any]) -> list[str]:
    """What `Comparison.summary` says, one sentence per finding."""
    n = summary["n_common"]
    are = "is" if n == 1 else "are"
    said = [f"{_samples(n)} {are} in both runs (matched by {summary['joined_by']}){_outside(summary)}."]
    said.append(_predictions(summary))
    if summary["labelled"]:
        said.append(
            f"Accuracy over the {summary['labelled']:,} labelled ones: {summary['accuracy_a']:.1%} in A, "
            f"{summary['accuracy_b']:.1%} in B."
        )
    if summary["median_similarity"] is not None:
        said.append(
            f"Half of the maps are at most {summary['median_similarity']:.2f} alike (cosine similarity; 1 is the same)."
        )
    said.append(f"{list_sentence('left', summary)}: {_count(summary['left_object'])}.")
    if summary["came_to_object"] is not None:
        said.append(f"The other way round: {summary['came_to_object']:,}.")
    return said


def list_sentence(name: str, summary: Mapping[str, Any]) -> str:
    """What is in a list, without a full stop."""
    if name in ("left", "came"):
        return _moved_off(name, summary)
    return {
        "moved": "All samples, those whose relevancy moved most first",
        "changed": "The prediction changed; those whose relevancy moved most first",
        "wrong": "Right in A, wrong in B; those that B is surest of first",
        "right": "Wrong in A, right in B; those that B is surest of first",
    }[name]


def _moved_off(name: str, summary: Mapping[str, Any]) -> str:
    """Off the object, or what stands for it without masks and boxes."""
    basis, by = summary["basis"], f"{summary['threshold']:.0%}"
    stayed = "the prediction stayed right" if summary["stayed"] == "right" else "the prediction stayed the same"
    left = name == "left"
    if basis in OBJECT_WORDS:
        where = OBJECT_WORDS[basis]
        return f"At least {by} of the relevancy {'left' if left else 'came to'} {where} though {stayed}"
    if basis == "border_share":
        moved = "went to the border" if left else "came from the border"
        return f"At least {by} of the relevancy {moved} of the picture though {stayed} (there are no masks or boxes)"
    if basis == "similarity":
        return f"The map changed by at least {summary['threshold']:.2f} though {stayed} (there are no masks or boxes)"
    return f"The relevancy moved though {stayed} (neither masks, boxes nor maps of one grid)"


def _predictions(summary: Mapping[str, Any]) -> str:
    said = f"{_samples(summary['changed'])} changed the prediction"
    if not summary["labelled"]:
        return f"{said}."
    return f"{said}: {summary['became_right']:,} became right, {summary['became_wrong']:,} became wrong."


def _outside(summary: Mapping[str, Any]) -> str:
    parts = [f"{summary[f'only_{side}']:,} only in {side.upper()}" for side in ("a", "b") if summary[f"only_{side}"]]
    return f", {', '.join(parts)}" if parts else ""


def _samples(n: int) -> str:
    return f"{n:,} {'sample' if n == 1 else 'samples'}"


def _count(n: int | None) -> str:
    return "cannot be told" if n is None else _samples(n)
