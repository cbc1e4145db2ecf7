"""The small text model: SmolLM2-135M-Instruct in llama.cpp, through xllamacpp.

llama.cpp's own server runs inside this process on a loopback port with a random key. It gives what a request
needs and what its Python calls do not: several conversations side by side, tokens as they come, and an end of
the work as soon as the connection is closed.
"""

import json
import secrets
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import xllamacpp

from model.embedded.prompts import Messages

CONTEXT = 4096  # tokens of one conversation, transcript and answer together
STALL = 60.0  # s without a token after which the model is taken for dead


class TextModelError(RuntimeError):
    """The text model refused or failed; `code` is OpenAI's, the message is for people."""

    def __init__(self, code: str, message: str) -> None:
        """Keep OpenAI's code beside the message."""
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen; greedy at temperature 0."""

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    max_tokens: int = 256
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class Piece:
    """A piece of the answer; the last one says why it ended and what it cost."""

    text: str = ""
    finish_reason: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0


class TextModel:
    """SmolLM2, loaded once and shared."""

    def __init__(self, path: Path, threads: int, parallel: int) -> None:
        """Load the GGUF file; `parallel` conversations share the memory of two long ones."""
        key = secrets.token_urlsafe(24)
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.port = 0
        params.api_keys = [key]
        params.ui = False
        params.endpoint_slots = False
        params.n_ctx = 2 * CONTEXT
        params.n_parallel = parallel
        params.kv_unified = True
        params.cpuparams.n_threads = threads
        params.cpuparams_batch.n_threads = threads
        params.cache_ram_mib = 0
        params.verbosity = 0
        self._server = xllamacpp.Server(params)
        self._client = httpx.AsyncClient(
            base_url=self._server.listening_address,
            headers={"authorization": f"Bearer {key}"},
            timeout=httpx.Timeout(STALL, connect=5.0),
            # llama.cpp closes idle connections without a word, so none is used twice.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            trust_env=False,  # a proxy is never between this process and itself
        )

    async def complete(self, messages: Messages, sampling: Sampling) -> AsyncGenerator[Piece, None]:
        """Answer a conversation, or go on where its last turn is the model's; closing stops the model.

        Raises:
            TextModelError: the conversation does not fit, or the model failed.
        """
        try:
            async with self._client.stream(
                "POST", "/v1/chat/completions", json=_body(messages, sampling)
            ) as reply:
                if reply.status_code != httpx.codes.OK:
                    raise _refusal(await reply.aread())
                async for line in reply.aiter_lines():
                    if line.startswith("error: "):
                        raise _refusal(line.removeprefix("error: ").encode())
                    if line.startswith("data: {") and (piece := _piece(json.loads(line[6:]))):
                        yield piece
        except httpx.HTTPError as error:
            raise _refusal(b"") from error

    async def count(self, text: str) -> int:
        """How many tokens a text is. Raises TextModelError."""
        if not text:
            return 0
        try:
            reply = await self._client.post("/tokenize", json={"content": text})
            return len(reply.raise_for_status().json()["tokens"])
        except httpx.HTTPError as error:
            raise _refusal(b"") from error

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def _body(messages: Messages, sampling: Sampling) -> dict[str, Any]:
    return {
        "messages": messages,
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": sampling.seed,
        "max_tokens": sampling.max_tokens,
        "stop": list(sampling.stop),
        # So small a model repeats itself when it is read greedily.
        "repeat_penalty": 1.05,
        "dry_multiplier": 0.8,
        "dry_allowed_length": 6,
        "cache_prompt": False,  # greedy answers must be the same whoever asked before: reuse changes rounding
    }


def _piece(chunk: dict[str, Any]) -> Piece | None:
    if usage := chunk.get("usage"):
        return Piece(prompt_tokens=usage["prompt_tokens"], completion_tokens=usage["completion_tokens"])
    choice = chunk["choices"][0]
    text = choice["delta"].get("content") or ""
    if text or choice.get("finish_reason"):
        return Piece(text, choice.get("finish_reason"))
    return None


def _refusal(body: bytes) -> TextModelError:
    try:
        error = json.loads(body)
        error = error.get("error", error)
    except ValueError:
        error = {}
    if error.get("type") == "exceed_context_size_error":
        return TextModelError(
            "context_length_exceeded",
            "The clip and the question together are too long for this small model. "
            "Ask about a shorter clip, or choose Transcribe.",
        )
    return TextModelError("text_model_failed", "The text model could not answer. Ask again.")
