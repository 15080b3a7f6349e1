"""Read weights from a file, and say precisely what does not fit."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from engine.errors import EngineError

_WRAPPERS = ("state_dict", "model_state_dict", "model", "ema_state_dict")


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors, .pt, .pth or .bin file by name. Pickled code is never executed.

    Raises:
        EngineError: no such file, or a file that holds no tensors.
    """
    file = Path(path)
    if not file.is_file():
        raise EngineError(f"checkpoint not found: {file}")
    try:
        if file.suffix == ".safetensors":
            return dict(load_file(file))
        content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise EngineError(
            f"cannot read checkpoint {file}: it is no state dict (pickled objects are never run)"
        ) from error
    except Exception as error:  # a damaged file makes the unpickler stumble in any of its steps
        reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
        raise EngineError(f"cannot read checkpoint {file}: {reason}") from error
    return _tensors(content, file)


def _tensors(content: object, file: Path) -> dict[str, Tensor]:
    for key in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    tensors = {str(k): v for k, v in content.items() if isinstance(v, Tensor)} if isinstance(content, dict) else {}
    if not tensors:
        raise EngineError(f"checkpoint {file} holds no tensors by name (a state dict was expected)")
    return {k.removeprefix("module."): v for k, v in tensors.items()}  # DistributedDataParallel


def load_checkpoint(model: nn.Module, path: str | Path, name: str, weights: dict[str, Tensor] | None = None) -> None:
    """Load a file into a model, strictly.

    Args:
        model: receives the weights.
        path: the file, for messages and for reading it.
        name: the model's name, for messages.
        weights: what :func:`read_checkpoint` gave, if it was read already.

    Raises:
        EngineError: a tensor is missing, unknown or of another shape; the message names it. The model is unchanged.
    """
    weights = read_checkpoint(path) if weights is None else weights
    own = model.state_dict()
    for key, tensor in weights.items():
        if key in own and own[key].shape != tensor.shape:
            raise EngineError(
                f"checkpoint {path} does not fit {name}: tensor {key!r} is {tuple(tensor.shape)} in the file "
                f"and {tuple(own[key].shape)} in the model"
            )
    missing, unknown = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
    if missing or unknown:
        kind, names = ("lacks", missing) if missing else ("has an unknown", unknown)
        more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
        raise EngineError(f"checkpoint {path} does not fit {name}: it {kind} tensor {names[0]!r}{more}")
    model.load_state_dict(weights)
