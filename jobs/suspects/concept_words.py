"""Names from looks: the words of a vocabulary that an image-text model finds nearest to the crops of a cue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from engine import LoadedModel, load_model
from engine.models.embedding import embed_pictures, embed_words
from jobs.device import chosen_device
from jobs.errors import JobError
from jobs.pictures import read_pictures
from jobs.readers import Dataset
from jobs.suspects.command import Progress
from jobs.suspects.listing import ClassListing
from jobs.suspects.proof import FEWEST
from jobs.suspects.spec import SuspectsSpec

VOCABULARY = Path(__file__).parent / "vocabulary.txt"
BEST = 3  # words per suspect
PADDED = 0.2  # of a box's width and height, added on each side
SIDE = 32  # pixels that a crop has at least where the picture has them
COMPARED = 20  # whole pictures that crops are compared with


@dataclass(frozen=True)
class Namer:
    """An image-text model, and the words of a vocabulary as unit vectors [W, D]."""

    loaded: LoadedModel
    words: Sequence[str]
    vectors: Tensor
    batch_size: int

    def name(self, crops: Sequence[Image.Image], wholes: Sequence[Image.Image]) -> list[tuple[str, float]]:
        """The `BEST` words by contrast, highest first: mean cosine of the crops minus that of whole pictures."""
        here, there = (embed_pictures(self.loaded, pictures, self.batch_size) for pictures in (crops, wholes))
        contrasts = (self.vectors @ (here.mean(dim=0) - there.mean(dim=0))).tolist()
        order = sorted(range(len(self.words)), key=lambda k: (-contrasts[k], k))
        return [(self.words[k], round(contrasts[k], 5)) for k in order[:BEST]]


def find_namer(spec: SuspectsSpec) -> Namer:
    """Read `--vocabulary` and load `--name-with`. `JobError` or `engine.EngineError` where that cannot be done."""
    assert spec.name_with is not None
    words = read_vocabulary(Path(spec.vocabulary) if spec.vocabulary else VOCABULARY)
    loaded = load_model(spec.name_with, device=chosen_device(spec.device))
    if loaded.task != "pair":
        raise JobError(
            f"--name-with {spec.name_with} is no image-text model ({loaded.family}: its task is '{loaded.task}'); "
            "a CLIP or SigLIP model is needed"
        )
    return Namer(loaded, words, embed_words(loaded, words, spec.batch_size), spec.batch_size)


def read_vocabulary(path: Path) -> list[str]:
    """Words and phrases of a file, one per line, without comments (#) and repetitions. `JobError` without any."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise JobError(f"--vocabulary {path} cannot be read: {reason}") from error
    words = list(dict.fromkeys(line for line in lines if line and not line.startswith("#")))
    if not words:
        raise JobError(f"--vocabulary {path} has no words: one word or phrase per line is needed (# for comments)")
    return words


def name_suspects(listing: ClassListing, namer: Namer, dataset: Dataset, seed: int, progress: Progress) -> None:
    """Give each suspect of the list that has boxes around its cue its `concept_words`."""
    boxed = [(k, tested) for k, tested in enumerate(listing.tested) if tested is not None and tested.boxes]
    for done, (k, tested) in enumerate(boxed):
        progress("naming", done, len(boxed))
        ids, pictures = read_pictures(dataset, [int(sample) for sample in tested.boxes])
        crops = [crop(picture, tested.boxes[str(sample)]) for sample, picture in zip(ids, pictures, strict=True)]
        _, wholes = read_pictures(dataset, _others(listing, k, seed))
        if crops and wholes:
            listing.tested[k] = replace(tested, concept_words=namer.name(crops, wholes))
    progress("naming", len(boxed), len(boxed))


def crop(picture: Image.Image, box: Sequence[float]) -> Image.Image:
    """The part of a picture around a box (x0, y0, x1, y1, fractions of it), padded, and large enough to be seen."""
    spans = [_span(box[axis], box[axis + 2], length) for axis, length in enumerate(picture.size)]
    return picture.crop((spans[0][0], spans[1][0], spans[0][1], spans[1][1]))


def _span(low: float, high: float, length: int) -> tuple[int, int]:
    """First and last pixel (exclusive) of a padded stretch of an edge, moved inwards where it would reach beyond."""
    padding = PADDED * (high - low)
    start, end = max(low - padding, 0) * length, min(high + padding, 1) * length
    size = min(max(round(end - start), SIDE), length)
    first = min(max(round((start + end - size) / 2), 0), length - size)
    return first, first + size


def _others(listing: ClassListing, k: int, seed: int) -> list[int]:
    """Samples of the class without the cue, at random; of other classes where (almost) the whole class has it."""
    one, gathered = listing.chosen[k], listing.gathered
    rows = np.setdiff1d(gathered.seen.of_class(one.class_index), one.members)
    if len(rows) < FEWEST:
        rows = np.setdiff1d(np.flatnonzero(gathered.seen.predicted != one.class_index), one.elsewhere)
    rng = np.random.default_rng((seed, one.class_index, len(one.members)))
    chosen = rng.choice(rows, min(COMPARED, len(rows)), replace=False)
    return gathered.ids[np.sort(chosen)].tolist()
