"""Text classifiers: padding gets nothing, words are named, texts that do not fit are refused."""

from __future__ import annotations

import model_folders
import pytest
import torch
import zoo

from engine import EngineError, UnsupportedModel, explain


@pytest.mark.parametrize("engine", ["stream", "record"])
@pytest.mark.parametrize("name", zoo.TEXTS)
def test_padding_gets_exactly_zero_and_changes_nothing(name, engine):
    model, data = zoo.build(name).double(), zoo.inputs(name)
    padded = explain(model, data, engine=engine)
    for i, length in enumerate(data["attention_mask"].sum(dim=1).tolist()):
        assert (padded.relevancy["text"][i, length:] == 0).all()
        alone = explain(model, {"text": data["text"][i : i + 1, :length]}, engine=engine)
        torch.testing.assert_close(alone.relevancy["text"][0], padded.relevancy["text"][i, :length])
        torch.testing.assert_close(alone.score[0], padded.score[i])
        assert (alone.relevancy["text"][0, 1 : length - 1] > 0).any()


def test_words_are_named_and_unknown_words_are_shown():
    model = zoo.build("hf_bert")
    explanation = explain(model, {"text": ["what zebra", "how very good"]}, tokenizer=model_folders.word_tokenizer())
    assert explanation.tokens == [["", "what", "[UNK]", "", ""], ["", "how", "very", "good", ""]]
    assert explanation.relevancy["text"].shape == (2, 5)
    assert explanation.grid is None
    assert explanation.logits.shape == (2, 5)
    assert torch.equal(explanation.target_index, explanation.logits.argmax(dim=1))


def test_token_types_and_masks_are_optional():
    model, data = zoo.build("hf_roberta"), zoo.inputs("hf_roberta")
    ids = data["text"][:1, :3]
    expected = explain(model, {"input_ids": ids, "attention_mask": torch.ones_like(ids)}).relevancy["text"]
    torch.testing.assert_close(explain(model, ids).relevancy["text"], expected)


def test_the_context_of_roberta_counts_from_its_padding_id():
    from engine.models import find_adapter

    assert find_adapter(zoo.build("hf_bert")).text_limits(zoo.build("hf_bert")) == (40, 12)
    model = zoo.build("hf_roberta")  # 12 positions, of which the padding id 0 takes the first
    assert find_adapter(model).text_limits(model) == (40, 11)
    explain(model, torch.ones(1, 11, dtype=torch.long))
    with pytest.raises(EngineError, match="has 12 tokens, the model reads at most 11"):
        explain(model, torch.ones(1, 12, dtype=torch.long))


def test_a_decoder_is_refused():
    model = zoo.build("hf_bert")
    model.config.is_decoder = True
    with pytest.raises(UnsupportedModel, match="configured as a decoder"):
        explain(model, torch.ones(1, 3, dtype=torch.long))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"picture": 1}, "key 'text'"),
        ({"text": ["how"]}, "no tokenizer"),
        ({"text": torch.full((1, 4), 40)}, "does not belong to this model"),
        ({"text": torch.ones(2, 4).long(), "attention_mask": torch.ones(2, 3)}, "attention mask"),
    ],
)
def test_wrong_texts(data, message):
    with pytest.raises(EngineError, match=message):
        explain(zoo.build("hf_bert"), data)
