"""Words of texts: found in any language, grouped from the pieces of every kind of tokenizer, kept in their place."""

from __future__ import annotations

import html
import random
import string
import time
import unicodedata
from functools import cache
from itertools import pairwise

import ftfy
import model_folders
import numpy as np
import open_clip
import oracles
import pytest
import torch
import zoo
import zoo_streams
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertTokenizer, ByT5Tokenizer, CanineTokenizer, CLIPTokenizer, PreTrainedTokenizerFast
from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

from engine import EngineError, explain, word_relevancy, word_spans, words_of
from engine.models.tokens import TextTokenizer, as_tokenizer

ASTRONAUT, THUMB, FLAG, KEYCAP, HEART = "👩\u200d🚀", "👍🏽", "🇩🇪", "1\ufe0f\u20e3", "❤\ufe0f"
ENGLAND = "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
NASTY = [
    "a photo of a dog's t-shirt, don't!",
    "",
    " \t\n ",
    "?!... --",
    f"I {HEART} {FLAG}🇫🇷{KEYCAP} {ASTRONAUT}{THUMB} it{ENGLAND}",
    "cafe\u0301 nai\u0308ve Vie\u0323\u0302t Nam",
    "café naïve Việt Nam",
    "\u1112\u1161\u11ab\u1100\u116e\u11a8\u110b\u1165 x 한국어",
    "我爱北京天安门。你好，世界",
    "コーヒーを飲む 東京タワー",
    "مرحبا بالعالم می\u200cخواهم",
    "สวัสดีชาวโลก ดี",
    "नमस्ते दुनिया",
    "Tom &amp; Jerry caf&eacute; &lt;b&gt;bold&lt;/b&gt; &amp;amp; x",
    "donâ€™t say â€œhelloâ€\x9d schÃ¶n ðŸ˜Š ok",
    "tab\tnew\n\nline\r\n  end  ",
    "ﬁsh İstanbul ＡＢＣ Straße ΣΑΣ",
    "©2020 Foo™ • a→b $5 3.14 50% ½",
    "snow_man L\u200bx so\u00adft a\u200d👩",
    "<start_of_text> [CLS] hi </s>",
    "a" * 300,
    "A man, in a t-shirt &amp; “quotes” " * 60,
    " ".join(f"word{k}" for k in range(500)),
    "北京" * 200,
]
LETTERS = sorted({c for text in NASTY for c in text.casefold() + text if c.isalnum() and ord(c) < 0x3000})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a dog's t-shirt, don’t -- 'no'!", ["a", "dog's", "t-shirt", "don’t", "no"]),
        (f"I{HEART}{FLAG}🇫🇷 {ASTRONAUT}{THUMB}!", ["I", HEART, FLAG, "🇫🇷", ASTRONAUT, THUMB]),
        (f"{KEYCAP}2{KEYCAP} {ENGLAND}😀😀", [KEYCAP, "2", KEYCAP, ENGLAND, "😀", "😀"]),
        ("👨‍👩‍👧‍👦🧑🏽‍💻", ["👨‍👩‍👧‍👦", "🧑🏽‍💻"]),
        ("cafe\u0301 Việt", ["cafe\u0301", "Việt"]),
        ("我爱 t恤。", ["我", "爱", "t", "恤"]),
        ("が飲む", ["が", "飲", "む"]),
        ("か\u3099", ["か\u3099"]),
        ("สวัสดีชาวโลก ดี", ["สวัสดีชาวโลก", "ดี"]),
        ("می\u200cخواهم، كتاب", ["می\u200cخواهم", "كتاب"]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("한국어 책", ["한국어", "책"]),
        ("snow_man 3.14 Foo™ ©2020 → •", ["snow_man", "3", "14", "Foo", "2020"]),
        ("?!... -- \n", []),
        ("\u0301\u200d\ufe0f", []),
        ("", []),
    ],
)
def test_words_of_any_language(text, words):
    assert [text[first:last] for first, last in word_spans(text)] == words


