"""A small byte-level tokenizer with Gemma's control tokens, for checkpoints with random weights."""

from __future__ import annotations

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from model.layouts import SPEECH_TOKEN
from model.prompts import QUERIES, TURNS

FIRST = ("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>")
BYTES = 256
SMALLEST = len(FIRST) + BYTES + 1  # every byte is a token, so any text survives the way there and back

CHAT_TEMPLATE = (
    "{{ '<bos>' }}"
    "{%- for message in messages -%}"
    "{{ '[' + message.role + ']\\n' + message.content | trim + '<end_of_turn>\\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '[assistant]\\n' }}{%- endif -%}"
)
"""Turns for random decoders that are not Gemma 2, which bring their own template as published decoders do."""


def small(vocab_size: int, template: str | None = None) -> PreTrainedTokenizerFast:
    """A tokenizer of exactly `vocab_size` tokens; `<SpeechHere>` is the last, as in the published ones.

    Raises ValueError where the bytes and control tokens do not fit.
    """
    if vocab_size < SMALLEST:
        raise ValueError(
            f"A vocabulary of {vocab_size} has no room for {SMALLEST} bytes and control tokens. "
            "Make it larger."
        )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 1,
        special_tokens=list(FIRST),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*QUERIES.values(), *TURNS.values()] * 2, trainer)
    free = vocab_size - 1 - tokenizer.get_vocab_size()
    tokenizer.add_tokens([f"<unused{number}>" for number in range(free)])
    tokenizer.add_special_tokens([SPEECH_TOKEN])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",  # noqa: S106 - a token, not a password
        eos_token="<eos>",  # noqa: S106
        bos_token="<bos>",  # noqa: S106
        unk_token="<unk>",  # noqa: S106
        extra_special_tokens=["<start_of_turn>", "<end_of_turn>", SPEECH_TOKEN],
        chat_template=template,
        padding_side="left",
    )
