"""Give a text decoder's tokenizer the token `<SpeechHere>`, where the audio goes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedModel

from model.checkpoints.convert import add_speech_token
from model.layouts import SPEECH_TOKEN, SPEECH_TOKEN_INDEX
from model.processing import speech_token_id


def give_speech_token(decoder: PreTrainedModel, tokenizer: Any) -> tuple[Any, int]:
    """The tokenizer with `<SpeechHere>`, and its id.

    Gemma's spare token at 255,999 is renamed, as in the published tokenizers, so that the vocabulary keeps
    its size; where there is no spare token, one is added and the decoder's embedding grows.
    """
    spare = tokenizer.convert_ids_to_tokens(SPEECH_TOKEN_INDEX) if len(tokenizer) > SPEECH_TOKEN_INDEX else ""
    if SPEECH_TOKEN in tokenizer.get_vocab():
        return tokenizer, speech_token_id(tokenizer)
    if spare and spare.startswith("<unused"):
        tokenizer = renamed(tokenizer, spare)
        return tokenizer, speech_token_id(tokenizer)
    return tokenizer, add_speech_token(decoder, tokenizer)


def renamed(tokenizer: Any, spare: str) -> Any:
    """The same tokenizer with its token `spare` called `<SpeechHere>`."""
    with tempfile.TemporaryDirectory() as name:
        tokenizer.save_pretrained(name)
        for path in Path(name).glob("*.json"):
            text = path.read_text("utf-8")
            path.write_text(text.replace(f'"{spare}"', f'"{SPEECH_TOKEN}"'), "utf-8")
        found = AutoTokenizer.from_pretrained(name)
        found.add_tokens([SPEECH_TOKEN], special_tokens=True)  # it is there: only its kind changes
        return found