def test_grouping_is_that_of_the_plain_writing():
    draw = random.Random(0)
    for _ in range(600):
        text = "".join(draw.choices("ab 我-'😀. ", k=draw.randint(0, 14)))
        cuts = sorted(draw.choices(range(len(text) + 1), k=draw.randint(2, 8)))
        pieces = [*pairwise(cuts)] + [(0, 0)] * draw.randint(0, 2)
        pieces += [(min(pair), max(pair)) for pair in [draw.choices(range(len(text) + 1), k=2)] if draw.random() < 0.3]
        draw.shuffle(pieces)
        words = words_of(text, pieces, 5, draw.choice([4, 5]))
        expected, owners = oracles.grouped(word_spans(text), pieces)
        assert [set(range(*span)) for span in words.spans] == expected, (text, pieces)
        assert list(words.of_piece) == owners, (text, pieces)


def test_cut_words_stay_whole_and_unread_words_are_left_out():
    text = "sun flower garden"
    words = words_of(text, [(0, 0), (0, 3), (4, 6), (0, 0)], 7, 4)
    assert words.texts(text) == ["sun", "flower"]
    assert (words.of_piece, words.needed, words.cut) == ((-1, 0, 1, -1), 7, True)
    assert not words_of(text, [(0, 3)], 4, 4).cut


def test_values_are_summed_per_word():
    words = words_of("我们 go", [(0, 0), (0, 2), (3, 4), (4, 5), (0, 0)], 5, 9)
    values = np.array([9, 1, 2, 4, 9], np.float32)
    sums = word_relevancy(values, words)
    assert sums.dtype == np.float32
    assert sums.tolist() == [1, 6]
    same = word_relevancy(torch.tensor(values, dtype=torch.float64), words)
    assert same.dtype == torch.float64
    assert same.tolist() == [1, 6]
    assert word_relevancy(np.zeros(0), words_of("", [], 2, 9)).shape == (0,)
    with pytest.raises(EngineError, match=r"5 tokens, the values have the shape \(4,\)"):
        word_relevancy(values[:4], words)


def fast(model, before, after=None, normalizer=None, decoder=None, **options):
    """A fast tokenizer with <s> and </s> around the pieces; their ids are 1 and 2."""
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = before
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.post_processor = after or processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        model_max_length=40, **options,
    )  # fmt: skip


SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"]


def byte_level(**options):
    """Like RoBERTa: bytes and a few merges, the blank being part of the piece."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("Ġ", "a"), ("o", "n"), ("d", "on"), ("Ð", "¼"), ("ð", "Ł"), ("ðŁ", "ĺ"), ("Ã", "©")]
    pieces = [*SPECIAL, *alphabet, *(a + b for a, b in merges)]
    model = models.BPE({piece: i for i, piece in enumerate(pieces)}, merges)
    return fast(model, pre_tokenizers.ByteLevel(add_prefix_space=True), **options)


def metaspace(**options):
    """Like SentencePiece: pieces of several words and of several Chinese characters, single bytes for the rest."""
    pieces = [*SPECIAL, "▁", "▁a", "▁photo▁of", "▁dog", "北京", "天安门", "▁caf", "é", *string.ascii_letters, *"'-.,!?"]
    pieces += [f"<0x{byte:02X}>" for byte in range(256)]
    model = models.Unigram([(piece, -1.0 * (4 if len(piece) == 1 else 2)) for piece in pieces], 3, byte_fallback=True)
    return fast(
        model,
        pre_tokenizers.Metaspace(split=False),
        normalizer=normalizers.NFKC(),
        **options,
    )


WORD_PIECES = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "photo", "of", "dog", *LETTERS, *("##" + c for c in LETTERS),
    "'", "-", ".", ",", "&", ";", "北", "京",
]  # fmt: skip
WORD_PIECES = list(dict.fromkeys(WORD_PIECES))


def clip_fast():
    """CLIP of transformers with the vocabulary of open_clip's tokenizer."""
    own = open_clip.get_tokenizer("ViT-B-32")
    names = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {names.get(piece, piece): i for piece, i in own.encoder.items()}
    return CLIPTokenizer(vocab=vocabulary, merges=list(own.bpe_ranks), model_max_length=77)


