"""An OpenAI-compatible endpoint: what it is, what it serves, and one timed question to it.

BenchError          the bench cannot be run; the message says what to do
Refused             one request failed; the message is the reason that is counted
└── NotStreamed     the answer came in one piece
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from benchmarks.table1.figures import Counted, Timing

CACHES = ("mm_cache_hits", "mm_cache_queries", "prefix_cache_hits", "prefix_cache_queries")
REASON_LENGTH = 160  # characters of a server's own words


class BenchError(Exception):
    """The bench cannot be run; the message says what to do."""


class Refused(Exception):
    """One request failed; the message is the reason that is counted."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        """`status` of HTTP, where there was one."""
        super().__init__(reason)
        self.status = status


class NotStreamed(Refused):
    """The answer came in one piece."""


@dataclass(frozen=True)
class Extra:
    """Fields that OpenAI's protocol lacks and vLLM has."""

    fixed_length: bool = True  # `ignore_eos` and `min_tokens`
    token_ids: bool = True  # `return_token_ids`

    def fields(self, tokens: int) -> dict[str, Any]:
        """What they add to a request."""
        length = {"ignore_eos": True, "min_tokens": tokens} if self.fixed_length else {}
        return length | ({"return_token_ids": True} if self.token_ids else {})


class Endpoint:
    """Where to ask. Connections stay open, one for each request that is in flight."""

    def __init__(self, base_url: str, key: str | None = None, timeout_s: float = 600.0) -> None:
        """`base_url` with or without /v1; `timeout_s` without a sign of life ends a request."""
        self.url = base_url.rstrip("/").removesuffix("/v1")
        self.model = ""
        self.version = ""
        self.extra = Extra()
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=None)
        headers = {"authorization": f"Bearer {key}"} if key else {}
        # `no-cache` asks a controller in between not to answer from what it remembers.
        headers |= {"cache-control": "no-cache", "content-type": "application/json"}
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(timeout_s, connect=10.0), limits=limits, headers=headers, trust_env=False
        )

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def connect(self, model: str | None) -> None:
        """Find the model, or the only one there is. Raises BenchError."""
        try:
            reply = await self._http.get(f"{self.url}/v1/models")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise BenchError(
                f"Nothing answers at {self.url} ({type(error).__name__}). Start the server there, or give "
                "its address with --base-url."
            ) from error
        if reply.status_code in (401, 403):
            raise BenchError(
                f"{self.url} wants a key. Put it into an environment variable, and name that variable with "
                "--api-key-env."
            )
        try:
            names = [str(row["id"]) for row in reply.raise_for_status().json()["data"]]
        except (httpx.HTTPStatusError, ValueError, LookupError, TypeError) as error:
            raise BenchError(
                f"{self.url}/v1/models does not answer as OpenAI's does (HTTP {reply.status_code}). "
                "Give the address of an OpenAI-compatible server with --base-url."
            ) from error
        if model is None and len(names) != 1:
            raise BenchError(
                f"Choose a model of {self.url} with --model: {', '.join(names) or 'it has none'}."
            )
        if model is not None and model not in names:
            has = f"It has: {', '.join(names)}" if names else "It has none"
            raise BenchError(f"{self.url} has no model {model!r}. {has}.")
        self.model = model or names[0]
        self.version = await self._server_version()

    async def _server_version(self) -> str:
        try:
            reply = await self._http.get(f"{self.url}/version")
            return f"vLLM {reply.raise_for_status().json()['version']}"
        except (httpx.HTTPError, ValueError, LookupError, TypeError):
            return ""

    def body(self, wav: bytes, question: str, tokens: int) -> bytes:
        """A request for exactly `tokens` tokens, as bytes: nothing is left to do once the clock runs."""
        clip = {"data": base64.b64encode(wav).decode(), "format": "wav"}
        content = [{"type": "input_audio", "input_audio": clip}, {"type": "text", "text": question}]
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": content}],
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": 0,
            "max_tokens": tokens,
            **self.extra.fields(tokens),
        }
        return json.dumps(body).encode()

    async def probe(self, wav: bytes, question: str, tokens: int) -> None:
        """Ask once, and learn which of vLLM's own fields it takes. Raises BenchError."""
        for extra in (Extra(), Extra(token_ids=False), Extra(fixed_length=False, token_ids=False)):
            self.extra = extra
            try:
                await self.ask(self.body(wav, question, tokens))
                return
            except NotStreamed as error:
                raise BenchError(str(error)) from error
            except Refused as error:
                named = any(field in str(error) for field in Extra().fields(1))
                if error.status not in (400, 422) or not named or extra == Extra(False, False):
                    raise BenchError(f"The first request to {self.url} failed: {error}") from error

    async def ask(self, body: bytes) -> Timing:
        """Send a request and time its answer. Raises Refused."""
        sent = time.perf_counter()
        try:
            async with self._http.stream("POST", f"{self.url}/v1/chat/completions", content=body) as reply:
                kind = reply.headers.get("content-type", "")
                if reply.status_code != httpx.codes.OK:
                    said = _reason(await reply.aread())
                    raise Refused(f"HTTP {reply.status_code}: {said}", reply.status_code)
                if not kind.startswith("text/event-stream"):
                    raise NotStreamed(
                        f"{self.url} answers in one piece ({kind or 'no content type'}), not as a stream, so "
                        "the time to the first token cannot be measured. Use an endpoint that streams."
                    )
                stream = _Stream()
                async for line in reply.aiter_lines():
                    stream.read(line, time.perf_counter())
        except httpx.TimeoutException as error:
            raise Refused(f"no sign of life for too long ({type(error).__name__})") from error
        except httpx.HTTPError as error:
            raise Refused(f"the connection failed ({type(error).__name__})") from error
        return stream.timing(sent, time.perf_counter())

    async def cache_counts(self) -> Mapping[str, float] | None:
        """vLLM's counters of its multimodal cache (clips) and its prefix cache (tokens); None without."""
        try:
            text = (await self._http.get(f"{self.url}/metrics")).raise_for_status().text
        except httpx.HTTPError:
            return None
        counts = {}
        for name in CACHES:
            rows = re.findall(rf"^vllm:{name}(?:_total)?(?:{{.*}})? (\S+)$", text, re.MULTILINE)
            if rows:
                counts[name] = sum(float(row) for row in rows)
        return counts or None


