"""The padding of causal texts is left out of the pass: cheaper, and the same answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import zoo
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg, CustomTextCLIP
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, MetaClip2Config, MetaClip2Model

from engine import explain
from engine.models import find_adapter
from engine.models.pairs import LENGTH, STEP
from engine.models.side import TextSide

CONTEXT, END = 40, 39
TEXT, HF_TEXT = zoo.TEXT | {"context_length": CONTEXT}, zoo.HF_TEXT | {"max_position_embeddings": CONTEXT}


def open_clip_of(**text: Any) -> nn.Module:
    return CLIP(16, CLIPVisionCfg(**zoo.VISION), CLIPTextCfg(**TEXT, **text))


def custom_of(**text: Any) -> nn.Module:
    return CustomTextCLIP(16, CLIPVisionCfg(**zoo.VISION), CLIPTextCfg(**TEXT, **text))


def hugging_face(model: Any, config: Any, **text: Any) -> nn.Module:
    return model(config(text_config=HF_TEXT | text, vision_config=zoo.HF_VISION, projection_dim=16))


CAUSAL: dict[str, Callable[[], nn.Module]] = {
    "open_clip": open_clip_of,
    "open_clip, first end token": lambda: open_clip_of(pool_type="eos", eos_id=END),
    "open_clip, a text tower of its own": custom_of,
    "hf_clip": lambda: hugging_face(CLIPModel, CLIPConfig),
    "hf_clip, legacy end token": lambda: hugging_face(CLIPModel, CLIPConfig, eos_token_id=2),
    "hf_metaclip2": lambda: hugging_face(MetaClip2Model, MetaClip2Config),
}
WHOLE = {
    "reads all tokens": lambda: custom_of(no_causal_mask=True),
    "reads the last token": lambda: custom_of(pool_type="last"),
}


def built(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    model = make().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() >= 2:
                parameter.add_(torch.randn_like(parameter) * 0.15)
    return model


def pairs(*ends: int) -> dict[str, Tensor]:
    """Pictures with texts whose end token stands there; what follows it is no padding, to be seen if it is read."""
    generator = torch.Generator().manual_seed(1)
    texts = torch.randint(3, 38, (len(ends), CONTEXT), generator=generator)
    for text, end in zip(texts, ends, strict=True):
        text[0], text[end] = 38, END
    return {"image": torch.randn(len(ends), 3, 32, 32, generator=generator), "text": texts}


def widths(model: nn.Module, work: Callable[[], object]) -> set[int]:
    """Tokens in the states that the last block of the text tower has seen."""
    adapter: Any = find_adapter(model)
    seen: set[int] = set()
    last = model.get_submodule(adapter.text_tower(model, pairs(5)).states)
    handle = last.register_forward_hook(lambda _, given, out: seen.add(given[0].shape[1]))
    try:
        work()
    finally:
        handle.remove()
    return seen


@pytest.mark.parametrize("engine", ["stream", "record"])
@pytest.mark.parametrize("method", ["gae", "rollout", "raw_attention", "grad_cam"])
@pytest.mark.parametrize("name", CAUSAL)
def test_the_answer_is_that_of_all_tokens(name: str, method: str, engine: str) -> None:
    model, given = built(CAUSAL[name]).double(), pairs(4, 17, 1)
    given["image"] = given["image"].double()
    whole = explain(model, given, method=method, engine="record", start_layer=0, keep_matrices=True)
    assert widths(model, lambda: explain(model, given, method=method, keep_matrices=True)) == {CONTEXT}
    found: list[Any] = []
    seen = widths(model, lambda: found.append(explain(model, given, method=method, engine=engine, start_layer=0)))
    assert seen == {24}
    for modality, wanted in whole.relevancy.items():
        assert found[0].relevancy[modality].shape == wanted.shape
        near = {"rtol": 1e-7, "atol": 1e-10, "equal_nan": True}  # grad_cam has none where all is one value
        torch.testing.assert_close(found[0].relevancy[modality], wanted, **near)
        torch.testing.assert_close(found[0].features[modality], whole.features[modality], **near)
    torch.testing.assert_close(found[0].score, whole.score)
    assert found[0].relevancy["text"][1].count_nonzero() > 3
    assert not found[0].relevancy["text"][:, 24:].any()


@pytest.mark.parametrize("name", CAUSAL)
def test_texts_alone_are_shortened_too(name: str) -> None:
    model, given = built(CAUSAL[name]), pairs(4, 17, 1)
    adapter: Any = find_adapter(model)
    batch = TextSide(adapter).shortened(model, {"text": given["text"]})
    with torch.no_grad():
        torch.testing.assert_close(adapter.embed_texts(model, batch), adapter.embed_texts(model, given))
        assert widths(model, lambda: adapter.embed_texts(model, batch)) == {24}
    long = pairs(CONTEXT - 1)
    assert adapter.shortened(model, long) is long


@pytest.mark.parametrize(("end", "length"), [(0, 8), (6, 8), (7, 8), (8, 16), (31, 32), (32, None), (39, None)])
def test_lengths_are_whole_steps(end: int, length: int | None) -> None:
    model = built(CAUSAL["open_clip"])
    found = find_adapter(model).shortened(model, pairs(end)).get(LENGTH)
    assert (None if found is None else int(found)) == length and STEP == 8


@pytest.mark.parametrize("name", WHOLE)
def test_other_text_towers_see_all_tokens(name: str) -> None:
    model, given = built(WHOLE[name]), pairs(4, 17, 1)
    assert LENGTH not in find_adapter(model).shortened(model, given)
    assert widths(model, lambda: explain(model, given)) == {CONTEXT}


def test_methods_with_a_way_of_their_own_see_all_tokens() -> None:
    model, given = built(CAUSAL["hf_clip"]), pairs(4, 17, 1)
    for method in ("legrad", "partial_lrp"):
        assert widths(model, lambda method=method: explain(model, given, method=method)) == {CONTEXT}  # type: ignore[misc]
