"""Load a model by the name a user types: timm, open_clip or transformers, from their hubs or from a local folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engine.errors import EngineError, UnknownName, suggestion
from engine.models import find_adapter
from engine.models.adapter import Adapter
from engine.models.checkpoint import load_checkpoint, read_checkpoint
from engine.models.hub import hub_access
from engine.models.preprocess import Preprocess, hf_preprocess, open_clip_preprocess, timm_preprocess
from engine.models.tokens import TextTokenizer, as_tokenizer

PRECISIONS = ("fp32", "bf16")
LIBRARIES = ("timm", "open_clip", "hf")
LOCAL = "local-dir:"


@dataclass(frozen=True)
class LoadedModel:
    """A model with everything needed to explain samples with it.

    Attributes:
        model: the unmodified module, in evaluation mode.
        name: as the user typed it.
        adapter: how the engine talks to it.
        preprocess: picture -> input tensor; knows which part of the picture the input shows.
        tokenizer: for image-text models.
        class_names: class names in index order, where the model carries them.
        precision: "fp32" or "bf16" (autocast; relevancies are accumulated in float32).
    """

    model: nn.Module
    name: str
    adapter: Adapter
    preprocess: Preprocess
    tokenizer: TextTokenizer | None
    class_names: list[str] | None
    precision: str = "fp32"

    @property
    def family(self) -> str:
        """Name of the family, such as "vit" or "clip"."""
        return self.adapter.family

    @property
    def modalities(self) -> tuple[str, ...]:
        """What it reads: ("image",) or ("image", "text")."""
        return self.adapter.modalities

    @property
    def layers(self) -> dict[str, int]:
        """Number of self-attention layers per modality."""
        return self.adapter.layers(self.model)

    @property
    def default_start_layer(self) -> int:
        """First explained layer unless the user says otherwise; negative counts from the end."""
        return self.adapter.default_start_layer(self.model)

    @property
    def num_classes(self) -> int | None:
        """Number of classes; None for image-text models."""
        if "text" in self.modalities:
            return None
        count = getattr(self.model, "num_classes", None) or getattr(self.model, "num_labels", None)
        return int(count) if count else None

    @property
    def grid(self) -> tuple[int, int] | None:
        """Rows and columns of image tokens for the model's own input size."""
        image = torch.zeros(1, 3, *self.preprocess.size)
        inputs: dict[str, torch.Tensor] = {"image": image}
        if "text" in self.modalities:
            assert self.tokenizer is not None
            inputs["text"] = self.tokenizer(["a"])
        towers = self.adapter.towers(self.model, self.adapter.prepare(self.model, inputs, self.tokenizer))
        return next((t.grid for t in towers if t.grid), None)

    def card(self) -> dict[str, Any]:
        """JSON-ready description for the run's record."""
        grid = self.grid
        return {
            "name": self.name,
            "family": self.family,
            "library": self.adapter.library,
            "class": type(self.model).__name__,
            "class_names": self.class_names,
            "num_classes": self.num_classes,
            "grid": list(grid) if grid else None,
            "image_size": list(self.preprocess.size),
            "modalities": list(self.modalities),
            "start_layer": self.default_start_layer,
            "layers": self.layers,
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "precision": self.precision,
            "preprocess": self.preprocess.describe(),
        }


