"""`--target`: which score of the model is explained, as the user types it and as the engine takes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jobs.errors import JobError, nearest
from jobs.labels import class_numbers

FOR_CLASSES = ("predicted", "label", "both", "class:NAME", "contrast:A,B")
FOR_PAIRS = ("clip-logit", "clip-score")
FOR_ANSWERS = ("answer", "label", "both", "class:NAME", "contrast:A,B")
FOR_DETECTORS = ("detections",)
BY_TASK = {"classify": FOR_CLASSES, "pair": FOR_PAIRS, "answer": FOR_ANSWERS, "detect": FOR_DETECTORS}


@dataclass(frozen=True)
class Target:
    """One explained score. `name` is stored with every explanation; `classes` are its class numbers, if fixed."""

    name: str
    classes: tuple[int, ...] = ()

    @property
    def is_label(self) -> bool:
        """Whether the sample's own label is explained."""
        return self.name == "label"

    def for_engine(self, labels: Any) -> Any:
        """The target as `engine.explain_targets` takes it; `labels` is the batch's class numbers [B]."""
        from engine.targets import Class, Contrast

        if self.name.startswith("class:"):
            return Class(self.classes[0])
        if self.name.startswith("contrast:"):
            return Contrast(self.classes[0], self.classes[1])
        return labels if self.is_label else self.name


def parse_target(
    text: str | None, *, model: str, task: str, names: list[str] | None, classes: int | None
) -> list[Target]:
    """The targets that `--target text` asks for; the first of its kind without one.

    A detector's one target stands for all objects that it finds. Raises `JobError` for a target that this model does
    not have.
    """
    supported = BY_TASK[task]
    text = text or supported[0]
    verb, _, rest = text.partition(":")
    if task == "answer" and text == "predicted":
        text = "answer"
    if text in supported and text != "both":
        return [Target(text)]
    if text in supported:
        return [Target(supported[0]), Target("label")]
    if "class:NAME" in supported and verb == "class" and rest:
        index = _class(rest, names, classes)
        return [Target(f"class:{_name(index, names)}", (index,))]
    if "contrast:A,B" in supported and verb == "contrast" and "," in rest:
        first, second = _contrast(rest, names, classes)
        return [Target(f"contrast:{_name(first, names)},{_name(second, names)}", (first, second))]
    raise _unsupported(text, model, supported)


def _unsupported(text: str, model: str, supported: tuple[str, ...]) -> JobError:
    verb = text.partition(":")[0]
    known = any(verb == name.partition(":")[0] for names in BY_TASK.values() for name in names)
    close = nearest(text, supported, 1)
    what = f"target '{text}' is not supported by {model}" if known else f"unknown target '{text}'"
    hint = f"; did you mean {close[0]}?" if close and not known else f"; it can explain {', '.join(supported)}"
    if supported == FOR_PAIRS and any(verb == name.partition(":")[0] for name in FOR_CLASSES):
        hint += ", and classes with --classes FILE where it is a CLIP or SigLIP"
    return JobError(what + hint)


def _class(text: str, names: list[str] | None, classes: int | None) -> int:
    index = class_numbers([text], names).get(text)
    if index is None:
        close = nearest(text, names or [])
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        reason = "the model has no such class" if names else "the model has no class names, give a number"
        raise JobError(f"target class '{text}': {reason}{hint}")
    if classes is not None and not 0 <= index < classes:
        raise JobError(f"target class {text} is out of range: the model has {classes} classes (0 to {classes - 1})")
    return index


def _contrast(text: str, names: list[str] | None, classes: int | None) -> tuple[int, int]:
    """Two classes; names may hold commas themselves, so every comma is tried as the one between them."""
    parts = text.split(",")
    splits = [(",".join(parts[:i]).strip(), ",".join(parts[i:]).strip()) for i in range(1, len(parts))]
    for first, second in splits:
        found = class_numbers([first, second], names)
        if first in found and second in found:
            return _class(first, names, classes), _class(second, names, classes)
    return _class(splits[0][0], names, classes), _class(splits[0][1], names, classes)


def _name(index: int, names: list[str] | None) -> str:
    return names[index] if names else str(index)
