"""One pair: its rows, its words, and its painted pictures: the map of the score and those of single words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashboard import overlays, tiles
from dashboard.data import Row, Run
from dashboard.overlays import Look
from dashboard.scores.hover import Layer
from dashboard.selection import clip
from dashboard.words import PLACES, Piece, passages, pieces

SIDE, QUALITY = 440, 82  # pixels of the longer side of a picture, and JPEG quality: several travel in one page
WORD = "word-"


@dataclass(frozen=True)
class Pair:
    """The rows of one sample of a run of pairs: the sample, its score on the picture and on the text, and the rows of
    single words, most relevant word first."""

    sample: Row
    image: Row | None
    text: Row | None
    links: list[Row]

    @property
    def score(self) -> Row:
        """A row with score and percentile. One of both modalities is there."""
        row = self.image or self.text
        assert row is not None
        return row

    @property
    def falls(self) -> Row:
        """The columns drop_... of both maps; empty without evidence."""
        found = {**_drops(self.text), **_drops(self.image)}
        return {name: value for name, value in found.items() if value is not None and np.isfinite(value)}


def _drops(row: Row | None) -> Row:
    kinds = ("drop_mean", "drop_blur", "drop_word")
    names = [name for kind in kinds for name in (kind, f"{kind}_random")]
    return {name: row[name] for name in names if row.get(name) is not None} if row else {}


def pair_of(run: Run, target: str, sample_id: int) -> Pair | None:
    """The pair, or None where it has no explanation of the target. Raises StoreError for an unknown sample."""
    found = run.sample(sample_id)
    rows = found["explanations"]
    own = {row["modality"]: row for row in rows if row["target"] == target}
    if not own:
        return None
    links = [row for row in rows if str(row["target"]).startswith(WORD) and row["modality"] == "image"]
    links.sort(key=lambda row: (len(row["target"]), row["target"]))
    return Pair(found["sample"], own.get("image"), own.get("text"), links)


def told(run: Run, pair: Pair) -> list[Piece]:
    """The caption as it is written, its words with their relevancy; without a text map all of it without values."""
    key = (int(pair.sample["sample_id"]), str(pair.score["target"]))
    values = run.maps([key], "text").get(key) if pair.text else None
    if values is None:
        return [Piece(str(pair.sample.get("text") or ""), None, True)]
    if all(isinstance(pair.sample.get(name), list) for name in PLACES):
        return passages(pair.sample, values)
    return pieces(pair.sample.get("tokens") or [], values)


def numbers_of(words: Sequence[str], values: Sequence[float], asked: Sequence[str]) -> list[int | None]:
    """Which word of a text each of some words is; they were asked for in order of relevancy, strongest first.

    ``asked[k]`` is the k-th most relevant word, if it reads so; else the first word that reads so and is not taken.
    """
    order = [int(k) for k in np.argsort(-np.asarray(values, dtype=np.float64), kind="stable")]
    taken: list[int | None] = []
    for k, word in enumerate(asked):
        likely = order[k : k + 1] + order
        taken.append(next((n for n in likely if words[n] == word and n not in taken), None))
    return taken


def layers(run: Run, pair: Pair, parts: Sequence[Piece], look: Look) -> tuple[Layer, dict[int, Layer]]:
    """The picture with the map of the score, and by the number of their word those of single words.

    Raises MissingPicture.
    """
    keys = [(int(pair.sample["sample_id"]), str(row["target"])) for row in (pair.score, *pair.links)]
    maps = run.maps(keys, "image")
    base = Layer(
        _painted(run, pair, maps.get(keys[0]), look),
        "Where the picture carries the score. Point at an underlined word for its own map."
        if pair.links
        else "Where the picture carries the score.",
        f"The picture of sample {pair.sample['sample_id']} with the relevancy of its score",
    )
    words = [piece for piece in parts if piece.value is not None]
    asked = [str(row.get("word") or "") for row in pair.links]
    found: dict[int, Layer] = {}
    numbers = numbers_of([piece.text for piece in words], [piece.value or 0.0 for piece in words], asked)
    for row, number, key in zip(pair.links, numbers, keys[1:], strict=True):
        if number is not None and key in maps:
            found[number] = word_layer(_painted(run, pair, maps[key], look), str(row["word"]), float(row["score"]))
    return base, found


def word_layer(jpeg: bytes, word: str, change: float) -> Layer:
    """The picture of a word: where the change of the score lies when the word is taken out."""
    name = clip(word, 40)
    moves = f"falls by {change:.3g}" if change >= 0 else f"rises by {-change:.3g}"
    return Layer(
        jpeg,
        f"“{name}”: the score {moves} without this word, and here the picture carries that.",
        f"The picture with what the score owes to the word “{name}”",
    )


def _painted(run: Run, pair: Pair, relevancy: NDArray[np.floating] | None, look: Look) -> bytes:
    picture = overlays.decode(tiles.large(run, pair.sample, None, Look("original"), SIDE)[0])
    return painted(picture, tiles.laid_out(run, pair.sample, relevancy), pair.sample, look)


def painted(picture: Any, relevancy: Any, sample: Mapping[str, Any], look: Look) -> bytes:
    """A picture in the chosen look, as a small JPEG. ``relevancy`` is [h, w]."""
    done = overlays.blend(picture, relevancy, tiles.view_of(dict(sample)), look)
    return overlays.encode(done, quality=QUALITY)