def load_model(
    name: str, *, checkpoint: str | Path | None = None, device: str = "cpu", precision: str = "fp32"
) -> LoadedModel:
    """Load a model by name.

    Args:
        name: ``timm:NAME``, ``timm:local-dir:FOLDER``, ``open_clip:NAME[/TAG]``, ``open_clip:local-dir:FOLDER``,
            ``hf:REPO_OR_FOLDER``, or a folder whose configuration tells which library wrote it.
        checkpoint: weights file (safetensors, or a state dict in .pt / .pth / .bin), instead of the hub's weights.
        device: torch device.
        precision: "fp32" or "bf16".

    Raises:
        EngineError: unknown name (the nearest are suggested), weights that cannot be had or do not fit (the tensor is
            named), or a model whose attention cannot be captured.
    """
    if precision not in PRECISIONS:
        raise UnknownName("precision", precision, PRECISIONS)
    library, rest = _split(name)
    loader: Callable[[str, str, Path | None], LoadedModel] = {"timm": _timm, "open_clip": _open_clip, "hf": _hf}[
        library
    ]
    loaded = loader(name, rest, Path(checkpoint) if checkpoint else None)
    try:
        loaded.model.to(device).eval()
    except (RuntimeError, AssertionError) as error:
        raise EngineError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}") from error
    return LoadedModel(
        loaded.model, name, loaded.adapter, loaded.preprocess, loaded.tokenizer, loaded.class_names, precision
    )


def _split(name: str) -> tuple[str, str]:
    """Return library and the rest of the name; a plain folder is recognised by its configuration file."""
    library, colon, rest = name.partition(":")
    if colon and library in LIBRARIES:
        if not rest:
            raise EngineError(f"model {name!r}: a name must follow the colon, as in 'timm:vit_base_patch16_224'")
        return library, rest
    folder = Path(name)
    if folder.is_dir():
        return _library_of(folder), str(folder.resolve())
    if colon:
        raise EngineError(f"unknown model library {library!r} in {name!r}{suggestion(library, LIBRARIES)}")
    raise EngineError(
        f"model {name!r} is neither a folder nor LIBRARY:NAME with one of {', '.join(LIBRARIES)}"
        + (f"; did you mean 'timm:{name}'?" if _is_timm_name(name) else "")
    )


def _library_of(folder: Path) -> str:
    if (folder / "open_clip_config.json").is_file():
        return "open_clip"
    config = folder / "config.json"
    if not config.is_file():
        raise EngineError(f"folder {folder} is not a model: it has neither open_clip_config.json nor config.json")
    try:
        content = json.loads(config.read_text())
    except ValueError as error:
        raise EngineError(f"{config} is not valid JSON: {error}") from error
    if "model_type" in content:
        return "hf"
    if "architecture" in content:
        return "timm"
    raise EngineError(f"{config} names neither 'architecture' (timm) nor 'model_type' (transformers)")


def _is_timm_name(name: str) -> bool:
    import timm

    return bool(timm.is_model(name.split(".", maxsplit=1)[0]))


def _local_folder(rest: str) -> Path | None:
    """The folder, when the name means a local one."""
    folder = Path(rest.removeprefix(LOCAL))
    if rest.startswith(LOCAL) and not folder.is_dir():
        raise EngineError(f"model folder not found: {folder}")
    return folder if folder.is_dir() else None


def _timm(name: str, rest: str, checkpoint: Path | None) -> LoadedModel:
    import timm

    folder = _local_folder(rest)
    if folder is not None and _library_of(folder) != "timm":
        raise EngineError(f"folder {folder} is not a timm model (its config.json names no 'architecture')")
    if folder is None and not timm.is_model(rest.split(".", maxsplit=1)[0]):
        raise UnknownName("timm model", rest, timm.list_models())
    source = f"{LOCAL}{folder}" if folder else rest
    weights = read_checkpoint(checkpoint) if checkpoint else None
    options: dict[str, Any] = {}
    if weights is not None and folder is None and "head.weight" in weights:
        options["num_classes"] = int(weights["head.weight"].shape[0])  # a fine-tuned checkpoint has its own classes
    try:
        with torch.device("meta"):  # refuse before anything is downloaded
            adapter = find_adapter(timm.create_model(source, pretrained=False, **options))
        with hub_access():
            model = timm.create_model(source, pretrained=weights is None, **options)
    except EngineError:
        raise
    except Exception as error:
        raise _not_loadable(name, checkpoint, error) from error
    if weights is not None and checkpoint is not None:
        load_checkpoint(model, checkpoint, name, weights)
    return LoadedModel(model, name, adapter, timm_preprocess(model), None, _timm_class_names(model, rest, folder))


