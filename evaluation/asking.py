"""What is asked, word for word: the bodies of requests, a cascade's prompt, and the part of an answer that
counts.

From AudioBench's src/model_src: each model's own prompt is in its row, the sound goes before or after the
words as there, and greedy decoding stands for those that were sampled (GPT-4o at 0.7, Gemini at its
default).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any

from evaluation.systems import System

# Within which a cascade's recogniser translates by itself; out of English the text model does.
INTO_ENGLISH = re.compile(r"_(?!en_)[a-z]{2,3}_en(_|$)")

_IN_DOUBLE = re.compile(r'"(?P<said>([^"\\]|\\.)*)"')
_IN_SINGLE = re.compile(r"'(?P<said>.*)'")  # from the first to the last of a line


def fill(template: str, values: Mapping[str, str]) -> str:
    """Put values where {name} stands, all at once: what stands in a value is never a place itself."""
    names = "|".join(map(re.escape, values))
    return re.sub(rf"\{{({names})\}}", lambda found: values[found[1]], template)


def chat_body(system: System, model: str, words: str, wav: bytes | None = None) -> dict[str, Any]:
    """A streamed chat completion; with sound, or of words alone. Greedy, so that a controller may keep it."""
    content: str | list[dict[str, Any]] = words
    if wav is not None:
        clip = {
            "type": "input_audio",
            "input_audio": {"data": base64.b64encode(wav).decode(), "format": "wav"},
        }
        text = {"type": "text", "text": words}
        content = [clip, text] if system.audio_first else [text, clip]
    return {
        "model": model,
        "messages": [{"role": "user", "content": content}],
        "temperature": 0,
        system.max_tokens_field: system.max_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
        **system.extra,
    }


def transcription_form(system: System, model: str) -> dict[str, str]:
    """The fields beside the file. `language` is also sent to translate, as AudioBench tells Whisper."""
    form = {"model": model, "temperature": "0", "response_format": "json"}
    return form | ({"language": system.language} if system.language else {})


def counted(rule: str, answer: str, task: str) -> str:
    """The part of an answer that is scored."""
    return _RULES[rule](answer, task)


def _quoted(answer: str, task: str) -> str:
    """AudioBench's rule for Qwen2-Audio on ASR: what stands between quotation marks is what was said."""
    if task != "asr":
        return answer
    if double := _IN_DOUBLE.search(answer):
        answer = double["said"]
    for colon in (":'", ": '"):  # The speech says: 'good morning'
        _, found, after = answer.partition(colon)
        if found:
            answer = "'" + after.partition(colon)[0]
            break
    single = _IN_SINGLE.search(answer)
    return single["said"] if single else answer


def _after_answer(answer: str, _: str) -> str:
    """AudioBench's rule for the cascade: what follows the first "Answer: ", up to a second."""
    return answer.split("Answer: ")[1].strip() if "Answer: " in answer else answer


_RULES: Mapping[str, Callable[[str, str], str]] = {
    "whole": lambda answer, _: answer,
    "quoted": _quoted,
    "after_answer": _after_answer,
}
