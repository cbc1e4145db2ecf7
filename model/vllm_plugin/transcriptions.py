"""`/v1/audio/transcriptions` and `/v1/audio/translations` of any length, in front of vLLM's own server.

Given to vLLM as `--middleware model.vllm_plugin.transcriptions.Transcriptions`. vLLM's own routes read
a file into memory whole, cut it where it is quietest every 30 s, words or not, and make something up for
silence. Here a file is bounded while it is read, decoded in a child process and cut in pauses by the cutter
that the embedded engine uses; each window is asked about through the server's own `/v1/chat/completions`,
several at once, and the texts are joined in order.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from model import prompts
from model.audio import Decoder, Pcm, seconds, wav_bytes
from model.audio_limits import Limits
from model.bodies import read_form
from model.errors import (
    BadRequest,
    Busy,
    EngineError,
    Failed,
    NotFound,
    Unavailable,
    explained,
    refusal,
)
from model.long_audio.forms import Form, Task, form
from model.long_audio.readings import Reading, gap, shared_out
from model.long_audio.replies import Pieces, reply
from model.long_audio.windows import LONGEST_WINDOW, Window, cut
from model.mini.shipped import Generation
from model.places import Places
from model.vllm_plugin import settings
from model.vllm_plugin.in_process import asked, cards

CHAT = "/v1/chat/completions"
TASKS: dict[str, Task] = {
    "/v1/audio/transcriptions": "transcribe",
    "/v1/audio/translations": "translate",
}
QUERIES: dict[Task, str] = {
    "transcribe": prompts.TRANSCRIBE,
    "translate": prompts.TRANSLATE.format(language="English"),
}
UNKNOWN_LANGUAGE = "und"  # ISO 639 for a language that nobody has told: the model does not say

TOKENS_PER_SECOND = 16  # of text; fast English needs 5, Tamil in Gemma's tokens 12
FEWEST_TOKENS = 64
PROMPT_TOKENS = 256  # 100 of sound, and the words around it, with room for other adapters


class Transcriptions:
    """ASGI middleware around vLLM's application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._settings = settings.load()
        self._decoder = Decoder()
        self._places = Places(self._settings.max_transcriptions, 4 * self._settings.max_transcriptions)
        self._limits = Limits(
            max_bytes=self._settings.max_transcription_mb << 20,
            max_seconds=self._settings.max_transcription_seconds,
            takes_silence=True,  # nothing said is an empty transcript
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what concerns recordings; pass on the rest."""
        task = None
        if scope["type"] == "http" and scope["method"] == "POST":
            task = TASKS.get(scope["path"].removeprefix(scope.get("root_path", "")))
        if task is None:
            await self._app(scope, receive, send)
            return
        try:
            async with self._places:  # from the first byte of the recording to the last of the transcript
                response = await explained(partial(self._listen, task))(Request(scope, receive))
                await response(scope, receive, send)
        except Busy as busy:
            await refusal(busy)(scope, receive, send)

    async def _listen(self, task: Task, request: Request) -> Response:
        known = await cards(self._app, request.scope)  # the caller's key is checked before anything is read
        pcm, wanted = await self._understood(request, known)
        card = known[wanted.model] if wanted.model else next(iter(known.values()))
        model = Model(self._app, request.scope, card["id"], QUERIES[task], card.get("max_model_len"))
        windows = cut(pcm, _longest_window(request.scope))
        pieces = _read(model, pcm, windows, wanted, self._settings.windows_at_once)
        return await reply(request, wanted, task, seconds(pcm), pieces)

    async def _understood(self, request: Request, known: dict[str, dict[str, Any]]) -> tuple[Pcm, Form]:
        """Read, check and decode; the file, which may be large, is let go on return. Raises EngineError."""
        file, fields = await read_form(request, self._settings.max_transcription_mb << 20)
        wanted = form(fields)
        if wanted.model and wanted.model not in known:
            raise NotFound(
                "model_not_found",
                f"There is no model '{wanted.model[:64]}' here. Use '{next(iter(known))}'.",
                "model",
            )
        if wanted.with_words:
            raise BadRequest(
                "words_have_no_times",
                "This model tells what was said and not when: sentences have times, words have none. "
                "Leave 'word' out.",
                "timestamp_granularities",
            )
        return await self._decoder.decode(file, self._limits), wanted


@dataclass(frozen=True)
class Model:
    """The server's own chat route, asked in a caller's name to read a window."""

    app: ASGIApp
    caller: Scope
    id: str
    query: str
    context: int | None  # tokens that prompt and answer may have together

    async def read(self, sound: Pcm) -> AsyncGenerator[str, None]:
        """Yield the text of a window as it is written. Raises EngineError."""
        async with asked(self.app, self.caller, "POST", CHAT, self._question(sound)) as answer:
            if answer.status != 200:
                raise _refused(answer.status, await answer.whole())
            async for event in _events(answer.chunks):
                if "error" in event:
                    raise Failed("engine_failed", "The model failed. Ask again.")
                for choice in event.get("choices", ()):
                    if text := choice["delta"].get("content"):
                        yield text

    def _question(self, sound: Pcm) -> bytes:
        data = base64.b64encode(wav_bytes(sound)).decode()
        most = FEWEST_TOKENS + round(TOKENS_PER_SECOND * seconds(sound))
        if self.context:
            most = max(1, min(most, self.context - PROMPT_TOKENS))
        content = [
            {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}},
            {"type": "text", "text": self.query},
        ]
        question = {
            "model": self.id,
            "messages": [{"role": "user", "content": content}],
            "stream": True,
            "temperature": 0,
            "max_completion_tokens": most,
        }
        return json.dumps(question).encode()


class _Reader:
    """A window that is being read, ahead of the windows before it if need be."""

    def __init__(self, model: Model, window: Window, pcm: Pcm) -> None:
        self.window = window
        self._texts: asyncio.Queue[str | None] = asyncio.Queue()
        self._task = asyncio.create_task(self._run(model.read(np.asarray(window.of(pcm), np.int16))))

    async def _run(self, texts: AsyncGenerator[str, None]) -> None:
        try:
            async with aclosing(texts):
                async for text in texts:
                    self._texts.put_nowait(text)
        finally:
            self._texts.put_nowait(None)

    async def texts(self) -> AsyncGenerator[str, None]:
        """Yield what has been and will be read. Raises EngineError."""
        while (text := await self._texts.get()) is not None:
            yield text
        await self._task

    async def stop(self) -> None:
        """Hang up."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


def _longest_window(scope: Scope) -> float:
    """The most that the model writes down at once, in seconds."""
    answers = scope["app"].state.vllm_config.model_config.hf_config.answers
    return Generation.model_validate(answers).window if answers else LONGEST_WINDOW


async def _read(model: Model, pcm: Pcm, windows: Iterator[Window], wanted: Form, at_once: int) -> Pieces:
    """Read all windows, `at_once` side by side, and give out their texts in order."""
    readers: deque[_Reader] = deque()
    said = ""
    try:
        while True:
            while len(readers) < at_once and (window := await asyncio.to_thread(next, windows, None)):
                readers.append(_Reader(model, window, pcm))
            if not readers:
                return
            reader, text = readers[0], ""
            async with aclosing(reader.texts()) as texts:
                async for piece in texts:
                    piece = piece if text else piece.lstrip()
                    if piece:
                        piece = piece if text else gap(said, piece) + piece
                        text += piece
                        yield piece
            readers.popleft()
            said = text or said
            words = shared_out(text, reader.window.speech) if wanted.is_timed else []
            yield Reading(reader.window, wanted.language or UNKNOWN_LANGUAGE, text, words)
    finally:
        await asyncio.gather(*(reader.stop() for reader in readers))


async def _events(chunks: AsyncIterator[bytes]) -> AsyncGenerator[dict[str, Any], None]:
    rest = b""
    async for chunk in chunks:
        *events, rest = (rest + chunk).split(b"\n\n")
        for event in events:
            data = event.removeprefix(b"data: ")
            if data.startswith(b"{"):
                yield json.loads(data)


def _refused(status: int, body: bytes) -> EngineError:
    """What the chat route's refusal of a window means for the recording."""
    if status == 429:
        return Busy("engine_busy", "Many people are asking at the moment. Try again in a few seconds.")
    if status == 503:
        return Unavailable("engine_not_ready", "The model is not ready. Ask again in a moment.")
    if status >= 500:
        return Failed("engine_failed", "The model failed. Ask again.")
    try:
        why = str(json.loads(body)["error"]["message"])[:400]
    except (ValueError, KeyError, TypeError):
        why = "Send another recording."
    return BadRequest("audio_refused", f"The model does not take this recording: {why}", "file")
