"""What stands before vLLM's routes: bounds a body while it is read, and refuses in words what must not pass.

Given to vLLM as `--middleware model.vllm_plugin.gate.Gate`. vLLM takes a body of any size, fetches any
address that a part names, reads a literal `<SpeechHere>` without a clip as a word of the text, and answers a
part that names a `uuid` from its cache of clips, whoever sent the clip. It also has many routes into the
model; those listed here are open, since only their bodies are understood here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from model.layouts import SPEECH_TOKEN
from model.vllm_plugin import settings

READING = frozenset({"GET", "HEAD", "OPTIONS"})
CHECKED = frozenset({"/v1/chat/completions", "/v1/completions", "/tokenize", "/detokenize"})
PASSED = frozenset({"/v1/audio/transcriptions", "/v1/audio/translations"})  # bounded where they are answered
PART_KEYS = frozenset({"type", "text", "input_audio", "audio_url", "refusal"})


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
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "This server has no web sockets."})
            return
        if scope["type"] != "http" or scope["method"] in READING:
            await self._app(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        try:
            if path in CHECKED:
                receive = await self._checked(receive)
            elif path not in PASSED:
                known = ", ".join(sorted(CHECKED | PASSED))
                raise Refused(404, f"This server does not answer {path[:100]}. It answers {known}.")
        except _Gone:
            return
        except Refused as refused:
            await refusal(refused)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _checked(self, receive: Receive) -> Receive:
        """Read and check a body; return it for vLLM to read. Raises Refused, _Gone."""
        body = await self._read(receive)
        check(body)
        return replayed(body, receive)

    async def _read(self, receive: Receive) -> bytes:
        """The whole body. Raises Refused as soon as it is too long."""
        pieces = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _Gone
            pieces += message.get("body", b"")
            if len(pieces) > self._most:
                raise Refused(
                    413,
                    f"The request is larger than {self._most >> 20} MB. "
                    "Send shorter clips, or compressed ones such as MP3.",
                )
            if not message.get("more_body"):
                return bytes(pieces)


class _Gone(Exception):
    """The client left."""


def refusal(refused: Refused) -> JSONResponse:
    """In vLLM's form; the connection is closed, since more of the body may be on its way."""
    error = {
        "message": str(refused),
        "type": "BadRequestError",
        "param": refused.param,
        "code": refused.status,
    }
    return JSONResponse({"error": error}, refused.status, {"connection": "close"})


def check(body: bytes) -> None:
    """Raise Refused for a request that vLLM would answer wrongly, or for somebody else."""
    try:
        request = json.loads(body)  # as vLLM reads it, in any encoding of JSON
    except (ValueError, RecursionError):
        raise Refused(400, "The request is not valid JSON. Send one JSON object.") from None
    if not isinstance(request, dict):
        raise Refused(400, "The request must be one JSON object.")
    if _mentions_place(request.get("prompt")):
        raise Refused(
            400,
            f"The prompt contains {SPEECH_TOKEN}, and this route takes no audio. "
            "Send the clip as an input_audio part to /v1/chat/completions.",
            "prompt",
        )
    _check_beginning(request)
    parts = list(parts_of(request.get("messages")))
    for part in parts:
        _check_part(part)
    has_clips = any("input_audio" in part or "audio_url" in part for part in parts)
    if not has_clips and any(_mentions_place(part.get("text")) for part in parts):
        raise Refused(
            400,
            f"The text contains {SPEECH_TOKEN} and no clip came with it. "
            "Attach the clip as an input_audio part, or take the word out.",
            "messages",
        )


def _check_beginning(request: dict[str, Any]) -> None:
    """An answer goes on only from text that it was begun with, as the controller asks for a cut one."""
    if request.get("continue_final_message") in (None, False):
        return
    messages = request.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    begun = last.get("content") if isinstance(last, dict) and last.get("role") == "assistant" else None
    is_meant = request["continue_final_message"] is True and request.get("add_generation_prompt") is False
    if not (is_meant and isinstance(begun, str) and begun.strip()):
        raise Refused(
            400,
            "To have an answer gone on with, send `continue_final_message: true`, `add_generation_prompt: "
            "false`, and its beginning as the last message, the assistant's, in plain text.",
            "continue_final_message",
        )


def _check_part(part: dict[str, Any]) -> None:
    for key in part:
        if key == "uuid":
            raise Refused(
                400, "Leave `uuid` out of the message parts: clips are known by what they hold.", "messages"
            )
        if key not in PART_KEYS:
            raise Refused(
                400, f"This model takes audio and text only. Leave `{key[:60]}` out of the parts.", "messages"
            )
    audio = part.get("input_audio")
    if isinstance(audio, dict) and not audio.get("data"):
        raise Refused(
            400, "The clip is empty: its `data` has no bytes. Record or choose it again.", "messages"
        )
    if "audio_url" in part:
        url = part["audio_url"].get("url") if isinstance(part["audio_url"], dict) else part["audio_url"]
        if not isinstance(url, str) or not url.startswith("data:"):
            raise Refused(
                400,
                "Addresses are not fetched here. Send the clip itself as an input_audio part, in base64.",
                "messages",
            )


def parts_of(messages: Any) -> Iterator[dict[str, Any]]:
    """Every part of every message; plain text counts as one."""
    for message in messages if isinstance(messages, list) else []:
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, str):
            yield {"type": "text", "text": content}
        elif isinstance(content, list):
            yield from (part if isinstance(part, dict) else {"text": part} for part in content)


def _mentions_place(text: Any) -> bool:
    if isinstance(text, list):
        return any(_mentions_place(item) for item in text)
    return isinstance(text, str) and SPEECH_TOKEN in text


def replayed(body: bytes, receive: Receive) -> Receive:
    """Give the body that was read, then go on with what comes, such as the client's leaving."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay
