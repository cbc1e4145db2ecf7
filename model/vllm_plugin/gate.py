"""Before vLLM's routes: bounds a body while it is read, and refuses in words what vLLM would misread.

Given to vLLM as `--middleware model.vllm_plugin.gate.Gate`. vLLM takes a body of any size, reads a literal
`<SpeechHere>` without a clip as a word of the text, and answers a part that names a `uuid` from its cache of
clips, whoever sent the clip: a stranger who guesses a name would be told what another person said.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from model.layouts import SPEECH_TOKEN
from model.vllm_plugin import settings

GUARDED = frozenset({"/v1/chat/completions", "/v1/completions", "/v1/responses"})
# Cheap to look for in the bytes; only a body with one of them is parsed twice.
SUSPECT = (b"SpeechHere", b'"uuid"', b'"data":""', b'"data": ""')


class Refused(ValueError):
    """A request that vLLM must not see; the message says what to change."""

    def __init__(self, status: int, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.param = param


class Gate:
    """ASGI middleware around vLLM's application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._most = settings.load().max_body_mb << 20

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is in order; answer the rest."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] not in GUARDED:
            await self._app(scope, receive, send)
            return
        try:
            body = await self._read(receive)
            if body is None:
                return
            if any(mark in body for mark in SUSPECT):
                check(body)
        except Refused as refused:
            error = {
                "message": str(refused),
                "type": "BadRequestError",
                "param": refused.param,
                "code": refused.status,
            }
            # Closed, since more of the body may be on its way.
            answer = JSONResponse({"error": error}, refused.status, {"connection": "close"})
            await answer(scope, receive, send)
            return
        await self._app(scope, _replayed(body, receive), send)

    async def _read(self, receive: Receive) -> bytes | None:
        """The whole body, or None when the client left. Raises Refused as soon as it is too long."""
        pieces = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            pieces += message.get("body", b"")
            if len(pieces) > self._most:
                raise Refused(
                    413,
                    f"The request is larger than {self._most >> 20} MB. "
                    "Send shorter clips, or compressed ones such as MP3.",
                )
            if not message.get("more_body"):
                return bytes(pieces)


def check(body: bytes) -> None:
    """Raise Refused for a request that would be answered wrongly."""
    try:
        request = json.loads(body)
    except ValueError:
        return  # vLLM says so itself
    if not isinstance(request, dict):
        return
    if _mentions_place(request.get("prompt")):
        raise Refused(
            400,
            f"The prompt contains {SPEECH_TOKEN}, and this route takes no audio. "
            "Send the clip as an input_audio part to /v1/chat/completions.",
            "prompt",
        )
    parts = list(_parts(request.get("messages")))
    clips = [part for part in parts if part.get("type") in ("input_audio", "audio_url")]
    if any("uuid" in part for part in parts):
        raise Refused(
            400, "Leave `uuid` out of the message parts: clips are known by what they hold.", "messages"
        )
    for part in clips:
        audio = part.get("input_audio")
        if isinstance(audio, dict) and audio.get("data") == "":
            raise Refused(
                400, "The clip is empty: its `data` has no bytes. Record or choose it again.", "messages"
            )
    if not clips and any(_mentions_place(part.get("text")) for part in parts):
        raise Refused(
            400,
            f"The text contains {SPEECH_TOKEN} and no clip came with it. "
            "Attach the clip as an input_audio part, or take the word out.",
            "messages",
        )


def _parts(messages: Any) -> Iterator[dict[str, Any]]:
    """Every part of every message; plain text counts as one."""
    for message in messages if isinstance(messages, list) else []:
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, str):
            yield {"type": "text", "text": content}
        elif isinstance(content, list):
            yield from (part for part in content if isinstance(part, dict))


def _mentions_place(text: Any) -> bool:
    if isinstance(text, list):
        return any(_mentions_place(item) for item in text)
    return isinstance(text, str) and SPEECH_TOKEN in text


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Give the body that was read, then go on with what comes, such as the client's leaving."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay
