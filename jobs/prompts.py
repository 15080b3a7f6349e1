"""`--classes` and `--templates`: the texts that make a classifier of an image-text model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.errors import JobError, nearest
from jobs.labels import NAMED, WHOLE, class_numbers

if TYPE_CHECKING:
    from engine import LoadedModel

LABELS = "labels"  # the word for the dataset's own labels
FEWEST = 2


@dataclass(frozen=True)
class Prompts:
    """Classes with their own prompts, the templates (texts with {}) for those that have none, and remarks on them."""

    classes: dict[str, list[str]]
    templates: list[str]
    notes: tuple[str, ...] = ()

    def to_record(self) -> dict[str, Any]:
        """Plain values for the run's identity and record; the classes in their order, which numbers them."""
        classes = [{"name": name, "prompts": own} for name, own in self.classes.items()]
        return {"classes": classes, "templates": self.templates}

    @classmethod
    def of_record(cls, spec: Mapping[str, Any]) -> Prompts | None:
        """Those that a run was made with, None for other runs."""
        if not spec.get("classes"):
            return None
        return cls({entry["name"]: list(entry["prompts"]) for entry in spec["classes"]}, list(spec["templates"]))

    def classifier(self, loaded: LoadedModel) -> LoadedModel:
        """The model as a classifier. `JobError` or `engine.EngineError` for one that does not compare texts."""
        from engine.models.zero_shot import zero_shot

        if loaded.task != "pair":
            own = ", which has classes of its own" if loaded.task == "classify" else ""
            raise JobError(f"--classes is for image-text models such as CLIP and SigLIP, not for {loaded.name}{own}")
        return zero_shot(loaded, self.classes, self.templates)

    def remarks(self, loaded: LoadedModel) -> list[str]:
        """What somebody should know of these texts, read by the image-text model `loaded`."""
        from engine.models.zero_shot import prompts_of

        texts = [text for name, own in self.classes.items() for text in prompts_of(name, own, self.templates)]
        cut = sum(loaded.tokenizer.truncated(texts)) if loaded.tokenizer else 0
        long = f"{cut} of {len(texts)} prompts are longer than the model's text limit: their end is cut"
        return [*self.notes, *([long] if cut else [])]


def read_prompts(classes: str | None, templates: str | None, labels: Sequence[str] | None) -> Prompts | None:
    """What `--classes` and `--templates` say; None without them. `labels` are the distinct ones of the data.

    Raises `JobError` with one clear line.
    """
    if classes is None:
        return None
    found = _of_labels(labels) if classes == LABELS else _of_file(Path(classes).expanduser())
    if len(found) < FEWEST:
        raise JobError(f"--classes {classes} has one class only: a classifier chooses between at least two")
    without = [name for name, own in found.items() if not own]
    if templates is not None and not without:
        raise JobError(f"--templates {templates} is not used: every class of {classes} has prompts of its own")
    return Prompts(found, read_templates(templates) if without else [], _without_samples(list(found), labels or []))


def _without_samples(names: list[str], labels: Sequence[str]) -> tuple[str, ...]:
    """A remark on classes that no sample is labelled with, where labels name the others: perhaps a typing error."""
    used = set(class_numbers(labels, names).values())
    unused = [name for index, name in enumerate(names) if index not in used]
    if not unused or len(unused) == len(names):
        return ()
    more = f" and {len(unused) - NAMED} more" if len(unused) > NAMED else ""
    return (f"no sample is labelled {', '.join(unused[:NAMED])}{more}",)


def _of_labels(labels: Sequence[str] | None) -> dict[str, list[str]]:
    if not labels:
        raise JobError(
            f"--classes {LABELS} needs labels: give class folders or a manifest with a column 'label', "
            "or a file with one class per line"
        )
    if all(WHOLE.fullmatch(label.strip()) for label in labels):
        raise JobError(
            f"--classes {LABELS}: the labels are numbers ({', '.join(labels[:3])}, ...), nothing that a model could "
            "read; give a file with one class per line, the class of label 0 first"
        )
    return {label: [] for label in sorted(labels)}


def _of_file(path: Path) -> dict[str, list[str]]:
    text = _read("--classes", path, f", nor the word {LABELS}")
    is_json = path.suffix.lower() == ".json" or text.lstrip().startswith("{")
    pairs = _json_classes(path, text) if is_json else [(line, []) for line in _lines(text)]
    if not pairs:
        raise JobError(f"--classes {path} has no classes: one per line is needed (# for comments)")
    found: dict[str, list[str]] = {}
    for name, own in pairs:
        if name in found:
            raise JobError(f"--classes {path} names the class '{name}' twice")
        found[name] = own
    return found


def _json_classes(path: Path, text: str) -> list[tuple[str, list[str]]]:
    """The pairs of {class: [prompt, ...]}, repeated names included."""
    try:
        content = json.loads(text, object_pairs_hook=_Pairs)
    except ValueError as error:
        raise JobError(f"--classes {path} is not valid JSON: {error}") from error
    if not isinstance(content, _Pairs):
        raise JobError(f"--classes {path} is no mapping: JSON of classes is {{class: [prompt, ...]}}")
    for name, own in content:
        if not isinstance(own, list) or not all(isinstance(text, str) and text.strip() for text in own):
            raise JobError(f"--classes {path}: class '{name}' needs a list of prompts (an empty one for templates)")
        if not name.strip():
            raise JobError(f"--classes {path}: a class has no name")
    return [(name.strip(), own) for name, own in content]


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as it was written: a dict would hide names that come twice."""


def read_templates(given: str | None) -> list[str]:
    """The templates of a set or a file; "a photo of a {}." without either. `JobError` for one without {}."""
    from engine.models.zero_shot import PLACE, TEMPLATE_SETS, template_set

    if given is None or given in TEMPLATE_SETS:
        return template_set(given or TEMPLATE_SETS[0])
    path = Path(given).expanduser()
    close = nearest(given, TEMPLATE_SETS, 1)
    hint = f"; did you mean {close[0]}?" if close else f", nor one of {', '.join(TEMPLATE_SETS)}"
    lines = _lines(_read("--templates", path, hint))
    if not lines:
        raise JobError(f"--templates {path} has no templates: one per line is needed, such as 'a photo of a {PLACE}.'")
    for line in lines:
        if PLACE not in line:
            raise JobError(f"--templates {path}: '{line}' has no {PLACE}, where the name of the class goes")
    return lines


def _read(option: str, path: Path, hint: str) -> str:
    if not path.is_file():
        raise JobError(f"{option} {path}: no such file{hint}")
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise JobError(f"{option} {path} cannot be read: {reason}") from error


def _lines(text: str) -> list[str]:
    """Lines with content, comments (#) left out."""
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]