def slow_bert(folder):
    (folder / "vocab.txt").write_text("\n".join(WORD_PIECES))
    return BertTokenizerLegacy(str(folder / "vocab.txt"), model_max_length=40)


def wrapped(folder, inner, **options):
    inner.save_pretrained(folder)
    return HFTokenizer(str(folder), context_length=20, **options)


def bert(limit=40):
    return BertTokenizer(vocab={piece: i for i, piece in enumerate(WORD_PIECES)}, model_max_length=limit)


TOKENIZERS = {
    "open_clip": lambda folder: open_clip.get_tokenizer("ViT-B-32"),
    "open_clip, case kept": lambda folder: SimpleTokenizer(clean="whitespace", context_length=32),
    "open_clip, no punctuation": lambda folder: SimpleTokenizer(clean="canonicalize"),
    "CLIP": lambda folder: clip_fast(),
    "bytes": lambda folder: byte_level(),
    "bytes, padded left": lambda folder: byte_level(padding_side="left"),
    "unigram": lambda folder: metaspace(),
    "letters": lambda folder: model_folders.siglip2_tokenizer(),
    "WordPiece": lambda folder: bert(),
    "wrapper": lambda folder: wrapped(folder, metaspace()),
    "wrapper, no punctuation": lambda folder: wrapped(folder, byte_level(), clean="canonicalize"),
    "wrapper, clips": lambda folder: wrapped(folder, byte_level(cls_token="<pad>"), tokenizer_mode="clips"),
    "slow WordPiece": slow_bert,
    "slow wrapper": lambda folder: _around(slow_bert(folder), 20),
    "slow bytes": lambda folder: ByT5Tokenizer(extra_ids=0, model_max_length=40),
    "slow characters": lambda folder: CanineTokenizer(model_max_length=60),
}


def _around(inner, context):
    """open_clip's wrapper around a tokenizer that it would not load by itself: its class is a Python one."""
    wrapper = HFTokenizer.__new__(HFTokenizer)
    wrapper.tokenizer, wrapper.context_length, wrapper.tokenizer_mode = inner, context, ""
    wrapper.clean_fn, wrapper.strip_sep_token = open_clip.tokenizer.get_clean_fn("whitespace"), False
    return wrapper


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    @cache
    def made(name) -> TextTokenizer:
        return as_tokenizer(TOKENIZERS[name](tmp_path_factory.mktemp("tokenizer")))

    return made


def letters(text):
    """Letters and digits, without case and accents; what is no whole character is left out."""
    return "".join(c for c in unicodedata.normalize("NFD", text).casefold() if c.isalnum())


def mended(text):
    return html.unescape(html.unescape(ftfy.fix_text(text)))


BYTES = {"CLIP", "bytes", "bytes, padded left", "wrapper, no punctuation", "wrapper, clips", "slow bytes"}
"""Tokenizers whose pieces are bytes that are written as other letters."""


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("text", NASTY, ids=[ascii(text)[:30] for text in NASTY])
def test_every_piece_lies_in_a_word(tokenizers, name, text):
    tokenizer = tokenizers(name)
    ids = tokenizer([text])[0]
    special = tokenizer.is_special(ids).tolist()
    spans = tokenizer.spans(text)
    assert len(spans) == len(ids) == tokenizer.context
    words = tokenizer.words(text, [not one for one in special])
    assert len(words.of_piece) == len(ids)

    ends = [0, *(last for _, last in words.spans)]
    assert all(end <= first < last for end, (first, last) in zip(ends, words.spans, strict=False))
    assert all(any(c.isalnum() or ord(c) > 0x2000 for c in word) for word in words.texts(text))
    assert set(words.of_piece) - {-1} == set(range(len(words.spans)))

    for i, hidden, (first, last), owner in zip(ids.tolist(), special, spans, words.of_piece, strict=True):
        if hidden:
            assert (first, last, owner) == (0, 0, -1)
            continue
        assert text[first:last] == text[first:last].strip()
        read = mended if tokenizer.clean else str
        piece, source = tokenizer.piece(i), letters(read(text[first:last]))
        coded = name in BYTES or piece.startswith(("[UNK", "<unk", "<0x"))
        if not source or not (coded or letters(piece)):
            continue
        assert owner >= 0, (piece, text[first:last])
        start, end = words.spans[owner]
        assert source == letters(read(text[max(first, start) : min(last, end)])), (piece, text[start:end])
        if not coded:
            written = [text[start:end], read(text[start:end]), unicodedata.normalize("NFKC", text[start:end])]
            assert any(letters(piece) in letters(word) for word in written), (piece, text[start:end])


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("text", NASTY, ids=[ascii(text)[:30] for text in NASTY])
def test_cut_says_that_tokens_were_left_out(tokenizers, name, text):
    tokenizer = tokenizers(name)
    words = tokenizer.words(text, [True] * tokenizer.context)
    assert words.cut == tokenizer.truncated([text])[0] == (words.needed > tokenizer.context)
    read = int((~tokenizer.is_special(tokenizer([text])[0])).sum())
    assert read <= words.needed
    if not words.cut:
        assert len(tokenizer.places(text)) == words.needed - (name == "wrapper, clips")  # class token after the padding


@pytest.mark.parametrize("name", ["bytes", "bytes, padded left", "unigram", "WordPiece", "slow WordPiece"])
def test_padded_texts_have_the_same_places(tokenizers, name):
    tokenizer, texts = tokenizers(name), ["a dog", "a photo of a dog's t-shirt"]
    ids, mask = tokenizer.padded(texts)
    for text, row, real in zip(texts, ids.tolist(), mask.bool().tolist(), strict=True):
        spans, whole = tokenizer.spans(text, len(row)), tokenizer.spans(text)
        read = [span for span, i in zip(whole, tokenizer([text])[0].tolist(), strict=True) if i != 0]  # 0: padding
        assert [span for span, there in zip(spans, real, strict=True) if there] == read
        assert all(span == (0, 0) for span, there in zip(spans, real, strict=True) if not there)
        words = tokenizer.words(text, [True] * len(row), len(row))
        assert words.texts(text)[-1] in ("dog", "t-shirt")


def test_words_as_they_are_written_not_as_they_are_read(tokenizers):
    def words(name, text):
        tokenizer = tokenizers(name)
        return tokenizer.words(text, [True] * tokenizer.context).texts(text)

    text = "Tom &amp; Jerry caf&eacute; donâ€™t &lt;b&gt; ðŸ˜Š SchÃ¶n"
    assert words("open_clip", text) == ["Tom", "Jerry", "caf&eacute;", "donâ€™t", "b", "ðŸ˜Š", "SchÃ¶n"]
    assert words("open_clip", f"Vie\u0323\u0302t\n{ASTRONAUT}{THUMB}") == ["Vie\u0323\u0302t", ASTRONAUT, THUMB]
    assert words("open_clip, no punctuation", "Don't, t-shirt!") == ["Don't", "t-shirt"]
    assert words("unigram", "北京天安门好") == ["北京", "天安门", "好"]
    assert words("unigram", "a photo of a") == ["a", "photo of", "a"]
    assert words("WordPiece", "Café 北京 ქართული dog") == ["Café", "北", "京", "ქართული", "dog"]
    assert words("slow WordPiece", "Café 北京 ქართული ენა dog") == ["Café", "北", "京", "ქართული", "ენა", "dog"]
    assert words("slow WordPiece", "a_t x ™") == ["a_t", "x"]
    assert words("slow characters", "ｶﾞ x") == ["ｶ", "ﾞ", "x"]
    assert words("slow WordPiece", "ქაaრ a photo") == ["ქაaრ", "a", "photo"]


