"""LeGrad: the gradient of every layer's own answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from engine.capture.interceptor import Interceptor
from engine.capture.kernel import wide
from engine.capture.record import RecordCapture
from engine.copies import sharing_weights
from engine.errors import UnsupportedModel
from engine.methods.direct import Direct, DirectMethod, Subject, block_of
from engine.models.adapter import Tower
from engine.targets import Output, Target


class LeGrad(DirectMethod):
    """mean_l mean_h mean_i relu(d s_l / d A_l)[h, i, :], with s_l the score read out from layer l's own output.

    Bousselham et al., *LeGrad: An Explainability Method for Vision Transformers via Feature Formation Sensitivity*,
    2024, eq. 5 to 9. The model's own final norm, pooling and head are applied to the tokens of every layer. The input
    of each block is cut from the graph, so that one backward pass gives all layers: s_l depends on A_l alone. The
    authors' min-max step serves display and is left out.
    """

    name = "legrad"
    paper = "Bousselham et al., 2024, eq. 5-9"
    description = "gradient of each layer's own score with respect to its attention, averaged over layers"

    def relevances(self, subject: Subject, targets: Sequence[Target]) -> list[Direct]:
        """One forward pass, one backward pass per target."""
        check_supported(subject)
        with torch.enable_grad():
            maps, outputs = _layers(subject)
            answers = {tower.modality: _answers(subject, outputs, tower) for tower in subject.towers}
            return [
                _explained(subject, target, maps, answers, keep_graph=i + 1 < len(targets))
                for i, target in enumerate(targets)
            ]


def check_supported(subject: Subject) -> None:
    """Raise UnsupportedModel unless an intermediate layer can be read out as the model reads the last one."""
    towers, task = subject.towers, subject.adapter.task
    reason = None
    if not towers:
        reason = "its streams look at each other, so a layer has no answer of its own"
    elif any(set(tower.ranges) != {tower.modality} for tower in towers):
        reason = "it is defined for one modality per stream"
    elif task not in ("classify", "pair") or (task == "classify" and towers[0].modality != "image"):
        reason = "it is defined for vision transformers and CLIP-like pairs"
    elif any(tower.pool for tower in towers):
        reason = "its attention pool is an attention of its own after the last layer"
    elif any(len({_parent(block_of(site)) for site in tower.layers}) > 1 for tower in towers):
        reason = "its layers differ in size, so the head does not fit the tokens of the earlier ones"
    if reason:
        raise UnsupportedModel(f"legrad cannot be done for {subject.name}: {reason}")


def _parent(path: str) -> str:
    return path.rpartition(".")[0]


def _depths(subject: Subject, tower: Tower) -> range:
    return range(tower.first_layer(subject.start_layer), len(tower.layers))


def _layers(subject: Subject) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Attention of every explained layer, and what every block returned from an input that was cut from the graph."""
    explained = [t.layers[i] for t in subject.towers for i in _depths(subject, t)]
    blocks = [block_of(site) for t in subject.towers for site in t.layers]
    capture = RecordCapture(frozenset(explained))
    outputs: dict[str, Any] = {}

    def cut(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        return tuple(_detached(a) for a in args), {k: _detached(v) for k, v in kwargs.items()}

    def keep(path: str) -> Any:
        def hook(_: nn.Module, args: Any, output: Any) -> None:
            outputs[path] = output

        return hook

    with ExitStack() as stack:
        for path in blocks:
            block = subject.module.get_submodule(path)
            stack.callback(block.register_forward_pre_hook(cut, with_kwargs=True).remove)
            stack.callback(block.register_forward_hook(keep(path)).remove)
        explicit = subject.adapter.explicit(subject.module)
        with Interceptor(subject.module, subject.sites, capture, explicit):
            subject.adapter.forward(subject.module, subject.batch)
    return capture.attention, outputs


def _detached(value: Any) -> Any:
    return value.detach() if isinstance(value, Tensor) else value


def _tail(subject: Subject, outputs: Mapping[str, Any]) -> nn.Module:
    """A copy of the model, sharing its weights, whose blocks return what is in ``outputs`` without running."""
    model = sharing_weights(subject.module)
    for path in outputs:
        model.get_submodule(path).forward = partial(_look_up, outputs, path)
    return model


def _look_up(outputs: Mapping[str, Any], path: str, *_: Any, **__: Any) -> Any:
    return outputs[path]


def _answers(subject: Subject, outputs: Mapping[str, Any], tower: Tower) -> list[Output]:
    """Per explained layer, the model's answer when the last block of a tower returns what that layer returned."""
    last = block_of(tower.layers[-1])
    returned = {path: _cut_off(output) for path, output in outputs.items()}
    model = _tail(subject, returned)
    answers = []
    for layer in _depths(subject, tower):
        returned[last] = outputs[block_of(tower.layers[layer])]
        answers.append(subject.adapter.forward(model, subject.batch))
    return answers


def _cut_off(output: Any) -> Any:
    return tuple(_detached(x) for x in output) if isinstance(output, tuple) else _detached(output)


def _explained(
    subject: Subject,
    target: Target,
    maps: Mapping[str, Tensor],
    answers: Mapping[str, Sequence[Output]],
    keep_graph: bool,
) -> Direct:
    total = torch.stack([target.score(answer).sum() for group in answers.values() for answer in group]).sum()
    grads = torch.autograd.grad(total, list(maps.values()), retain_graph=keep_graph, allow_unused=True)
    gradient = {s: torch.zeros_like(a) if g is None else g for (s, a), g in zip(maps.items(), grads, strict=True)}
    tokens = {}
    for tower in subject.towers:
        sites = [tower.layers[i] for i in _depths(subject, tower)]
        rows = [wide(gradient[site]).clamp(min=0).mean(dim=(1, 2)) for site in sites]
        first, last = tower.ranges[tower.modality]
        tokens[tower.modality] = torch.stack(rows).mean(dim=0)[:, first:last]
    return Direct(tokens)
