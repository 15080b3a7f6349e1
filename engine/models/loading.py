"""Load a model by the name a user types: timm, open_clip or transformers, from their hubs or from a local folder."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engine.errors import EngineError, UnknownName, suggestion
from engine.models import find_adapter
from engine.models.adapter import Adapter
from engine.models.checkpoint import load_checkpoint, read_checkpoint
from engine.models.folders import check_size, is_folder, read_config
from engine.models.hub import hub_access, library_code_only
from engine.models.pairs import PairAdapter
from engine.models.preprocess import Preprocess, hf_preprocess, open_clip_preprocess, timm_preprocess
from engine.models.tokens import TextTokenizer, as_tokenizer
from engine.precision import PRECISIONS

LIBRARIES = ("timm", "open_clip", "hf")
LOCAL = "local-dir:"
CLIP_CONFIG = "open_clip_config.json"


@dataclass(frozen=True)
class LoadedModel:
    """A model with everything needed to explain samples with it.

    Attributes:
        model: the unmodified module, in evaluation mode.
        name: as the user typed it.
        adapter: how the engine talks to it.
        preprocess: picture -> input tensor; knows which part of the picture the input shows. None where no picture is
            read: text classifiers, and question answering over region features.
        tokenizer: for models that read texts.
        class_names: names of classes or answers in index order, where the model carries them.
        precision: "fp32", or "bf16" or "fp16" (autocast; relevancies are accumulated in float32).
    """

    model: nn.Module
    name: str
    adapter: Adapter
    preprocess: Preprocess | None
    tokenizer: TextTokenizer | None
    class_names: list[str] | None
    precision: str = "fp32"

    def autocast(self) -> AbstractContextManager[Any]:
        """Half precision where the model was loaded so, around calls of the model that are no explanation."""
        return PRECISIONS[self.precision].autocast(next(self.model.parameters()).device.type)

    @property
    def family(self) -> str:
        """Name of the family, such as "vit" or "clip"."""
        return self.adapter.family_of(self.model)

    @property
    def modalities(self) -> tuple[str, ...]:
        """What it reads: ("image",), ("image", "text") or ("text",)."""
        return self.adapter.modalities

    @property
    def task(self) -> str:
        """What it answers: "classify", "pair", "answer" or "detect"."""
        return self.adapter.task

    @property
    def reads_regions(self) -> bool:
        """Whether a picture comes as feature vectors of regions with boxes."""
        return self.adapter.reads_regions

    @property
    def region_width(self) -> int | None:
        """Width of the feature vector of one region, where regions are read."""
        return self.adapter.region_width(self.model) if self.reads_regions else None

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
        """Number of classes or answers ("no object" is none); None for image-text pairs."""
        if self.task == "pair":
            return None
        return self.adapter.num_classes(self.model) or count_classes(self.model)

    @property
    def grid(self) -> tuple[int, int] | None:
        """Rows and columns of image tokens for the model's own (nominal) input size; None without pictures."""
        if self.preprocess is None:
            return None
        height, width = self.preprocess.size
        if self.preprocess.stride > 1:
            return -(-height // self.preprocess.stride), -(-width // self.preprocess.stride)
        image = torch.zeros(1, 3, height, width)
        inputs: dict[str, torch.Tensor] = {"image": image}
        if "text" in self.modalities:
            assert self.tokenizer is not None
            inputs["text"] = self.tokenizer(["a"])
        return self.adapter.grid(self.model, self.adapter.prepare(self.model, inputs, self.tokenizer))

    def card(self) -> dict[str, Any]:
        """JSON-ready description for the run's record."""
        grid = self.grid
        return {
            "name": self.name,
            "family": self.family,
            "library": self.adapter.library,
            "class": type(self.model).__name__,
            "task": self.task,
            "class_names": self.class_names,
            "num_classes": self.num_classes,
            "grid": list(grid) if grid else None,
            "image_size": list(self.preprocess.size) if self.preprocess else None,
            "modalities": list(self.modalities),
            "reads_regions": self.reads_regions,
            "region_width": self.region_width,
            "text_limit": self.tokenizer.context if self.tokenizer else None,
            "start_layer": self.default_start_layer,
            "layers": self.layers,
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "precision": self.precision,
            "preprocess": self.preprocess.describe() if self.preprocess else None,
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
        precision: "fp32", "bf16" or "fp16".

    Raises:
        EngineError: unknown name (the nearest are suggested), weights that cannot be had or do not fit (the tensor is
            named), a precision that the device lacks, or a model whose attention cannot be captured.
    """
    if precision not in PRECISIONS:
        raise UnknownName("precision", precision, PRECISIONS)
    library, rest = _split(name)
    loader: Callable[[str, str, Path | None], LoadedModel] = {"timm": _timm, "open_clip": _open_clip, "hf": _hf}[
        library
    ]
    try:
        loaded = loader(name, rest, Path(checkpoint) if checkpoint else None)
    except EngineError:
        raise
    except Exception as error:  # the libraries check few of the values in a configuration
        raise _not_loadable(name, checkpoint, error) from error
    try:
        loaded.model.to(device).eval()
    except (RuntimeError, AssertionError) as error:
        raise EngineError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}") from error
    PRECISIONS[precision].check(torch.device(device).type)
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
    if is_folder(folder):
        return _library_of(folder), str(folder.resolve())
    if colon:
        raise EngineError(f"unknown model library {library!r} in {name!r}{suggestion(library, LIBRARIES)}")
    raise EngineError(
        f"model {name!r} is neither a folder nor LIBRARY:NAME with one of {', '.join(LIBRARIES)}"
        + (f"; did you mean 'timm:{name}'?" if _is_timm_name(name) else "")
    )


def _library_of(folder: Path) -> str:
    if (folder / CLIP_CONFIG).is_file():
        return "open_clip"
    config = folder / "config.json"
    if not config.is_file():
        raise EngineError(f"folder {folder} is not a model: it has neither open_clip_config.json nor config.json")
    content = read_config(config)
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
    if rest.startswith(LOCAL) and not is_folder(folder):
        raise EngineError(f"model folder not found: {folder}")
    return folder if is_folder(folder) else None


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
            empty = timm.create_model(source, pretrained=False, **options)
        adapter = find_adapter(empty)
        check_size(empty, None if weights else folder, name)
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
    if folder is not None and (folder / CLIP_CONFIG).is_file():
        read_config(folder / CLIP_CONFIG)
    source, tag = (f"{LOCAL}{folder}", None) if folder else _open_clip_name(rest, checkpoint)
    try:
        with hub_access(), library_code_only():
            own = checkpoint is None
            model = open_clip.create_model(
                source, pretrained=tag, load_weights=own, require_pretrained=own, pretrained_text=False
            )
            tokenizer = open_clip.get_tokenizer(source)
    except EngineError:
        raise
    except Exception as error:
        raise _not_loadable(name, checkpoint, error) from error
    adapter = find_adapter(model)
    if checkpoint is not None:
        load_checkpoint(model, checkpoint, name)
    context = min(adapter.text_limits(model)[1], int(tokenizer.context_length or 1 << 30))
    words = _usable(as_tokenizer(tokenizer, context), source.removeprefix(LOCAL))
    return LoadedModel(model, name, adapter, open_clip_preprocess(model), words, None)


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
    if folder is not None and (folder / "config.json").is_file():
        read_config(folder / "config.json")
    source = str(folder) if folder else rest
    try:
        with hub_access(), library_code_only():
            config = transformers.AutoConfig.from_pretrained(source, trust_remote_code=False)
            model_class = _architecture(config, source)
            with torch.device("meta"):  # refuse before anything is downloaded
                empty = model_class(config)
            adapter = find_adapter(empty)
            check_size(empty, None if checkpoint else folder, name)
            model = model_class(config) if checkpoint else model_class.from_pretrained(source)
            processor = _processor(source, adapter) if _sees(adapter) else None
            words = None
            if "text" in adapter.modalities:
                words = transformers.AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except EngineError:
        raise
    except Exception as error:
        raise _not_loadable(name, checkpoint, error) from error
    if checkpoint is not None:
        load_checkpoint(model, checkpoint, name)
    tokenizer = _own_tokenizer(words, adapter, model, source) if words is not None else None
    preprocess = hf_preprocess(processor, _stride(adapter, model)) if processor is not None else None
    names = _class_names(config, model) if adapter.task != "pair" else None
    return LoadedModel(model, name, adapter, preprocess, tokenizer, names)


def _processor(source: str, adapter: Adapter) -> Any:
    """The library's image processor. CLIP and SigLIP were trained on pictures that Pillow resized, and open_clip still
    does so: the library's own default differs by a grey level here and there."""
    import transformers

    backend = {"backend": "pil"} if isinstance(adapter, PairAdapter) else {}
    return transformers.AutoImageProcessor.from_pretrained(source, trust_remote_code=False, **backend)


def _sees(adapter: Adapter) -> bool:
    """Whether a model reads pictures as pixels."""
    return "image" in adapter.modalities and not adapter.reads_regions


def _own_tokenizer(tokenizer: Any, adapter: Adapter, model: nn.Module, source: str) -> TextTokenizer:
    """The tokenizer with the model's own limit, refused when it has more tokens than the model knows."""
    vocabulary, context = adapter.text_limits(model)
    if len(tokenizer) > vocabulary:
        raise EngineError(
            f"the tokenizer of {source} does not belong to its model: it has {len(tokenizer)} tokens, "
            f"the model's vocabulary {vocabulary}"
        )
    return _usable(as_tokenizer(tokenizer, context), source)


def _usable(tokenizer: TextTokenizer, source: str) -> TextTokenizer:
    """One that lacks what it needs, as a token to pad with, is refused here and not in the middle of a run."""
    try:
        tokenizer(["a"])
    except Exception as error:
        raise EngineError(f"the tokenizer of {source} cannot be used: {_reason(error)}") from error
    return tokenizer


def _stride(adapter: Adapter, model: nn.Module) -> int:
    """Input pixels per image token of a detector, measured: backbones differ, and may be dilated."""
    if adapter.task != "detect":
        return 1
    side, model = 256, model.eval()
    with torch.no_grad():
        grid = adapter.forward(model, {"image": torch.zeros(1, 3, side, side)}).grid
    assert grid is not None
    return side // grid[0]


def count_classes(model: Any) -> int | None:
    """Number of classes that a model was built with, where it says so."""
    config = getattr(model, "config", None)
    counts = (
        getattr(config, "num_qa_labels", None),  # LXMERT keeps its answers apart from the labels
        getattr(model, "num_classes", None),
        getattr(model, "num_labels", None),
        getattr(config, "num_labels", None),
    )
    return next((int(count) for count in counts if count), None)


def _class_names(config: Any, model: Any) -> list[str] | None:
    """Names from the configuration, when it has one for every class."""
    names = config.id2label or {}
    count = count_classes(model)
    return [str(names[i]) for i in range(len(names))] if len(names) == count else None


def _architecture(config: Any, source: str) -> Any:
    import transformers

    names = config.architectures or []
    found = getattr(transformers, str(names[0]), None) if names else None
    if not (isinstance(found, type) and issubclass(found, transformers.PreTrainedModel)):
        raise EngineError(f"the configuration of {source} names no architecture that transformers knows")
    return found


def _not_loadable(name: str, checkpoint: str | Path | None, error: Exception) -> EngineError:
    local = checkpoint is not None or is_folder(Path(name.rpartition(":")[2]))
    hint = "" if local else "; without network, give a local folder or --checkpoint FILE"
    return EngineError(f"cannot load {name!r}: {_reason(error)}{hint}")


def _reason(error: Exception) -> str:
    """The first line of what a library says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]