def _timm_class_names(model: Any, name: str, folder: Path | None) -> list[str] | None:
    names = model.pretrained_cfg.get("label_names")
    if names:
        return [str(n) for n in names]
    if folder is None and model.num_classes == 1000 and "in1k" in str(model.pretrained_cfg.get("tag", "")):
        from timm.data import ImageNetInfo

        info = ImageNetInfo("imagenet-1k")
        return [info.index_to_description(i) for i in range(1000)]
    return None


def _open_clip(name: str, rest: str, checkpoint: Path | None) -> LoadedModel:
    import open_clip

    folder = _local_folder(rest)
    source, tag = (f"{LOCAL}{folder}", None) if folder else _open_clip_name(rest, checkpoint)
    try:
        with hub_access():
            model = open_clip.create_model(
                source, pretrained=tag, load_weights=checkpoint is None, require_pretrained=checkpoint is None
            )
            tokenizer = open_clip.get_tokenizer(source)
    except Exception as error:
        raise _not_loadable(name, checkpoint, error) from error
    adapter = find_adapter(model)
    if checkpoint is not None:
        load_checkpoint(model, checkpoint, name)
    context = adapter.text_limits(model)[1]  # type: ignore[attr-defined]
    return LoadedModel(model, name, adapter, open_clip_preprocess(model), as_tokenizer(tokenizer, context), None)


def _open_clip_name(rest: str, checkpoint: Path | None) -> tuple[str, str | None]:
    import open_clip

    architecture, _, tag = rest.partition("/")
    if architecture not in open_clip.list_models():
        raise UnknownName("open_clip model", architecture, open_clip.list_models())
    if checkpoint is not None:
        return architecture, None
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if not tag:
        example = f"open_clip:{architecture}/{tags[0]}, " if tags else ""
        raise EngineError(
            f"open_clip:{architecture} has no weights of its own: name a tag ({example}...) or a --checkpoint"
        )
    if tag not in tags:
        raise UnknownName(f"weights of open_clip:{architecture}", tag, tags)
    return architecture, tag


def _hf(name: str, rest: str, checkpoint: Path | None) -> LoadedModel:
    import transformers

    folder = _local_folder(rest)
    source = str(folder) if folder else rest
    try:
        with hub_access():
            config = transformers.AutoConfig.from_pretrained(source)
            model_class = _architecture(config, source)
            with torch.device("meta"):  # refuse before anything is downloaded
                adapter = find_adapter(model_class(config))
            model = model_class(config) if checkpoint else model_class.from_pretrained(source)
            processor = transformers.AutoImageProcessor.from_pretrained(source)
            tokenizer = transformers.AutoTokenizer.from_pretrained(source) if "text" in adapter.modalities else None
    except EngineError:
        raise
    except Exception as error:
        raise _not_loadable(name, checkpoint, error) from error
    if checkpoint is not None:
        load_checkpoint(model, checkpoint, name)
    names = None if tokenizer is not None else [str(config.id2label[i]) for i in range(config.num_labels)]
    context = adapter.text_limits(model)[1] if tokenizer is not None else None  # type: ignore[attr-defined]
    return LoadedModel(
        model,
        name,
        adapter,
        hf_preprocess(processor),
        as_tokenizer(tokenizer, context) if tokenizer is not None else None,
        names,
    )


def _architecture(config: Any, source: str) -> Any:
    import transformers

    names = config.architectures or []
    found = getattr(transformers, names[0], None) if names else None
    if found is None:
        raise EngineError(f"the configuration of {source} names no architecture that transformers knows")
    return found


def _not_loadable(name: str, checkpoint: Path | None, error: Exception) -> EngineError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = (lines[0] if lines else type(error).__name__)[:200]
    hint = "" if checkpoint else "; without network, give a local folder or --checkpoint FILE"
    return EngineError(f"cannot load {name!r}: {reason}{hint}")
