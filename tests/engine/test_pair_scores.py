"""What is explained is the score: finite differences with respect to the attention, on models that run without the
engine, give the same maps; for the change of the score without a word too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import oracles
import pytest
import torch
import torch.nn.functional as F
import zoo
from model_folders import WORDS, fast_tokenizer
from torch import Tensor

from engine.capture.record import RecordCapture
from engine.pairs import explain_pairs
from engine.request import Request
from engine.targets import as_target


def pictures() -> Tensor:
    images = zoo.inputs("open_clip")["image"].double()
    return torch.cat([images, 0.7 * images[:1].flip(-1)])


@contextmanager
def written_out(nudge: Callable[[int, Tensor], Tensor]) -> Iterator[None]:
    """Attention as softmax(QK^T) V, with ``nudge(call, A)`` in place of A."""
    fused, calls = F.scaled_dot_product_attention, iter(range(1000))
    fast = torch.backends.mha.get_fastpath_enabled()

    def plain(q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, **_):
        scores = q @ k.transpose(-2, -1) * (q.shape[-1] ** -0.5 if scale is None else scale)
        if is_causal:
            scores = scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), float("-inf"))
        if attn_mask is not None:
            unseen = attn_mask.dtype == torch.bool
            scores = scores.masked_fill(~attn_mask, float("-inf")) if unseen else scores + attn_mask
        return nudge(next(calls), scores.softmax(dim=-1)) @ v

    F.scaled_dot_product_attention = plain
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        F.scaled_dot_product_attention = fused
        torch.backends.mha.set_fastpath_enabled(fast)


@torch.no_grad()
def attention_of(encode: Callable[[Tensor], Tensor], data: Tensor) -> list[Tensor]:
    """Attention matrices A [H, s, t] of one sample [1, ...], in the order of the calls."""
    seen: list[Tensor] = []

    def look(call: int, a: Tensor) -> Tensor:
        seen.append(a[0].clone())
        return a

    with written_out(look):
        encode(data)
    return seen


@torch.no_grad()
def differences(
    encode: Callable[[Tensor], Tensor],
    data: Tensor,
    score: Callable[[Tensor], Tensor],
    first: int = 0,
    eps: float = 1e-5,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """A [H, s, t] of every attention call from ``first`` on, and (score(A + eps E) - score(A - eps E)) / (2 eps) of
    every entry.

    One sample [1, ...]; the nudged copies of an attention call share a batch. ``score`` takes unit vectors [n, D].
    """
    found = []
    for site, attention in list(enumerate(attention_of(encode, data)))[first:]:
        shifts = torch.eye(attention.numel(), dtype=attention.dtype).reshape(-1, *attention.shape) * eps

        def nudge(call: int, a: Tensor, site: int = site, shifts: Tensor = shifts) -> Tensor:
            return a + torch.cat([shifts, -shifts]) if call == site else a

        with written_out(nudge):
            up, down = score(encode(data.expand(2 * len(shifts), *data.shape[1:]))).chunk(2)
        found.append((attention.numpy(), ((up - down) / (2 * eps)).reshape(attention.shape).numpy()))
    return found


class Plain:
    """A model's own encoders, and its scores written out; nothing of the engine. ``model`` is its equal."""

    def __init__(self, name: str, seed: int = 0) -> None:
        self.model, self.own = (zoo.build(name, seed).double() for _ in range(2))
        self.hf = name.startswith("hf")
        self.pooled = name == "hf_siglip" or name == "open_clip_siglip"
        if name == "hf_siglip":  # asked for its weights, the pool would not call what is written out above
            pool = self.own.vision_model.head.attention
            pool.forward = partial(pool.forward, need_weights=False)

    def images(self, data: Tensor) -> Tensor:
        """Unit vectors [n, D]."""
        if not self.hf:
            return self.own.encode_image(data, normalize=True)
        vectors = self.own.get_image_features(pixel_values=data).pooler_output
        return vectors / vectors.norm(dim=-1, keepdim=True)

    def texts(self, ids: Tensor) -> Tensor:
        """Unit vectors [n, D]."""
        if not self.hf:
            return self.own.encode_text(ids, normalize=True)
        vectors = self.own.get_text_features(input_ids=ids).pooler_output
        return vectors / vectors.norm(dim=-1, keepdim=True)

    def measure(self, target: str) -> Callable[[Tensor], Tensor]:
        """From cosines to scores."""
        if target == "clip-score":
            return lambda cosine: 2.5 * cosine.clamp(min=0)
        bias = getattr(self.own, "logit_bias", None)
        return lambda cosine: self.own.logit_scale.exp() * cosine + (0 if bias is None else bias)

    def ids(self, text: str) -> Tensor:
        """Start token, one id per word, end token, padding: [1, 9]."""
        inside = [WORDS.index(word) for word in text.split()]
        return torch.tensor([[38, *inside, 39, *[0] * (7 - len(inside))]])


def row_of(maps: list[tuple[np.ndarray, np.ndarray]], start_layer: int, read: int, pooled: bool) -> np.ndarray:
    """GAE's row of the token that is read, from A and dA alone: eq. 5 to 7; the pool reads the last layer's tokens."""
    layers = maps[:-1] if pooled else maps
    matrix = oracles.gae_matrix(layers[start_layer:])
    if pooled:
        return oracles.abar(*maps[-1])[0] @ matrix
    return matrix[read] - np.eye(len(matrix))[read]


def near(actual: Tensor, expected: np.ndarray, tolerance: float = 1e-5) -> None:
    assert np.abs(expected).max() > 0
    assert np.abs(actual.numpy() - expected).max() / np.abs(expected).max() < tolerance


CASES = [("open_clip", 1), ("open_clip_custom_avg", 0), ("open_clip_siglip", 0), ("hf_clip", 0), ("hf_siglip", 0)]
SHORT = ["two tree", "a blue boat"]


@pytest.mark.parametrize("target", ["clip-logit", "clip-score"])
@pytest.mark.parametrize(("name", "seed"), [c for c in CASES if c[0] in ("open_clip", "hf_clip", "hf_siglip")])
def test_the_map_is_that_of_finite_differences_of_the_score(name: str, seed: int, target: str) -> None:
    """From differences alone: the last block's read-out row, and the product over all blocks, of both towers."""
    plain = Plain(name, seed)
    images, pairs = pictures(), torch.tensor([[0, 0], [3, 0], [0, 1], [3, 1]])
    measure = plain.measure(target)
    ids = [plain.ids(text) for text in SHORT]
    with torch.no_grad():
        seen, read = plain.images(images), torch.cat([plain.texts(one) for one in ids])
    found = {
        start: explain_pairs(
            plain.model, images, SHORT, pairs, target=target, start_layer=start, tokenizer=fast_tokenizer(40)
        ).explanation
        for start in (0, -1)
    }
    positive = 0
    for row, (i, j) in enumerate(pairs.tolist()):
        cosine = seen[i] @ read[j]
        np.testing.assert_allclose(float(found[0].score[row]), float(measure(cosine).detach()), rtol=1e-12)
        if target == "clip-score" and cosine < 0:
            assert not found[0].relevancy["image"][row].any() and not found[0].relevancy["text"][row].any()
            continue
        positive += 1
        of_image = differences(plain.images, images[i : i + 1], lambda v, j=j: measure(v @ read[j]))
        of_text = differences(plain.texts, ids[j], lambda v, i=i: measure(v @ seen[i]))
        assert len(of_text) == 2 and len(of_image) == (4 if plain.pooled else 3)
        end = 8 if name == "hf_siglip" else ids[j][0].tolist().index(39)
        words = len(SHORT[j].split())
        for start in (0, -1):
            image = row_of(of_image, start, 0, plain.pooled)
            near(found[start].relevancy["image"][row], image if plain.pooled else image[1:])
            text = row_of(of_text, start, end, False)
            near(found[start].relevancy["text"][row, 1 : 1 + words], text[1 : 1 + words])
    assert positive >= 2


