"""The text side's vocabulary: a byte-level BPE learnt from the demo captions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

SIZE = 512
START, END, PADDING = "<|startoftext|>", "<|endoftext|>", "<|padding|>"
CONTEXT = 32


def learn_vocabulary(captions: Iterable[str]) -> Any:
    """A Hugging Face tokenizer with start, end and padding tokens; any text can be encoded, byte by byte if need be.

    The end token has the highest id, so that CLIP's usual read-out (argmax of the ids) finds it.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE - 2,
        special_tokens=[PADDING],
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(sorted(set(captions)), trainer)
    tokenizer.add_special_tokens([START, END])
    ends = [(token, tokenizer.token_to_id(token)) for token in (START, END)]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{START} $A {END}", special_tokens=ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=START,
        eos_token=END,
        pad_token=PADDING,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )
