"""What a run is: everything the user chose, and the id that the same choices always lead to."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.errors import JobError, unknown
from storage.media import is_url
from storage.media.secrets import without_key

if TYPE_CHECKING:
    from jobs.prompts import Prompts

PRECISIONS = ("fp32", "bf16", "fp16")
LAUNCHERS = ("local", "ray")
ZERO_ROWS = ("authors", "identity")
DECODES = ("exact", "fast")
PATCHES = 8  # stored per picture unless told otherwise
THRESHOLD, MAX_DETECTIONS = 0.7, 20  # what a detector keeps unless told otherwise; 0.7 as the DETR authors show it
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
WEIGHT_FILES = (".safetensors", ".bin", ".pt", ".pth", ".json")
TEXT_WORDS = ("labels", "plain", "simple", "openai")  # of --classes and --templates, instead of a file
WORD = 40  # characters a part of the run id may have


@dataclass(frozen=True)
class RunSpec:
    """All options of `run`. Options above the line change results and are part of the run's id."""

    data: str
    model: str
    checkpoint: str | None = None
    method: str = "gae"
    target: str | None = None  # None: predicted class, or CLIP logit of a picture-text model
    start_layer: int | None = None  # None: the model's own default
    precision: str = "fp32"
    limit: int | None = None
    on_zero_row: str = "authors"
    threshold: float | None = None  # of a detector; None: 0.7
    max_detections: int | None = None  # of a detector; None: 20
    patches: int = PATCHES
    classes: str | None = None  # of an image-text model that is to classify: a file, or "labels"
    templates: str | None = None  # None: "a photo of a {}."
    text_start_layer: int | None = None  # of an image-text model's text tower; None: as start_layer, or 0 without that
    words: int = 0  # of each text of an image-text model, what the score owes to the most relevant ones
    decode: str = "exact"  # or "fast": JPEGs at a fraction of their size where the model shrinks them anyway
    evidence: bool = False  # of an image-text model: what the score loses without what is called relevant
    allow_outside: tuple[str, ...] = ()  # folders beside the data's own from which a manifest may name files
    # ---- where and how, not what
    store: str = "audits"
    name: str | None = None
    part_size: int = 256
    batch_size: int | None = None  # None: chosen to fit into memory
    workers: int | None = None  # None: one less than there are cores, at most 8
    device: str = "auto"
    launcher: str = "local"
    ray_address: str | None = None  # None: a cluster of this machine alone
    ray_workers: int | None = None  # None: one per GPU, or one per eight cores

    def checked(self) -> RunSpec:
        """This spec, or `JobError` for a value that no run can have."""
        whole = (
            ("limit", 1),
            ("part_size", 1),
            ("batch_size", 1),
            ("workers", 0),
            ("ray_workers", 1),
            ("max_detections", 1),
            ("patches", 0),
            ("words", 0),
        )
        for field, low in whole:
            value = getattr(self, field)
            if value is not None and value < low:
                raise JobError(f"--{field.replace('_', '-')} {value}: must be at least {low}")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise JobError(f"--threshold {self.threshold}: a probability, 0 to 1")
        if self.on_zero_row not in ZERO_ROWS:
            raise unknown("--on-zero-row", self.on_zero_row, ZERO_ROWS)
        if self.precision not in PRECISIONS:
            raise unknown("precision", self.precision, PRECISIONS)
        if self.decode not in DECODES:
            raise unknown("--decode", self.decode, DECODES)
        if self.launcher not in LAUNCHERS:
            raise unknown("launcher", self.launcher, LAUNCHERS)
        if self.launcher != "ray" and (self.ray_address or self.ray_workers):
            raise JobError("--ray-address and --ray-workers are for --launcher ray")
        if self.name is not None and not NAME.fullmatch(self.name):
            raise JobError(f"--name '{self.name}': use letters, digits, dots, dashes and underscores, at most 100")
        if self.checkpoint is not None and not Path(self.checkpoint).is_file():
            raise JobError(f"--checkpoint {self.checkpoint}: no such file")
        if self.templates is not None and self.classes is None:
            raise JobError("--templates is for the texts of classes: give --classes too")
        from jobs.readers.outside import allowed_folders

        return replace(self, allow_outside=allowed_folders(self.allow_outside))

    def options(self) -> dict[str, Any]:
        """The options that do not change results, for the record: a run may go on with other ones."""
        return {
            "data": without_key(self.data) if is_url(self.data) else str(Path(self.data).absolute()),
            "checkpoint": self.checkpoint,
            "part_size": self.part_size,
            "batch_size": self.batch_size,
            "workers": self.workers,
            "device": self.device,
            "launcher": self.launcher,
            **self._sources(),
        }

    def _sources(self) -> dict[str, str | None]:
        """Where the texts of a zero-shot classifier were read, so that somebody can give the options again."""
        if self.classes is None:
            return {}
        files = {"classes_from": self.classes, "templates_from": self.templates}
        return {name: value and _absolute_file(value) for name, value in files.items()}


