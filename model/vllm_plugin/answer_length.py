"""The length of an answer bounded by that of the sound it is about, in front of vLLM's own server.

Given to vLLM as `--middleware model.vllm_plugin.answer_length.AnswerLength`. It concerns checkpoints whose
config.json says how their answers are written (`answers`): a small audio LLM would run on. vLLM settles how
many tokens an answer may have before it knows how long a clip is, so clips are decoded here, in a child
process, and passed on as they came out: the embedded engine hears the same samples.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from base64 import b64encode
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send
from tokenizers import Tokenizer
from vllm.config import ModelConfig

from model.audio import Decoder, Pcm, seconds, wav_bytes
from model.audio_limits import AudioError, Limits
from model.bodies import read_json
from model.embedded.wire import AudioData
from model.errors import BadRequest, ClientGone, EngineError, refusal
from model.geometry import MAX_CLIPS
from model.mini.shipped import Generation
from model.vllm_plugin import settings
from model.vllm_plugin.gate import parts_of, replayed
from model.vllm_plugin.in_process import cards

CHAT = "/v1/chat/completions"
LIMITS = ("max_completion_tokens", "max_tokens")  # the first is what vLLM heeds
_NUMBER = TypeAdapter(int)
FRAME, TURN = 64, 16  # tokens, at most, of the template around a conversation and around each of its messages


class AnswerLength:
    """ASGI middleware around vLLM's application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._decoder = Decoder()
        self._most_bytes = settings.load().max_body_mb << 20
        self._tokenizer: Tokenizer | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Bound the answer to a chat's question; pass on the rest."""
        is_chat = scope["type"] == "http" and scope["method"] == "POST"
        if not is_chat or scope["path"].removeprefix(scope.get("root_path", "")) != CHAT:
            await self._app(scope, receive, send)
            return
        config: ModelConfig = scope["app"].state.vllm_config.model_config
        if config.hf_config.answers is None:
            await self._app(scope, receive, send)
            return
        try:
            await cards(self._app, scope)  # vLLM checks the caller's key here, before anything is decoded
            body = await self._bounded(await read_json(Request(scope, receive), self._most_bytes), config)
        except AudioError as error:
            await refusal(BadRequest(error.code, error.message, "messages"))(scope, receive, send)
        except EngineError as error:
            await refusal(error)(scope, receive, send)
        except ClientGone:
            return
        else:
            await self._app(_with_length(scope, len(body)), replayed(body, receive), send)

    async def _bounded(self, body: bytes, config: ModelConfig) -> bytes:
        """A question with its clips decoded and its answer bounded. Raises AudioError, EngineError.

        What vLLM refuses for its form is left as it is.
        """
        question = json.loads(body)
        messages = question.get("messages")
        parts = list(parts_of(messages))
        sounds = [(part, data) for part in parts if (data := _data(part)) is not None]
        if not isinstance(messages, list) or len(sounds) > MAX_CLIPS:
            return body
        limits = Limits(max_bytes=self._most_bytes, max_seconds=config.hf_config.layout.max_seconds)
        clips: list[Pcm] = []
        for part, data in sounds:
            clips.append(await self._decoder.decode(AudioData(data=data).decoded(), limits))
            part.clear()
            wav = b64encode(wav_bytes(clips[-1])).decode()
            part |= {"type": "input_audio", "input_audio": {"data": wav, "format": "wav"}}
        texts = [text for part in parts if isinstance(text := part.get("text"), str)]
        lengths = await asyncio.to_thread(self._lengths, config, texts)
        most = Generation.model_validate(config.hf_config.answers).longest(sum(map(seconds, clips)))
        if question.get("continue_final_message"):
            most -= lengths[-1]  # the answer's beginning, which the gate has seen to be there
        heard = sum(config.hf_config.tokens_of(clip.size) for clip in clips)
        room = config.max_model_len - heard - sum(lengths) - FRAME - TURN * len(messages)
        named = [question[name] for name in LIMITS if question.get(name) is not None]
        # Read as vLLM reads it, which takes "40" and 40.0 too; what it refuses is left for it to refuse.
        with contextlib.suppress(ValidationError):
            asked = _NUMBER.validate_python(named[0]) if named else most
            if asked > 0:
                # At least one, since vLLM knows no answer of none.
                question[LIMITS[0]] = max(1, min(asked, most, room))
        return json.dumps(question).encode()

    def _lengths(self, config: ModelConfig, texts: list[str]) -> list[int]:
        """Tokens of each text; by a tokenizer of our own, since vLLM's is not to be shared among threads."""
        if self._tokenizer is None:
            self._tokenizer = Tokenizer.from_file(str(Path(config.tokenizer) / "tokenizer.json"))
        return [len(one.ids) for one in self._tokenizer.encode_batch(texts, add_special_tokens=False)]


def _data(part: dict[str, Any]) -> str | None:
    """A clip's bytes in base64, as the part has them; None where there is none."""
    if isinstance(audio := part.get("input_audio"), dict) and isinstance(audio.get("data"), str):
        return str(audio["data"])
    url = part.get("audio_url")
    url = url.get("url") if isinstance(url, dict) else url
    return url.partition(",")[2] if isinstance(url, str) else None


def _with_length(scope: Scope, size: int) -> Scope:
    headers = [(name, value) for name, value in scope["headers"] if name != b"content-length"]
    return {**scope, "headers": [*headers, (b"content-length", str(size).encode())]}
