"""LRP of one batch: record the model once, propagate every target over the same tape."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor, nn

from engine.capture.kernel import wide
from engine.copies import in_double
from engine.errors import UnsupportedModel
from engine.lrp import rules
from engine.lrp.conventions import DEFAULT, FAMILIES, Conventions
from engine.lrp.propagate import MixedSamples, Propagation
from engine.lrp.recording import Recording, record
from engine.lrp.tape import Value
from engine.models.adapter import Adapter, Batch
from engine.targets import Labels, Output, Target

NO_RELEVANCE = ("mask", "special", "type_ids", "position_ids", "grid")
"""Ends of the names of inputs that say where things are, not what they are."""


TAPE_BYTES = 2 << 30
"""Memory of one tape on a CPU; larger batches are taken in chunks."""
GPU_SHARE = 0.3
"""Share of a GPU's free memory for one tape."""
SMALL_MODEL = 5_000_000
"""Models with fewer parameters are not measured first."""

Collect = Callable[[Recording, Mapping[Value, Tensor]], list[Tensor]]
"""Takes a recording and the start relevance to what is asked for, samples on axis 0."""


class Relevances:
    """LRP relevances of a batch, for any number of targets.

    The forward pass of the tape runs in float64 where the device has it, on copies of the weights: LRP divides by sums
    that can be close to zero, and the rounding of float32 activations alone moves its maps by 1e-5 to 1e-2 of their
    peak. Results come back in the type of the batch.

    Args:
        module: the model, in evaluation mode and with frozen parameters.
        adapter: of its family.
        batch: prepared inputs.
        sites: all attention sites.
        blocks: modules whose input relevance will be asked for.
        conventions: default: those of the family.
        double: run the tape in float64, where the device has it.
        output: what the model returned for the batch, if that is known.
    """

    def __init__(
        self,
        module: nn.Module,
        adapter: Adapter,
        batch: Batch,
        sites: Sequence[str],
        blocks: Sequence[str] = (),
        conventions: Conventions | None = None,
        double: bool = True,
        output: Output | None = None,
    ) -> None:
        self._module, self._adapter, self._batch = module, adapter, batch
        self._sites, self._blocks = tuple(sites), tuple(blocks)
        self._conventions = conventions or FAMILIES.get(adapter.family, DEFAULT)
        self._given = output
        self._at_once: int | None = None
        self._dtype = wide(next(module.parameters())).dtype
        self._double = double and next(iter(batch.values())).device.type != "mps"

    def of_maps(self, target: Target, sites: Sequence[str], conserving: bool) -> dict[str, Tensor]:
        """Relevance of the attention maps, [B, H, s, t] per site, before it passes on through the softmax."""

        def collect(recording: Recording, start: Mapping[Value, Tensor]) -> list[Tensor]:
            wanted = [recording.maps[site] for site in sites]
            walk = Propagation(recording.tape, wanted, list(recording.maps.values()), conserving, self._conventions)
            found = walk.run(start)
            return [found[value] for value in wanted]

        return dict(zip(sites, self._batched(target, collect), strict=True))

    def of_image(self, target: Target) -> Tensor:
        """Classic LRP down to the pixels, z-B rule at the first convolution: [B, C, H, W], signed."""

        def collect(recording: Recording, start: Mapping[Value, Tensor]) -> list[Tensor]:
            image = recording.tape.value(recording.roots["image"])
            maps = list(recording.maps.values())
            return [Propagation(recording.tape, [image], maps, False, self._conventions).run(start)[image]]

        return self._batched(target, collect)[0]

    def of_blocks(self, target: Target, walk: type[Propagation]) -> dict[str, Tensor]:
        """Relevance of the inputs of the blocks that were named at the start, by the rules of ``walk``: [B, N, D].

        It starts from the output's own value, as AttnLRP does: the relevance of a linear score sums to the score.
        """

        def collect(recording: Recording, start: Mapping[Value, Tensor]) -> list[Tensor]:
            wanted = [recording.blocks[path] for path in self._blocks]
            found = walk(recording.tape, wanted, list(recording.maps.values()), True, self._conventions).run(start)
            return [found[value] for value in wanted]

        return dict(zip(self._blocks, self._batched(target, collect, at_value=True), strict=True))

    def _batched(self, target: Target, collect: Collect, at_value: bool = False) -> list[Tensor]:
        """As many samples at once as fit; one at a time where the operations hide which elements are whose."""
        seeds = start_relevance(settled(target, self._output), self._output)
        try:
            parts = [
                collect(recording, self._start(recording, seeds, rows, at_value))
                for rows, recording in self._recordings()
            ]
        except MixedSamples:
            self._at_once = 1
            return self._batched(target, collect, at_value)
        return [torch.cat(part).to(self._dtype) for part in zip(*parts, strict=True)]

    def _start(
        self, recording: Recording, seeds: Mapping[str, Tensor], rows: slice, at_value: bool
    ) -> dict[Value, Tensor]:
        start = {}
        for name, seed in seeds.items():
            value = recording.tape.value(getattr(recording.output, name))
            relevance = seed[rows].to(value.tensor.dtype)
            if at_value:
                relevance = relevance * value.tensor
            elif self._conventions.start_at_value:
                relevance = value.tensor * rules.div(relevance, value.tensor)
            start[value] = relevance
        for value in recording.states.values():
            start[value] = torch.zeros_like(value.tensor)
        return start

    def _recordings(self) -> Iterator[tuple[slice, Recording]]:
        """The batch, whole (and kept for the next target) or in chunks."""
        count = len(self._output.logits)
        if self._at_once is None:
            self._at_once = self._fitting(count)
        if self._at_once >= count:
            yield slice(None), self._whole
            return
        for i in range(0, count, self._at_once):
            rows = slice(i, i + self._at_once)
            yield rows, self._record({k: v[rows] for k, v in self._batch.items()})

    def _fitting(self, count: int) -> int:
        """How many samples a tape may hold, from the tape of the first one."""
        if count == 1 or sum(p.numel() for p in self._module.parameters()) < SMALL_MODEL:
            return count
        one = self._record({k: v[:1] for k, v in self._batch.items()}).tape.nbytes
        device = next(iter(self._batch.values())).device
        budget = int(GPU_SHARE * torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else TAPE_BYTES
        return max(1, budget // one)

    @cached_property
    def _whole(self) -> Recording:
        return self._record(self._batch)

    @cached_property
    def _output(self) -> Output:
        """The output in the model's own precision, which settles the targets."""
        if self._given is not None:
            return self._given
        with torch.no_grad():
            return self._adapter.forward(self._module, self._batch)

    def _record(self, batch: Batch) -> Recording:
        adapter, module, conventions = self._adapter, self._runner, self._conventions
        if self._double:
            batch = {name: x.double() if x.is_floating_point() else x for name, x in batch.items()}
        zero = adapter.stream_states(module)[conventions.zero_stream] if conventions.zero_stream else None
        return record(
            module,
            lambda: adapter.forward(module, batch),
            {name: x for name, x in batch.items() if not name.endswith(NO_RELEVANCE)},
            self._sites,
            adapter.explicit(module),
            conventions,
            self._blocks,
            [zero] if zero else [],
        )

    @cached_property
    def _runner(self) -> nn.Module:
        """The model that is recorded."""
        return in_double(self._module) if self._double else self._module


def settled(target: Target, output: Output) -> Target:
    """The target with its class fixed by an output, so that other precisions or layers cannot choose another."""
    classes = target.indices(output)
    return target if classes is None or target.queries(output) is not None else Labels(classes, target.name)


def start_relevance(target: Target, output: Output) -> dict[str, Tensor]:
    """Relevance of the model's outputs: the gradient of the score, by the output's field.

    One-hot for a class, +1 and -1 for a contrast of two. For image-text pairs it lies on the pair logit (or the
    cosine), which is then read as a linear layer over each tower's embedding, the other tower's being its weights: both
    towers receive all of it.
    """
    names = [n for n in ("logits", "cosine") if getattr(output, n) is not None]
    with torch.enable_grad():
        leaves = {n: getattr(output, n).detach().clone().requires_grad_() for n in names}
        score = target.score(replace(output, **leaves)).sum()
        if not score.requires_grad:
            raise UnsupportedModel(f"target {target.name!r} does not depend on the model's output: LRP has no start")
        grads = torch.autograd.grad(score, list(leaves.values()), allow_unused=True)
    return {n: g.detach() for n, g in zip(names, grads, strict=True) if g is not None}