@pytest.mark.parametrize(("name", "seed"), CASES)
def test_the_recorded_gradients_are_finite_differences_of_the_score(name: str, seed: int) -> None:
    """Every entry of every head of every block, the signs included."""
    plain, text = Plain(name, seed), SHORT[0]
    images, ids = pictures()[:1], plain.ids(text)
    if float((plain.images(images) @ plain.texts(ids).T).detach()) < 0:
        ids = plain.ids(SHORT[1])
    given = {"image": images, "text": ids}
    request = Request.make(plain.model, given, "gae", 0, None, "record", True, "authors", 0)  # matrices: of all tokens
    for target in ("clip-logit", "clip-score"):
        capture, measure = RecordCapture(frozenset(request.reading.explained)), plain.measure(target)
        with request.scope(), torch.enable_grad():
            output, _ = request.forward(capture)
            score = as_target(target, True).score(output)
            gradients = capture.gradients(score, keep_graph=False)
        with torch.no_grad():
            seen, read = plain.images(images)[0], plain.texts(ids)[0]
        assert float(score) == pytest.approx(float(measure(seen @ read)), rel=1e-12) and float(score) != 0
        nudged = [
            *differences(plain.images, images, lambda v, m=measure, r=read: m(v @ r)),
            *differences(plain.texts, ids, lambda v, m=measure, s=seen: m(v @ s)),
        ]
        sites = sorted(gradients, key=list(capture.attention).index)
        assert len(sites) == len(nudged)
        for site, (attention, slopes) in zip(sites, nudged, strict=True):
            np.testing.assert_allclose(capture.attention[site][0].detach().numpy(), attention, atol=1e-12)
            near(gradients[site][0], slopes, 1e-6)


@pytest.mark.parametrize("target", ["clip-logit", "clip-score"])
@pytest.mark.parametrize(("name", "seed"), [("open_clip", 1), ("hf_siglip", 0)])
def test_links_are_the_change_of_the_score_without_the_word(name: str, seed: int, target: str) -> None:
    """Map and score of "word-k", from finite differences of score(picture, text) - score(picture, text without it)."""
    plain, images, last = Plain(name, seed), pictures(), 2
    texts, pairs = ["two blue tree", "a boat on a boat"], torch.tensor([[0, 0], [3, 0], [0, 1], [3, 1]])
    found = explain_pairs(
        plain.model, images, texts, pairs, target=target, start_layer=-1, words=2, tokenizer=fast_tokenizer(40)
    )
    measure, told = plain.measure(target), 0
    assert [link.target for link in found.links] == ["word-1", "word-2"]
    for row, (i, j) in enumerate(pairs.tolist()):
        words = texts[j].split()
        strengths = found.explanation.relevancy["text"][row, 1 : 1 + len(words)]
        order = strengths.argsort(descending=True, stable=True).tolist()
        for k, link in enumerate(found.links):
            assert link.kept[row] and found.link_words[k][row] == order[k]
            shorter = " ".join(words[: order[k]] + words[order[k] + 1 :])
            with torch.no_grad():
                whole, rest = (plain.texts(plain.ids(text))[0] for text in (texts[j], shorter))
                change = measure(plain.images(images[i : i + 1]) @ whole) - measure(
                    plain.images(images[i : i + 1]) @ rest
                )
            assert float(link.score[row]) == pytest.approx(float(change), rel=1e-9, abs=1e-12)
            slopes = differences(
                plain.images, images[i : i + 1], lambda v, w=whole, r=rest: measure(v @ w) - measure(v @ r), last
            )
            expected = row_of(slopes, 0, 0, plain.pooled)
            expected = expected if plain.pooled else expected[1:]
            if not expected.any():  # neither text fits: both scores are clamped
                assert target == "clip-score" and not link.relevancy["image"][row].any()
                continue
            near(link.relevancy["image"][row], expected)
            told += 1
    assert told >= 3
