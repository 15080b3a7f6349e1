"""The benchmarks of image-text pairs measure what they say: every variant explains the same pairs, equally."""

from __future__ import annotations

import open_clip
import pytest
import torch

from benchmarks import pairs
from engine import LoadedModel


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    torch.manual_seed(0)
    vision = open_clip.CLIPVisionCfg(layers=3, width=24, head_width=8, patch_size=32, image_size=224)
    text = open_clip.CLIPTextCfg(context_length=20, vocab_size=49408, width=24, heads=3, layers=3)
    model = open_clip.model.CLIP(16, vision, text).eval()
    return pairs.wrapped(model, open_clip.SimpleTokenizer(context_length=20))


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))


def assert_same(found: torch.Tensor, expected: torch.Tensor) -> None:
    peak = expected.abs().amax()
    assert peak > 0
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=float(peak) * 1e-5)


@pytest.mark.parametrize(("ours", "authors"), [("ours", "authors"), ("ours_all_layers", "authors_all_layers")])
@pytest.mark.parametrize("picture", [0, 1])
def test_ours_and_the_notebook_give_the_same_maps(
    loaded: LoadedModel, images: torch.Tensor, picture: int, ours: str, authors: str
) -> None:
    variants = pairs.own_variants(loaded, images[[picture]], [pairs.captions(2)[picture]])
    expected = variants[ours]().explanation.relevancy
    seen, read = variants[authors]()
    assert_same(seen, expected["image"])
    words = expected["text"] != 0
    assert words.sum() >= 8  # a caption has ten words
    assert_same(read[words], expected["text"][words])


def test_layers_and_words_make_a_difference(loaded: LoadedModel, images: torch.Tensor) -> None:
    variants = pairs.own_variants(loaded, images, pairs.captions(2))
    last, whole = (variants[name]().explanation.relevancy["image"] for name in ("ours", "ours_all_layers"))
    assert not torch.allclose(last, whole, rtol=0.1)
    assert len(variants["ours_words_3"]().links) == 3 and not variants["ours"]().links
    falls = variants["ours_evidence"]()
    assert all(abs(fall).max() > 0 for fall in (*falls.patches.values(), falls.word))


def test_the_notebook_takes_pairs_one_by_one(loaded: LoadedModel, images: torch.Tensor) -> None:
    variants = pairs.own_variants(loaded, images, pairs.captions(2))
    assert "authors_all_layers" not in variants
    assert_same(variants["authors"]()[0], variants["ours"]().explanation.relevancy["image"])


def test_sharing_changes_no_number(loaded: LoadedModel, images: torch.Tensor) -> None:
    variants = pairs.shared_variants(loaded, images, pairs.captions(6))
    ours = variants["ours"]().explanation.relevancy
    for name in ("ours_unshared", "authors", "authors_shared"):
        seen, read = variants[name]()
        assert_same(seen, ours["image"])
        words = ours["text"] != 0
        assert_same(read[words], ours["text"][words])


def test_variants_leave_the_model_as_it_was(loaded: LoadedModel, images: torch.Tensor) -> None:
    before = {name: value.clone() for name, value in loaded.model.state_dict().items()}
    forwards = [module.forward.__func__ for module in loaded.model.modules()]
    for make in (pairs.own_variants, pairs.shared_variants):
        for work in make(loaded, images, pairs.captions(2)).values():
            work()
    assert all(torch.equal(value, before[name]) for name, value in loaded.model.state_dict().items())
    assert [module.forward.__func__ for module in loaded.model.modules()] == forwards
    assert all(weight.requires_grad and weight.grad is None for weight in loaded.model.parameters())


def test_captions_differ() -> None:
    count = pairs.PICTURES * pairs.CAPTIONS
    assert len(set(pairs.captions(count))) == count >= max(max(sizes) for sizes in pairs.BATCHES.values())


def test_rows_count_pairs() -> None:
    spent = {"forward": lambda: None, "ours": lambda: sum(range(200_000))}
    forward, ours = pairs.measure("tiny", spent, pairs=4, pictures=2, rounds=3)
    assert (ours["variant"], ours["pairs"], ours["pictures"]) == ("ours", 4, 2)
    assert set(pairs.COLUMNS) <= set(ours) and forward["ratio_to_forward"] == 1 < ours["ratio_to_forward"]
    assert ours["pairs_per_s"] == pytest.approx(1000 / ours["ms_per_pair"], rel=0.1)
