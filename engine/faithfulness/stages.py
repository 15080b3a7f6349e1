"""The parts of a model in the order in which a cascade makes their weights random: from the head to the embeddings."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from engine.errors import EngineError
from engine.models.adapter import Adapter, Batch

HEAD, EMBEDDINGS = "head", "embeddings"
_EMBEDS = re.compile("embed|token|position", re.IGNORECASE)  # patch_embed, cls_token, relative_position_bias


@dataclass(frozen=True)
class Stage:
    """Modules whose own weights become random together.

    Attributes:
        name: path of the block, "head" (what follows the last block) or "embeddings" (what comes before the first).
        modules: paths of the modules; "" is the model itself.
    """

    name: str
    modules: tuple[str, ...]


def stages_of(model: nn.Module, adapter: Adapter, batch: Batch) -> tuple[Stage, ...]:
    """The stages of a cascade: head, blocks from the last to the first that runs, embeddings.

    A block is the numbered module that holds an attention of the adapter. What runs between two blocks goes with the
    earlier one (a stage's downsampling, the head of an image tower whose text tower runs afterwards). The order is that
    of one forward pass of the batch; nothing of the model is changed.

    Args:
        model: a supported model.
        adapter: its adapter.
        batch: what ``adapter.prepare`` made of at least one sample.

    Raises:
        EngineError: no attention lies in a numbered block.
    """
    blocks = _blocks(model, adapter, batch)
    owners = [path for path, module in model.named_modules() if module._parameters or module._buffers]
    loose = [path for path in owners if _block_of(path, blocks) is None]
    ran = _order(model, adapter, batch, {*blocks, *(path for path in loose if path)})
    order = [path for path in ran if path in blocks]
    members: dict[str, list[str]] = {name: [] for name in (HEAD, *reversed(order), EMBEDDINGS)}
    for path in owners:
        block = _block_of(path, blocks)
        name = block if block is not None else _stage_of_loose(model, path, ran, order)
        members.setdefault(name, []).append(path)  # a block that did not run is known to no other stage
    return tuple(Stage(name, tuple(paths)) for name, paths in members.items() if paths)


def joined(stages: Sequence[Stage], most: int) -> tuple[Stage, ...]:
    """At most so many stages, neighbours joined in equal numbers: a cascade explains everything once per stage."""
    if most < 1:
        raise EngineError(f"a cascade needs at least 1 stage, not {most}")
    bounds = [round(i * len(stages) / most) for i in range(most + 1)] if len(stages) > most else range(len(stages) + 1)
    groups = [stages[a:b] for a, b in itertools.pairwise(bounds)]
    return tuple(
        Stage(
            group[0].name if len(group) == 1 else f"{group[0].name} to {group[-1].name}",
            tuple(path for stage in group for path in stage.modules),
        )
        for group in groups
    )


def _blocks(model: nn.Module, adapter: Adapter, batch: Batch) -> set[str]:
    steps = adapter.steps(model)
    if steps is None:
        sites = [s for t in adapter.towers(model, batch) for s in (*t.layers, *((t.pool,) if t.pool else ()))]
    else:
        sites = [*(step.site for group in steps for step in group), *adapter.idle_sites(model)]
    found = {_numbered(site.split("#")[0]) for site in sites} - {""}
    if not found:
        raise EngineError(
            f"{type(model).__name__} has no numbered blocks with attention: there is nothing to cascade over"
        )
    return found


def _numbered(path: str) -> str:
    """The path up to its last number: ``layers.0.blocks.1.attn`` -> ``layers.0.blocks.1``; "" without a number."""
    parts = path.split(".")
    last = max((i for i, part in enumerate(parts) if part.isdecimal()), default=-1)
    return ".".join(parts[: last + 1])


def _block_of(path: str, blocks: set[str]) -> str | None:
    while path and path not in blocks:
        path = path.rpartition(".")[0]
    return path or None


def _stage_of_loose(model: nn.Module, path: str, ran: list[str], order: list[str]) -> str:
    """The stage of a module outside all blocks."""
    own = [name for name, _ in model.get_submodule(path).named_parameters(recurse=False)]
    names = [path, *(own if any(model.get_submodule(path).children()) else ())]
    if any(_EMBEDS.search(name) for name in names):
        return EMBEDDINGS
    if path not in ran:
        return HEAD
    before = [other for other in ran[: ran.index(path)] if other in order]
    if not before:
        return EMBEDDINGS
    return HEAD if len(before) == len(order) else before[-1]


def _order(model: nn.Module, adapter: Adapter, batch: Batch, paths: set[str]) -> list[str]:
    """These modules in the order in which they first run; those that do not run are left out."""
    ran: dict[str, None] = {}
    with _told(model, paths, ran), torch.no_grad(), adapter.scope(model):
        adapter.forward(model, batch)
    return list(ran)


@contextmanager
def _told(model: nn.Module, paths: set[str], ran: dict[str, None]) -> Iterator[None]:
    """Note each module as it runs."""

    def note(path: str) -> None:
        ran.setdefault(path)

    hooks = [
        model.get_submodule(path).register_forward_pre_hook(lambda *_, path=path: note(path)) for path in sorted(paths)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
