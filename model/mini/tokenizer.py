"""The decoder's tokenizer and chat template, out of its GGUF file, with a token for the places of sound.

It gives the ids that `model.processing` gives with transformers: the same pre-tokenizer and merges, the same
template around the same turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from tokenizers.decoders import DecodeStream

from model.embedded.answer import Turn as Message
from model.layouts import SPEECH_TOKEN, Turn
from model.mini.gguf_file import GgufFile
from model.mini.tensors import ModelError
from model.prompts import chat_template

CONTROL = 3  # llama.cpp's type of tokens that are commands
KNOWN = "smollm"  # llama.cpp's name of the pre-tokenizer: each digit by itself, all else as GPT-2's


def pre_tokenizer() -> Any:
    """What cuts a text into the pieces that are merged, as SmolLM2's own tokenizer does (`KNOWN`)."""
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), bytes_])


class Words:
    """Puts conversations into token ids and ids into text."""

    def __init__(self, tokenizer: Any, template: str, turn: Turn) -> None:
        """`tokenizer` knows `<SpeechHere>`; `template` is the decoder's own; `turn`: how clips are put."""
        self._tokenizer = tokenizer
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)  # as transformers'
        self._template = environment.from_string(chat_template(turn, template))
        self.speech: int = tokenizer.token_to_id(SPEECH_TOKEN)

    @classmethod
    def of(cls, file: GgufFile, turn: Turn) -> Words:
        """The tokenizer of a GGUF file. Raises ModelError where it is of another kind."""
        said = file.metadata
        kind = said.get("tokenizer.ggml.model"), said.get("tokenizer.ggml.pre")
        if kind != ("gpt2", KNOWN):
            raise ModelError(f"{file.path} has a tokenizer of the kind {kind}. Choose SmolLM2.")
        tokens: list[str] = said["tokenizer.ggml.tokens"]
        merges = [tuple(merge.split(" ")) for merge in said["tokenizer.ggml.merges"]]
        tokenizer = Tokenizer(models.BPE({token: id_ for id_, token in enumerate(tokens)}, merges))
        tokenizer.pre_tokenizer = pre_tokenizer()
        tokenizer.decoder = decoders.ByteLevel()
        kinds = said["tokenizer.ggml.token_type"]
        special = [token for token, kind in zip(tokens, kinds, strict=True) if kind == CONTROL]
        tokenizer.add_special_tokens(
            [AddedToken(token, special=True, normalized=False) for token in (*special, SPEECH_TOKEN)]
        )
        return cls(tokenizer, said["tokenizer.chat_template"], turn)

    def prompt(self, messages: Sequence[Message], begun: str = "") -> str:
        """A conversation as the decoder reads it, up to the answer, and what of that is `begun`."""
        plain = [{"role": message.role, "content": _parts(message)} for message in messages]
        return self._template.render(messages=plain, add_generation_prompt=True) + begun

    def ids(self, prompt: str, tokens_of_clips: Sequence[int]) -> list[int]:
        """Token ids of a prompt, with every place of sound made as long as its clip."""
        lengths = iter(tokens_of_clips)
        found: list[int] = []
        for id_ in self._tokenizer.encode(prompt, add_special_tokens=False).ids:
            found += [id_] * next(lengths) if id_ == self.speech else [id_]
        return found

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens, without commands."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))

    def save(self, path: Path) -> None:
        """Write a tokenizer.json."""
        self._tokenizer.save(str(path))

    def stream(self) -> Stream:
        """Text of tokens as they come."""
        return Stream(self._tokenizer)


class Stream:
    """Tokens to text, a piece as soon as its last letter is whole."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._stream = DecodeStream(skip_special_tokens=True)

    def add(self, id_: int) -> str:
        """What a token adds; empty while a letter is not whole."""
        return self._stream.step(self._tokenizer, id_) or ""


def _parts(message: Message) -> list[dict[str, str]]:
    """A message's parts in OpenAI's form, as a page sends them: its clips, then its words."""
    return [{"type": "input_audio"} for _ in message.clips] + [{"type": "text", "text": message.text}]