async def settle() -> None:
    """Leave the server a moment in which its counters catch up with its answers."""
    await asyncio.sleep(0.1)


class _Stream:
    """Tokens and their times, from server-sent events."""

    def __init__(self) -> None:
        self.chunks: list[float] = []
        self.first_tokens = 0
        self.tokens = 0
        self.usage: dict[str, Any] = {}
        self.counted: Counted = "its text"
        self.ended = False

    def read(self, line: str, now: float) -> None:
        """One line that came in at `now`. Raises Refused."""
        if not line.startswith("data:"):
            return
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            self.ended = True
            return
        try:
            event = json.loads(data)
        except ValueError as error:
            raise Refused(f"the stream holds what is not JSON: {data[:40]!r}") from error
        if "error" in event:
            raise Refused(f"the stream ended with an error: {_reason(data.encode())}")
        self.usage = event.get("usage") or self.usage
        for choice in event.get("choices") or ():
            self.ended = self.ended or choice.get("finish_reason") is not None
            if tokens := self._tokens_in(choice):
                self.first_tokens = self.first_tokens or tokens
                self.tokens += tokens
                self.chunks.append(now)

    def _tokens_in(self, choice: dict[str, Any]) -> int:
        """Tokens of a chunk: its ids say it, else its log-probs, else a chunk with text counts as one."""
        if choice.get("token_ids") is not None:
            self.counted = "its token ids"
            return len(choice["token_ids"])
        logprobs = (choice.get("logprobs") or {}).get("content")
        if logprobs is not None:
            self.counted = "its log-probs"
            return len(logprobs)
        return 1 if (choice.get("delta") or {}).get("content") else 0

    def timing(self, sent: float, done: float) -> Timing:
        """What came of it. Raises Refused when the answer is not whole."""
        if not self.ended:
            raise Refused("the stream broke off before its end")
        if not self.chunks:
            raise Refused("the answer held no token")
        return Timing(
            sent,
            tuple(self.chunks),
            done,
            int(self.usage.get("completion_tokens") or self.tokens),
            self.first_tokens,
            self.counted,
            int(self.usage.get("prompt_tokens") or 0),
        )


def _reason(body: bytes) -> str:
    """A server's own words, in one short line."""
    try:
        said = json.loads(body)
        said = said.get("error", said)
        said = said.get("message", said) if isinstance(said, dict) else said
    except (ValueError, AttributeError):
        said = body.decode("utf-8", "replace")
    line = " ".join(str(said).split()) or "no reason given"
    return line if len(line) <= REASON_LENGTH else line[: REASON_LENGTH - 1] + "…"
