"""A small, fully known audit: every value follows from the sample's number, so any answer can be checked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from storage import RunWriter, Store, parts_table

GRID = (7, 7)
TOKENS = GRID[0] * GRID[1]
FEATURES = {"image": 32, "text": 16}
PATCH_WIDTH = 24
EMBEDDING_WIDTH = 20
PART_SAMPLES = 16
CLASSES = ["ant", "bee", "cat"]
METADATA = [
    {"name": "Camera", "column": "camera", "type": "string"},
    {"name": "ISO", "column": "iso", "type": "int64"},
    {"name": "Exposure", "column": "exposure", "type": "double"},
    {"name": "Flash", "column": "flash", "type": "bool"},
]


def record(samples: int = 64, **spec: Any) -> dict[str, Any]:
    """What a job hands to `Store.writer`."""
    return {
        "spec": {"model": "tiny", "method": "gae", "target": "predicted", "start_layer": 0, **spec},
        "model": {"name": "tiny", "class_names": CLASSES, "grid": list(GRID), "modalities": ["image", "text"]},
        "dataset": {"root": "/data", "kind": "folder", "fingerprint": "f00", "samples": samples, "metadata": METADATA},
        "versions": {"numpy": "2"},
        "notes": [],
    }


def fails(sample_id: int) -> bool:
    """Some samples cannot be read."""
    return sample_id % 11 == 7


def sample(sample_id: int) -> dict[str, Any]:
    """The sample columns and metadata of one sample; every column is empty for some."""
    label = None if sample_id % 13 == 5 else CLASSES[sample_id % 3]
    words = ["", *[f"word{(sample_id + i) % 9}" for i in range(1 + sample_id % 20)], ""]
    return {
        "sample_id": sample_id,
        "uri": f"{label or 'unknown'}/{sample_id:04d}.jpg",
        "label": label,
        "label_index": None if label is None else CLASSES.index(label),
        "text": f"Photo No. {sample_id} of 100% {label}",
        "split": "train" if sample_id % 4 else "test",
        "width": 320 + sample_id,
        "height": 240,
        "view_x0": 0.125,
        "view_y0": 0.0,
        "view_x1": 0.875,
        "view_y1": 1.0,
        "tokens": words,
        **written(sample_id, len(words)),
        "grid_h": GRID[0],
        "grid_w": GRID[1],
        "regions": None,
        **properties(sample_id),
        "camera": None if sample_id % 5 == 0 else f"cam '{sample_id % 3}'",
        "iso": None if sample_id % 7 == 0 else 100 * (1 + sample_id % 4),
        "exposure": float("nan") if sample_id % 6 == 0 else 1.0 / (1 + sample_id),
        "flash": None if sample_id % 9 == 0 else sample_id % 2 == 0,
    }


def properties(sample_id: int) -> dict[str, Any]:
    """What was measured of the picture; nothing for some."""
    names = ("brightness", "contrast", "saturation", "warmth", "greenness", "sharpness")
    known = sample_id % 8 != 3
    values = random(sample_id, "properties").normal(size=len(names)).astype(np.float32).tolist()
    return {
        **{name: value if known else None for name, value in zip(names, values, strict=True)},
        "file_format": ("JPEG", "PNG")[sample_id % 2] if known else None,
        "file_bytes": 2**31 + sample_id if known else None,
        "camera": "Nikon D80" if known and sample_id % 3 else None,
        "software": "GIMP" if known and not sample_id % 3 else None,
    }


def written(sample_id: int, tokens: int) -> dict[str, Any]:
    """The words of the text, every one of them two tokens long as far as there are tokens; nothing for some."""
    if sample_id % 10 == 4:
        return dict.fromkeys(("words", "word_starts", "word_ends", "token_words", "text_tokens", "text_cut"))
    words = ["Photo", "No", str(sample_id), "of", "100"][: tokens // 2]
    starts = [0, 6, 10, 11 + len(str(sample_id)), 14 + len(str(sample_id))][: len(words)]
    inner = [i // 2 if i // 2 < len(words) else -1 for i in range(tokens - 2)]
    return {
        "words": words,
        "word_starts": starts,
        "word_ends": [start + len(word) for start, word in zip(starts, words, strict=True)],
        "token_words": [-1, *inner, -1],
        "text_tokens": tokens + sample_id % 2,
        "text_cut": sample_id % 2 == 1,
    }


def relevancy(sample_id: int, target: str, modality: str) -> np.ndarray:
    """The map, float32 [tokens]."""
    size = TOKENS if modality == "image" else len(sample(sample_id)["tokens"])
    return random(sample_id, target, modality).gamma(1.0, size=size).astype(np.float32)


def features(sample_id: int, target: str, modality: str) -> np.ndarray:
    """The feature vector, float32 [D]."""
    return random(sample_id, target, modality, "features").normal(size=FEATURES[modality]).astype(np.float32)


def patches(sample_id: int, target: str) -> tuple[np.ndarray, np.ndarray]:
    """Tokens int32 [P], strongest first, and the states of the patches and of the rest, float32 [P + 1, D].

    Some pictures have fewer shown tokens than others.
    """
    tokens = np.argsort(-relevancy(sample_id, target, "image"))[: 2 if sample_id % 5 == 0 else 3]
    states = random(sample_id, target, "patches").normal(size=(len(tokens) + 1, PATCH_WIDTH))
    return tokens.astype(np.int32), states.astype(np.float32)


def embedding(sample_id: int, modality: str) -> np.ndarray:
    """The picture's or the text's unit vector, float32 [D]."""
    vector = random(sample_id, modality, "embedding").normal(size=EMBEDDING_WIDTH)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def evidence(sample_id: int, target: str, modality: str) -> dict[str, Any]:
    """How far the score fell without the most relevant patches, or the most relevant word; nothing for some."""
    measured = {
        "image": ("drop_mean", "drop_mean_random", "drop_blur", "drop_blur_random"),
        "text": ("drop_word", "drop_word_random"),
    }
    found: dict[str, Any] = dict.fromkeys([*measured["image"], *measured["text"], "dropped_word"])
    if sample_id % 4 == 2:
        return found
    for name, drop in zip(
        measured[modality], random(sample_id, target, modality, "drops").normal(size=4), strict=False
    ):
        found[name] = float(np.float32(drop))
    return found | {"dropped_word": f"word{sample_id % 9}" if modality == "text" else None}


def random(sample_id: int, *words: str) -> np.random.Generator:
    """A generator of its own for every vector."""
    return np.random.default_rng([sample_id, *("/".join(words)).encode()])


def rows(
    sample_id: int, targets: tuple[str, ...] = ("predicted", "label"), modalities: tuple[str, ...] = ("image", "text")
) -> list[dict[str, Any]]:
    """All rows of one sample, one per (target, modality)."""
    return [
        {**sample(sample_id), **explanation(sample_id, target, modality)}
        for target in targets
        for modality in modalities
    ]


def explanation(sample_id: int, target: str, modality: str) -> dict[str, Any]:
    """The explanation columns and vectors of one row."""
    predicted = CLASSES[(sample_id // 2) % 3]
    label = sample(sample_id)["label"]
    numbers = random(sample_id, target, modality, "numbers")
    image = modality == "image"
    tokens, states = patches(sample_id, target)
    return {
        "target": target,
        "target_index": CLASSES.index(predicted),
        "modality": modality,
        "score": float(np.float32(numbers.normal())),
        "predicted": predicted,
        "predicted_index": CLASSES.index(predicted),
        "confidence": float(np.float32(round(numbers.random(), 1))),  # coarse: sorting meets many ties
        "correct": None if label is None else predicted == label,
        "top_indices": [0, 1, 2],
        "top_probs": [0.5, 0.25, 0.25],
        "entropy": float("nan") if sample_id % 17 == 3 else float(np.float32(numbers.random())),
        "top10_mass": 0.5,
        "mass": float(np.float32(numbers.random() * 40)),
        "border_share": float(np.float32(numbers.random())) if image else None,
        "center_x": 0.5 if image else None,
        "top_tokens": None if image else sample(sample_id)["tokens"][1:3],
        "map": relevancy(sample_id, target, modality),
        "features": features(sample_id, target, modality),
        "patch_tokens": tokens if image else None,
        "patch_states": states.reshape(-1) if image else None,
        "embedding": embedding(sample_id, modality) if target == "predicted" else None,
        **evidence(sample_id, target, modality),
    }


def part_ids(index: int) -> range:
    """The samples of one part, those that fail included."""
    return range(index * PART_SAMPLES, (index + 1) * PART_SAMPLES)


def part_table(index: int, **kinds: Any) -> pa.Table:
    """The table of one part."""
    return parts_table([row for i in part_ids(index) if not fails(i) for row in rows(i, **kinds)], METADATA)


def part_failures(index: int) -> list[dict[str, Any]]:
    """The failures of one part."""
    return [{"sample_id": i, "uri": sample(i)["uri"], "reason": "truncated"} for i in part_ids(index) if fails(i)]


def commit(writer: RunWriter, *indices: int, **kinds: Any) -> None:
    """Commit some parts."""
    for index in indices:
        seconds = {"read": 1.0, "compute": 2.0, "write": 0.5}
        writer.commit_part(index, part_table(index, **kinds), failures=part_failures(index), seconds=seconds)


def explained_ids(*indices: int) -> list[int]:
    """Samples of some parts that can be explained."""
    return [i for index in indices for i in part_ids(index) if not fails(i)]


def new_store(root: Any) -> Store:
    """A store in an empty folder."""
    return Store.open(root, create=True)