def test_the_same_vocabulary_gives_the_same_words(tokenizers):
    one, other = tokenizers("open_clip"), tokenizers("CLIP")
    for text in NASTY:
        if mended(text) == text and "<" not in text:
            shown = [not s for s in one.is_special(one([text])[0]).tolist()]
            same = [not s for s in other.is_special(other([text])[0]).tolist()]
            assert one.words(text, shown).spans == other.words(text, same).spans, text


def test_a_long_caption_with_entities_is_quick(tokenizers):
    text = " ".join(f"caf&eacute;{k} “x{k % 7}” &amp; y" for k in range(300))
    start = time.process_time()  # of this process alone, whoever else uses the cores
    tokenizers("open_clip").places(text)
    tokenizers("open_clip").places("&amp;" + "ab" * 20_000)
    assert time.process_time() - start < 2


TEXT_WORDS = ["a", "red", "boat", "on", "the", "sea"]


@pytest.mark.parametrize("name", [*zoo.PAIRS, *zoo.JOINT, *zoo.RELATED, *zoo.TEXTS, "visual_bert", "lxmert"])
def test_words_of_every_family_fit_the_columns(name):
    texts = ["a red boat", "on the sea, the boat", "?"]
    pair = name in zoo.PAIRS
    own = model_folders.fast_tokenizer(40) if pair else model_folders.word_tokenizer(words=[*WORDS_OF_BERT], limit=12)
    if name in zoo_streams.BUILDERS:
        model, data = zoo_streams.build(name), dict(zoo_streams.questions())
        data.pop("attention_mask")
    else:
        model, data = zoo.build(name), zoo.inputs(name)
        data = {key: value for key, value in data.items() if key not in ("attention_mask", "pixel_mask")}
    explanation = explain(model, {**data, "text": texts}, tokenizer=own)
    tokens, words, relevancy = explanation.tokens, explanation.words, explanation.relevancy["text"]
    assert [one.texts(text) for one, text in zip(words, texts, strict=True)] == [
        ["a", "red", "boat"], ["on", "the", "sea", "the", "boat"], []
    ]  # fmt: skip
    for text, one, pieces, row in zip(texts, words, tokens, relevancy, strict=True):
        assert len(one.of_piece) == len(pieces) == len(row)
        for piece, owner in zip(pieces, one.of_piece, strict=True):
            assert (owner >= 0) == piece.isalpha(), piece
            assert owner < 0 or one.texts(text)[owner] == piece
        assert not one.cut
        shown = [value for value, owner in zip(row.tolist(), one.of_piece, strict=True) if owner >= 0]
        torch.testing.assert_close(word_relevancy(row, one).tolist(), shown)
    assert relevancy[1].abs().sum() > 0


WORDS_OF_BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *TEXT_WORDS, ",", "?"]


def test_a_text_that_does_not_fit_says_so():
    model, data = zoo.build("hf_clip"), zoo.inputs("hf_clip", batch=2)
    texts = ["a red boat on the sea", "a red boat on the sea of the two trees"]
    words = explain(model, {**data, "text": texts}, tokenizer=model_folders.fast_tokenizer(40)).words
    assert [one.cut for one in words] == [False, True]
    assert [one.needed for one in words] == [8, 12]
    assert words[1].texts(texts[1]) == ["a", "red", "boat", "on", "the", "sea", "of"]


def test_ids_have_no_words():
    assert explain(zoo.build("hf_clip"), zoo.inputs("hf_clip")).words is None
    own = model_folders.fast_tokenizer(40)
    assert explain(zoo.build("hf_clip"), zoo.inputs("hf_clip"), tokenizer=own).words is None
    assert explain(zoo.build("vit_cls"), zoo.inputs("vit_cls")).words is None