def identity(
    spec: RunSpec, *, fingerprint: str, target: str, start_layer: int, prompts: Prompts | None = None
) -> dict[str, Any]:
    """Everything that changes results, defaults filled in: what a run id stands for.

    `prompts` are what `--classes` and `--templates` say: their texts count, not the names of files. Options that came
    later are in it only when they change something, so that earlier runs keep their ids.
    """
    later = {
        "on_zero_row": None if spec.on_zero_row == ZERO_ROWS[0] else spec.on_zero_row,
        "threshold": None if spec.threshold == THRESHOLD else spec.threshold,
        "max_detections": None if spec.max_detections == MAX_DETECTIONS else spec.max_detections,
        "patches": None if spec.patches == PATCHES else spec.patches,
        "words": spec.words or None,
        "text_start_layer": spec.text_start_layer,
        "evidence": spec.evidence or None,
        "decode": None if spec.decode == DECODES[0] else spec.decode,
        "allow_outside": list(spec.allow_outside) or None,
    }
    return {
        "data_fingerprint": fingerprint,
        "model": _model_word(spec.model) if _local_files(spec.model) else spec.model,
        "weights": weights_hash(spec.model, spec.checkpoint),
        "method": spec.method,
        "target": target,
        "start_layer": start_layer,
        "precision": spec.precision,
        "limit": spec.limit,
        **{name: value for name, value in later.items() if value is not None},
        **(prompts.to_record() if prompts else {}),
    }


def run_id(spec: RunSpec, chosen: dict[str, Any]) -> str:
    """`--name`, or data, model and method in words and eight digits of the hash of `chosen`."""
    if spec.name is not None:
        return spec.name
    digest = hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:8]
    data = spec.data.partition("?")[0] if is_url(spec.data) else spec.data
    words = [_data_word(Path(data).absolute()), _model_word(spec.model), spec.method]
    return "-".join([*(re.sub(r"[^A-Za-z0-9_.]+", "-", word).strip("-.")[:WORD] for word in words), digest])


def _absolute_file(value: str) -> str:
    """The absolute path of a file; a word that stands for itself as it is."""
    return value if value in TEXT_WORDS else str(Path(value).expanduser().absolute())


def _data_word(data: Path) -> str:
    return data.name if data.is_dir() else data.stem  # the last part of a URL too


def _model_word(model: str) -> str:
    """`vit_base_patch16_224` of `timm:vit_base_patch16_224`, the last folder of a path."""
    name = model.partition(":")[2] if re.match(r"[a-z_]+:", model) else model
    if model.startswith("open_clip:") and "local-dir" not in model:
        return name  # ViT-B-32/laion2b: both halves matter
    return name.removeprefix("local-dir:").rstrip("/").rsplit("/", 1)[-1]


def weights_hash(model: str, checkpoint: str | None) -> str | None:
    """Hash of the checkpoint's bytes and a local model folder's files; None for weights known by name."""
    digest = hashlib.sha256()
    files = _local_files(model) + ([Path(checkpoint)] if checkpoint else [])
    for file in files:
        with open(file, "rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16] if files else None


def _local_files(model: str) -> list[Path]:
    folder = Path(re.sub(r"^([a-z_]+:)?(local-dir:)?", "", model)).expanduser()
    if not folder.is_dir():
        return []
    return sorted(file for file in folder.iterdir() if file.suffix in WEIGHT_FILES)
