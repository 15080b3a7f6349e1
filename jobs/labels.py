"""From the labels of a dataset to class numbers of a model."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from jobs.errors import nearest

WHOLE = re.compile(r"-?\d+")
SYNSET = re.compile(r"n\d{8}")  # WordNet ids, the folder names of ImageNet: its classes are numbered in their order
IMAGENET = 1000
NONE = -1
NAMED = 5  # so many unknown names are spelled out in a warning


@dataclass(frozen=True)
class Labels:
    """Class numbers of N samples.

    `index` int32 [N], -1 where a sample has no class the model knows; `problems` are samples whose label
    cannot be right (number out of range); `names` are the model's class names, or the dataset's where
    those stand in for them; `unknown` counts the samples whose label the model does not know.
    """

    index: np.ndarray
    names: list[str] | None
    problems: dict[int, str] = field(default_factory=dict)
    unknown: int = 0
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def resolve_labels(labels: pa.Array | None, count: int, names: list[str] | None, classes: int | None) -> Labels:
    """Class numbers for `count` samples with string `labels`, for a model with `classes` classes.

    A label is a class name (case, underscores and further synonyms after a comma do not matter) or a class
    number. A model without names takes the dataset's, in sorted order as torchvision's ImageFolder does, when
    there are as many of them as the model has classes.
    """
    if labels is None or classes is None:
        return Labels(np.full(count, NONE, np.int32), names)
    encoded = labels.dictionary_encode()
    distinct: list[str] = encoded.dictionary.to_pylist()
    notes: tuple[str, ...] = ()
    if names is None and len(distinct) == classes and not _all_numbers(distinct):
        names = sorted(distinct)
        notes = ("the model has no class names: the dataset's own, in sorted order, were taken as classes 0, 1, ...",)
    numbers = class_numbers(distinct, names)
    if len(distinct) == classes == IMAGENET and all(SYNSET.fullmatch(name) for name in distinct):
        numbers = {name: index for index, name in enumerate(sorted(distinct))}
    codes = np.asarray(encoded.indices.fill_null(-1))
    lookup = np.array([numbers.get(name, NONE) for name in distinct] + [NONE], np.int64)
    index = lookup[codes]  # code -1, a missing label, picks the NONE at the end
    outside = np.flatnonzero((codes >= 0) & (index != NONE) & ((index < 0) | (index >= classes)))
    reason = f"is out of range: the model has {classes} classes (0 to {classes - 1})"
    problems = {int(row): f"label {distinct[codes[row]]} {reason}" for row in outside}
    index[outside] = NONE
    strange = [name for name in distinct if name not in numbers]
    unknown = int(np.isin(codes, [distinct.index(name) for name in strange]).sum()) if strange else 0
    warnings = (_unknown_labels(strange, unknown, names, classes),) if strange else ()
    return Labels(index.astype(np.int32), names, problems, unknown, notes, warnings)


def class_numbers(labels: Iterable[str], names: list[str] | None) -> dict[str, int]:
    """The class number of every label that is a name of the model or a number; numbers are not range-checked.

    -1 written as a label is out of every range, so it is mapped to -2 and stays apart from "no label".
    """
    exact = {name: index for index, name in reversed(list(enumerate(names or [])))}
    loose = _loose_names(names or [])
    found: dict[str, int] = {}
    for label in labels:
        key = _loose(label)
        if label in exact:
            found[label] = exact[label]
        elif loose.get(key) is not None:
            found[label] = loose[key]
        elif WHOLE.fullmatch(label.strip()):
            number = int(label)
            found[label] = number if number >= 0 else NONE - 1
    return found


def _loose_names(names: list[str]) -> dict[str, int]:
    """Class numbers by simplified name and by each synonym; what two classes share is left out."""
    found: dict[str, int] = {}
    shared: set[str] = set()
    for index, name in enumerate(names):
        for key in {_loose(name), *(_loose(synonym) for synonym in name.split(","))}:
            if found.setdefault(key, index) != index:
                shared.add(key)
    return {key: index for key, index in found.items() if key not in shared}


def _loose(name: str) -> str:
    return re.sub(r"[\s_\-]+", " ", name.strip().lower())


def _all_numbers(names: list[str]) -> bool:
    return all(WHOLE.fullmatch(name.strip()) for name in names)


def _unknown_labels(strange: list[str], samples: int, names: list[str] | None, classes: int) -> str:
    if names is None:
        return (
            f"the model has {classes} classes without names and the data has other labels ({_listed(strange, [])}): "
            f"the labels are kept, but whether a prediction is correct stays unknown"
        )
    return f"{samples} samples have labels that the model does not know: {_listed(strange, names)}"


def _listed(strange: list[str], names: list[str]) -> str:
    shown = []
    for name in strange[:NAMED]:
        close = nearest(name, names, 1)
        shown.append(f"{name} (nearest: {close[0]})" if close else name)
    more = f" and {len(strange) - NAMED} more" if len(strange) > NAMED else ""
    return ", ".join(shown) + more
