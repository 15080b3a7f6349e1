"""ViLT draws its patches in random order: maps are in grid order all the same, repeatable, and draw nothing."""

from __future__ import annotations

import pytest
import torch
import zoo

from engine import EngineError, explain
from engine.models import find_adapter


def test_outputs_equal_the_library_s_own_call():
    model, data = zoo.build("hf_vilt").double(), zoo.inputs("hf_vilt")
    images = data["image"].double() * data["pixel_mask"][:, None]
    expected = model(
        input_ids=data["text"], attention_mask=data["attention_mask"], pixel_values=images,
        pixel_mask=data["pixel_mask"],
    ).logits  # fmt: skip
    torch.testing.assert_close(explain(model, {**data, "image": images}).logits, expected)


def test_the_map_is_in_grid_order():
    """Only the patches that are changed by an edit of one cell's pixels change their embedding's place."""
    model, data = zoo.build("hf_vilt").double(), zoo.inputs("hf_vilt", batch=1)
    adapter = find_adapter(model)
    from engine.models.vilt import _ordered_patches

    batch = adapter.prepare(model, data, None)
    before, _ = _ordered_patches(model, batch)
    batch["image"] = batch["image"].clone()
    batch["image"][0, :, 8:16, 16:24] += 1  # row 1, column 2 of a grid of 4 x 4
    after, _ = _ordered_patches(model, batch)
    changed = (before != after).any(dim=-1)[0].nonzero().flatten().tolist()
    assert changed == [1 + 1 * 4 + 2]


@pytest.mark.parametrize("engine", ["stream", "record"])
def test_padding_gets_exactly_zero_and_changes_nothing(engine):
    model, data = zoo.build("hf_vilt").double(), zoo.inputs("hf_vilt")
    padded = explain(model, data, engine=engine)
    assert padded.grid == (4, 4)
    assert padded.grids.tolist() == [[4, 4], [3, 2], [4, 4]]
    cells = padded.relevancy["image"][1].reshape(4, 4)
    assert (cells[3:] == 0).all() and (cells[:, 2:] == 0).all() and (cells[:3, :2] > 0).any()
    length = int(data["attention_mask"][1].sum())
    alone = explain(
        model, {"image": data["image"][1:2, :, :24, :16], "text": data["text"][1:2, :length]}, engine=engine
    )
    assert alone.grid == (3, 2)
    torch.testing.assert_close(alone.relevancy["image"][0].reshape(3, 2), cells[:3, :2])
    torch.testing.assert_close(alone.relevancy["text"][0], padded.relevancy["text"][1, :length])
    assert (padded.relevancy["text"][1, length:] == 0).all()


def test_repeatable_without_touching_the_global_random_numbers():
    model, data = zoo.build("hf_vilt"), zoo.inputs("hf_vilt")
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = explain(model, data)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    second = explain(model, data)
    assert torch.equal(first.relevancy["image"], second.relevancy["image"])
    assert torch.equal(first.logits, second.logits)


def test_what_cannot_be_explained_is_said():
    model, data = zoo.build("hf_vilt"), zoo.inputs("hf_vilt")
    with pytest.raises(EngineError, match=r"pixel mask .* does not fit the images"):
        explain(model, {**data, "pixel_mask": torch.ones(3, 16, 16)})
    with pytest.raises(EngineError, match="a picture without pixels"):
        explain(model, {**data, "pixel_mask": torch.zeros(3, 32, 32)})
    with pytest.raises(EngineError, match="3 images but 1 texts"):
        explain(model, {"image": data["image"], "text": data["text"][:1]})
    model.config.max_image_length = 9
    with pytest.raises(EngineError, match="a picture of 16 patches: this ViLT keeps a random 9 of them"):
        explain(model, data)
