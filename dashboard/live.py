"""Explanation on the spot: another caption for a picture, with the model and the settings of the run.

The only module of the dashboard that uses the engine, and only when somebody presses the button: the model libraries
are not loaded before.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from storage.media import Place

if TYPE_CHECKING:
    from engine import LoadedModel

ROOT = Path(__file__).resolve().parent.parent
LOCAL = "local-dir:"
WORDS = 8  # words of a caption that get a map of their own
_BUSY = threading.Lock()  # the engine listens in on the model: one explanation at a time


class NoModel(Exception):
    """The model or the picture cannot be had; the message is one line for people."""


@dataclass(frozen=True)
class Settings:
    """What a run of pairs was made with."""

    model: str
    checkpoint: str | None
    precision: str
    method: str
    target: str
    start_layer: int
    text_start_layer: int | None

    @classmethod
    def of(cls, spec: Mapping[str, Any], model: Mapping[str, Any], target: str) -> Settings:
        """Those in the record of a run."""
        start = spec.get("start_layer")
        return cls(
            model=_model_name(str(model.get("name") or spec.get("model") or "")),
            checkpoint=str(spec["checkpoint"]) if spec.get("checkpoint") else None,
            precision=str(spec.get("precision") or "fp32"),
            method=str(spec.get("method") or "gae"),
            target=target,
            start_layer=int(model.get("start_layer") or 0) if start is None else int(start),
            text_start_layer=None if spec.get("text_start_layer") is None else int(spec["text_start_layer"]),
        )


def _model_name(name: str) -> str:
    """A model folder that a run names relative to where it was started, found from here as well."""
    library, mark, folder = name.partition(LOCAL)
    if not mark or Path(folder).is_absolute() or Path(folder).is_dir() or not (ROOT / folder).is_dir():
        return name
    return f"{library}{mark}{ROOT / folder}"


@dataclass(frozen=True)
class LivePair:
    """What the model makes of a picture and a caption.

    Attributes:
        score: in the units of the run.
        image: relevancy of the picture [h, w].
        text: relevancy per token [T].
        places: `text`, `words`, `word_starts`, `word_ends` and `token_words`, as in the store.
        links: per word with a map of its own: its number, the change of the score without it, and [h, w].
    """

    score: float
    image: NDArray[np.float32]
    text: NDArray[np.float32]
    places: dict[str, Any]
    links: list[tuple[int, float, NDArray[np.float32]]]


def explain(settings: Settings, picture: Path | Place, caption: str, words: int = WORDS) -> LivePair:
    """Score a picture with a caption, and explain it. Raises NoModel.

    The numbers are those that the run stored for the same caption.
    """
    from engine import EngineError, explain_pairs
    from engine.pairs import check_words

    loaded = _model(settings.model, settings.checkpoint, settings.precision)
    try:
        check_words(settings.method)
    except EngineError:
        words = 0  # this method has no maps of single words
    try:
        with _BUSY:
            found = explain_pairs(
                loaded,
                _input(loaded, picture),
                [caption],
                target=settings.target,
                words=words,
                method=settings.method,
                start_layer=settings.start_layer,
                text_start_layer=settings.text_start_layer,
            )
    except (EngineError, RuntimeError) as problem:
        raise NoModel(f"The caption cannot be explained: {_line(problem)}") from problem
    return _told(found, caption)


def _told(found: Any, caption: str) -> LivePair:
    explanation = found.explanation
    read, grid = explanation.words[0], explanation.grid
    image, text = (explanation.relevancy[name][0].float().cpu().numpy() for name in ("image", "text"))
    links = [
        (int(place[0]), float(link.score[0]), link.relevancy["image"][0].float().cpu().numpy().reshape(grid))
        for link, place in zip(found.links, found.link_words, strict=True)
        if place[0] >= 0
    ]
    places = {
        "text": caption,
        "words": read.texts(caption),
        "word_starts": [first for first, _ in read.spans],
        "word_ends": [last for _, last in read.spans],
        "token_words": list(read.of_piece),
        "text_tokens": read.needed,
        "text_cut": read.cut,
    }
    return LivePair(float(explanation.score[0]), image.reshape(grid), text, places, links)


def _input(loaded: LoadedModel, picture: Path | Place) -> Any:
    """The picture as the model takes it, [1, 3, H, W], where the model is."""
    if loaded.preprocess is None:
        raise NoModel(f"{loaded.name} reads no pictures.")
    return loaded.preprocess(_upright(picture))[None].to(next(loaded.model.parameters()).device)


def _upright(source: Path | Place) -> Image.Image:
    """The picture in full size as RGB, as the job reads it: upright, transparency on white, 16 bits scaled to 8."""
    try:
        with source.open("rb") if isinstance(source, Path) else source.open() as file, Image.open(file) as picture:
            picture.seek(0)
            upright = ImageOps.exif_transpose(picture)
            if upright.mode.startswith(("I", "F")):
                values = np.asarray(upright, dtype=np.float64)
                top = 65535.0 if values.max(initial=0) > 255 else 255.0
                upright = Image.fromarray(np.clip(values * 255 / top, 0, 255).astype(np.uint8))
            if upright.has_transparency_data:
                upright = upright.convert("RGBA")
                upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright)
            return upright.convert("RGB")
    except Exception as problem:  # Pillow raises many kinds for a broken file
        raise NoModel(f"The picture cannot be read ({type(problem).__name__}).") from problem


def _model(name: str, checkpoint: str | None, precision: str) -> LoadedModel:
    from engine import EngineError

    try:
        with _BUSY:
            return _loaded(name, checkpoint, precision)
    except (EngineError, OSError, ImportError) as problem:
        raise NoModel(f"The model of this run is not at hand: {_line(problem)}") from problem


@st.cache_resource(show_spinner=False, max_entries=1)
def _loaded(name: str, checkpoint: str | None, precision: str) -> LoadedModel:
    """The model, on the GPU where there is one. Raises EngineError."""
    import torch

    from engine import load_model

    device = "cuda" if torch.cuda.is_available() else "cpu"
    return load_model(name, checkpoint=checkpoint, device=device, precision=precision)


def _line(problem: Exception) -> str:
    text = " ".join(str(problem).split()) or type(problem).__name__
    return text if len(text) <= 300 else f"{text[:299]}…"
