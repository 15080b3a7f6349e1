"""Image-text pairs per second: explained, beside a plain forward pass of both towers and the authors' notebook way.

    python benchmarks/pairs.py [--json FILE] [--models ViT-B-32 ViT-B-16] [--batches 1 4 16] [--rounds 3]

Random weights, 224 px, real captions, interleaved in one run. Pairs of their own: ``forward`` (both towers, no
gradient), ``ours`` (last layer, the authors' choice), ``ours_all_layers``, ``ours_words_3`` (also what the score owes
to three words), ``ours_evidence`` (also deletion: four more forward passes of the picture, two of the text),
``authors`` (their notebook way, pair by pair, last layer) and, for a single pair, ``authors_all_layers``, which costs
each of many pairs the same. Then 16 pairs of 4 pictures with 4 captions each: ``ours`` encodes every picture once,
``ours_unshared`` is ``explain`` on the pairs spelled out, ``authors_shared`` gives the notebook's function all
captions of a picture at once.

The target is the CLIP logit: the CLIPScore of random weights is often zero, and so is its gradient.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import open_clip
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.harness import Work, interleaved, median_ratio, report
from benchmarks.pair_authors import interpret
from engine import LoadedModel, Pairs, explain, explain_pairs
from engine.interventions.scores import Deletion, deletion
from engine.models import find_adapter
from engine.models.tokens import as_tokenizer

TARGET = "clip-logit"
BATCHES = {"ViT-B-32": (1, 4, 16), "ViT-B-16": (1, 4), "ViT-L-14": (2,)}
"""What is measured of each model unless told otherwise: larger batches of larger models take too long."""
PICTURES, CAPTIONS = 4, 4  # of each picture, where they share their work
COLUMNS = ("model", "variant", "batch", "pictures", "ms_per_pair", "pairs_per_s", "ratio_to_forward")


def build(name: str) -> LoadedModel:
    """A model of open_clip with random weights and its tokenizer."""
    model = open_clip.create_model(name, load_weights=False).eval()
    return wrapped(model, open_clip.get_tokenizer(name))


def wrapped(model: Any, tokenizer: Any) -> LoadedModel:
    """A model as the engine takes it."""
    return LoadedModel(model, type(model).__name__, find_adapter(model), None, as_tokenizer(tokenizer), None)


def captions(count: int) -> list[str]:
    """So many different captions of about ten words."""
    things, places = ("boat", "dog", "red car", "lamp", "small tree"), ("sea", "old road", "snow", "house")
    every = itertools.product(("morning", "evening"), places, things)
    return [f"a photo of a {thing} near the {place} in the {time}" for time, place, thing in every][:count]


def own_variants(loaded: LoadedModel, images: Tensor, texts: list[str]) -> dict[str, Work]:
    """All ways to explain pairs that share nothing: picture i with text i."""
    one_each = torch.arange(len(images))[:, None].expand(-1, 2)
    works: dict[str, Work] = {
        "forward": lambda: forward(loaded, images, texts),
        "ours": lambda: ours(loaded, images, texts, one_each),
        "ours_all_layers": lambda: ours(loaded, images, texts, one_each, start_layer=0),
        "ours_words_3": lambda: ours(loaded, images, texts, one_each, words=3),
        "ours_evidence": lambda: with_evidence(loaded, images, texts),
        "authors": lambda: authors(loaded, images, [[text] for text in texts]),
    }
    if len(texts) == 1:
        works["authors_all_layers"] = lambda: authors(loaded, images, [texts], start_layer=0)
    return works


def shared_variants(loaded: LoadedModel, images: Tensor, texts: list[str]) -> dict[str, Work]:
    """All ways to explain U pictures with V/U captions of their own each; the captions of a picture are neighbours."""
    each = len(texts) // len(images)
    picture = torch.arange(len(texts)) // each
    pairs = torch.stack([picture, torch.arange(len(texts))], dim=1)
    grouped = [texts[start : start + each] for start in range(0, len(texts), each)]
    repeated = images[picture]
    return {
        "forward": lambda: forward(loaded, repeated, texts),
        "forward_shared": lambda: forward(loaded, images, texts),
        "ours": lambda: ours(loaded, images, texts, pairs),
        "ours_unshared": lambda: unshared(loaded, repeated, texts),
        "authors": lambda: authors(loaded, repeated, [[text] for text in texts]),
        "authors_shared": lambda: authors(loaded, images, grouped),
    }


@torch.no_grad()
def forward(loaded: LoadedModel, images: Tensor, texts: list[str]) -> None:
    """Both towers as the library runs them."""
    assert loaded.tokenizer is not None
    model: Any = loaded.model
    model.encode_image(images, normalize=True)
    model.encode_text(loaded.tokenizer(texts), normalize=True)


def ours(
    loaded: LoadedModel, images: Tensor, texts: list[str], pairs: Tensor, *, start_layer: int = -1, words: int = 0
) -> Pairs:
    """`explain_pairs`."""
    return explain_pairs(loaded, images, texts, pairs, target=TARGET, start_layer=start_layer, words=words)


def unshared(loaded: LoadedModel, images: Tensor, texts: list[str]) -> tuple[Tensor, Tensor]:
    """`explain`, which does not know of sharing: maps [P, N] of the pictures, [P, T] of the texts."""
    found = explain(loaded, {"image": images, "text": texts}, target=TARGET, start_layer=-1)
    return found.relevancy["image"], found.relevancy["text"]


def with_evidence(loaded: LoadedModel, images: Tensor, texts: list[str]) -> Deletion:
    """What `jobs run --evidence` does for each pair."""
    found = explain_pairs(loaded, images, texts, target=TARGET, start_layer=-1)
    vectors = found.image_vectors, found.text_vectors
    return deletion(loaded, images, texts, *vectors, found.explanation, range(len(texts)))


def authors(
    loaded: LoadedModel, images: Tensor, texts: Iterable[list[str]], start_layer: int = -1
) -> tuple[Tensor, Tensor]:
    """The notebook's function, picture by picture with its texts: maps [P, N] of the pictures, [P, T] of the texts."""
    tokenizer = loaded.tokenizer
    assert tokenizer is not None
    found = [
        interpret(loaded.model, image[None], tokenizer(own), start_layer)
        for image, own in zip(images, texts, strict=True)
    ]
    return torch.cat([seen for seen, _ in found]), torch.cat([read for _, read in found])


