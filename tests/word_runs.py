"""Runs whose texts have words: image-text pairs with everything that is stored of them, and classified texts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from storage import Store, parts_table

GRID = 6
HOSTILE = [
    "<script>alert('x')</script> <img src=x onerror=alert(1)>",
    "**bold** [link](javascript:alert(1)) $x^2$ :red[red] :tada:",
    "'; DROP TABLE samples; --  \" ' \\",
    "🙈 مرحبا بالعالم שלום www.example.com &lt;b&gt;",
    "long " * 2000,
]
NOUNS = ("boat", "tree", "house", "Boat")
WORD = re.compile(r"\w+|🙈")


def places(text: str) -> dict[str, Any]:
    """The words of a text with their places, and one token per word between two special ones."""
    spans = [match.span() for match in WORD.finditer(text)][:60]
    words = [text[a:b] for a, b in spans]
    return {
        "text": text,
        "tokens": ["", *words, ""],
        "words": words,
        "word_starts": [a for a, _ in spans],
        "word_ends": [b for _, b in spans],
        "token_words": [-1, *range(len(words)), -1],
        "text_tokens": len(words) + 2,
        "text_cut": len(words) == 60,
    }


def text_map(n: int, rng: np.random.Generator) -> np.ndarray:
    """A value per token; special tokens have none."""
    values = rng.gamma(1.0, 0.1, n + 2).astype(np.float32)
    values[[0, -1]] = 0
    return values


def strongest(own: dict[str, Any], values: np.ndarray) -> list[int]:
    return [int(k) for k in np.argsort(-values[1:-1], kind="stable")]


def record(root: Path, samples: int, target: str, model: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {
        "spec": {"data": "d.csv", "model": "m", "method": "gae", "target": target, "start_layer": -1, **spec},
        "model": {"start_layer": -1, "class_names": None, "num_classes": None, **model},
        "dataset": {"root": str(root), "kind": "csv", "fingerprint": "f", "samples": samples, "metadata": []},
        "versions": {},
    }


def caption(number: int) -> str:
    return HOSTILE[number] if number < len(HOSTILE) else f"A photo, of a {NOUNS[number % 4]} by the {NOUNS[number % 3]}"


def pair_rows(number: int, words: int, evidence: bool, percentile: bool, score: float) -> list[dict[str, Any]]:
    """One pair: the score on both modalities, and the maps of its most relevant words."""
    rng, own = np.random.default_rng(number), places(caption(number))
    values, image = text_map(len(own["words"]), rng), rng.gamma(1.0, 0.1, GRID * GRID).astype(np.float32)
    if score == 0:
        values[:], image[:] = 0, 0
    order = strongest(own, values)
    sample = {"sample_id": number, "uri": f"{number}.png", "width": 90, "height": 60, **own}
    shared = {**sample, "target": "clip-score", "score": score}
    if percentile:
        shared["clip_percentile"] = float(np.clip(score / 2 * 100, 0, 100))
    drops = {f"drop_{kind}{end}": float(rng.normal(0.3 if not end else 0.02, 0.05))
             for kind in ("mean", "blur", "word") for end in ("", "_random")} if evidence else {}  # fmt: skip
    of_image = {name: value for name, value in drops.items() if "word" not in name}
    of_text = {name: value for name, value in drops.items() if "word" in name}
    top = [own["words"][k] for k in order if values[k + 1] > 0][:5]
    if evidence and order:
        of_text["dropped_word"] = own["words"][order[0]]
    links = [
        {**sample, "target": f"word-{k + 1}", "modality": "image", "score": 0.1 * (k + 1), "word": own["words"][place],
         "map": rng.gamma(1.0, 0.1, GRID * GRID).astype(np.float32)}
        for k, place in enumerate(order[:words])
    ]  # fmt: skip
    return [
        {**shared, **of_image, "modality": "image", "map": image},
        {**shared, **of_text, "modality": "text", "map": values, "top_tokens": top},
        *links,
    ]


def scores(n: int, low: bool = False) -> np.ndarray:
    """Scores of n pairs, some of them 0; only those with `low`."""
    rng = np.random.default_rng(n)
    return np.where(np.arange(n) % 15 == 7, 0.0, np.zeros(n) if low else rng.uniform(0.2, 2.0, n)).astype(np.float32)


def write_pairs(
    store: Path, root: Path, name: str, n: int = 60, *, words: int = 2, evidence: bool = True, percentile: bool = True,
    low: bool = False, model: str = "open_clip:local-dir:/nowhere",
) -> None:  # fmt: skip
    """A run of pairs, half of it sealed."""
    root.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    for i in range(n):
        Image.fromarray(rng.integers(0, 256, (60, 90, 3), np.uint8)).save(root / f"{i}.png")
    card: dict[str, Any] = {"name": model, "grid": [GRID, GRID], "modalities": ["image", "text"]}
    if percentile:
        card["shuffled"] = {"shuffled": 1000, "quantiles": np.linspace(0, 2, 1001).tolist()}
    given = scores(n, low)
    rows = [pair_rows(i, words, evidence, percentile, float(given[i])) for i in range(n)]
    with Store.open(store, create=True).writer(name, record(root, n, "clip-score", card)) as writer:
        for part, start in enumerate((0, n // 2)):
            some = rows[start : n // 2 if part == 0 else n]
            writer.commit_part(part, parts_table([row for one in some for row in one], []))
            if part == 0:
                writer.seal()
        writer.finish()


def sentence(number: int) -> tuple[str, str]:
    """A text and its predicted class: 'superb' goes with good."""
    rng = np.random.default_rng(500 + number)
    good = bool(rng.random() < 0.5)
    own = "Superb" if good and rng.random() < 0.8 else "plain"
    other = HOSTILE[number] if number < len(HOSTILE) else f"a film number {number % 7}, a {NOUNS[number % 4]}"
    return f"{own} {other}", "good" if good else "bad <b>class</b>"


def text_rows(number: int, words: bool) -> list[dict[str, Any]]:
    text, predicted = sentence(number)
    own = places(text)
    values = text_map(len(own["words"]), np.random.default_rng(number))
    order = strongest(own, values)
    top = [own["words"][k] for k in order][:5]
    kept = own if words else {"text": text, "tokens": own["tokens"]}
    return [
        {"sample_id": number, "uri": f"row {number}", **kept, "target": "predicted", "modality": "text",
         "score": 1.0, "predicted": predicted, "confidence": 0.9, "map": values, "top_tokens": top}
    ]  # fmt: skip


def write_texts(store: Path, name: str, n: int = 80, *, words: bool = True) -> None:
    """A run of a text classifier."""
    card = {"name": "hf:texts", "modalities": ["text"], "class_names": ["good", "bad <b>class</b>"], "num_classes": 2}
    with Store.open(store, create=True).writer(name, record(store, n, "predicted", card)) as writer:
        writer.commit_part(0, parts_table([row for i in range(n) for row in text_rows(i, words)], []))
        writer.finish()