def rows_of(name: str, seconds: dict[str, list[float]], pairs: int, pictures: int) -> list[dict[str, Any]]:
    """One row per variant; `seconds` per round, the rounds of all variants side by side."""
    rows = []
    for variant, spent in seconds.items():
        each = statistics.median(spent) / pairs
        rows.append(
            {
                "model": name,
                "image_size": 224,
                "batch": pairs,
                "pictures": pictures,
                "variant": variant,
                "ms_per_pair": round(1000 * each, 2),
                "pairs_per_s": round(1 / each, 3),
                "ratio_to_forward": round(median_ratio(spent, seconds["forward"]), 3),
            }
        )
    return rows


def measure_model(name: str, batches: Iterable[int], shared: bool, rounds: int) -> list[dict[str, Any]]:
    """All rows of one model."""
    torch.manual_seed(0)
    loaded, generator = build(name), torch.Generator().manual_seed(0)
    rows = []
    for batch in batches:
        print(f"measuring {name}, {batch} pairs ...", file=sys.stderr)
        images = torch.randn(batch, 3, 224, 224, generator=generator)
        rows += rows_of(name, interleaved(own_variants(loaded, images, captions(batch)), rounds), batch, batch)
    if shared:
        print(f"measuring {name}, shared pictures ...", file=sys.stderr)
        count, images = PICTURES * CAPTIONS, torch.randn(PICTURES, 3, 224, 224, generator=generator)
        rows += rows_of(name, interleaved(shared_variants(loaded, images, captions(count)), rounds), count, PICTURES)
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    """Print the table."""
    table = Table(*COLUMNS, title="pairs: time per pair, beside a forward pass of both towers")
    for row in rows:
        table.add_row(*(str(row[column]) for column in COLUMNS))
    Console(width=120).print(table)


def main() -> None:
    """Parse arguments, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--models", nargs="+", default=["ViT-B-32", "ViT-B-16"], choices=list(BATCHES))
    parser.add_argument("--batches", nargs="+", type=int, help="pairs; default: as many as are quick for the model")
    parser.add_argument("--shared", nargs="*", default=["ViT-B-32"], choices=list(BATCHES), help="models to share with")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rows = []
    for name in options.models:
        batches = options.batches or BATCHES[name]
        rows += measure_model(name, batches, name in options.shared, options.rounds)
    show(rows)
    report("pairs", rows, options.json, rounds=options.rounds, target=TARGET)


if __name__ == "__main__":
    main()
