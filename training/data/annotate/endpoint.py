"""Questions to an OpenAI endpoint: many at once, each within a time, again where the server failed."""

from __future__ import annotations

import asyncio
import json
import os
import random
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx

from training.data.annotate.config import Endpoint
from training.errors import ConfigError, DataError

LONGEST_BODY = 2**20  # bytes of a reply that are read before it is left
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0  # s between attempts, doubled each time
ASK_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
REFUSES_ALL = {
    401: "It wants another key: put it into the environment variable that `endpoint.key_variable` names.",
    403: "This key may not use it. Ask for access, or name another model or endpoint.",
    404: "There is no such address or model. `endpoint.url` must end where /chat/completions begins.",
}


class NoAnswer(Exception):
    """The endpoint failed this question, for a reason that may pass."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Reply:
    """What came back. `fault`: why it can be no answer, for good; the question is not asked again."""

    text: str = ""
    fault: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Client:
    """An endpoint, open for questions. Use it as an async context manager."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Raises ConfigError where the key's environment variable is empty."""
        self.endpoint = endpoint
        headers = {}
        if endpoint.key_variable is not None:
            key = os.environ.get(endpoint.key_variable, "").strip()
            if not key:
                raise ConfigError(
                    f"The environment variable {endpoint.key_variable} holds no key. Set it, or take "
                    "`endpoint.key_variable` out of the config where the endpoint wants none."
                )
            headers["Authorization"] = f"Bearer {key}"
        self._http = httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(endpoint.timeout_s),
            limits=httpx.Limits(max_connections=endpoint.at_once),
            follow_redirects=False,  # the key is for this address alone
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def ask(self, prompt: str) -> Reply:
        """The model's reply. Raises NoAnswer after the last attempt, DataError where no question can do."""
        for attempt in range(1, self.endpoint.attempts + 1):
            try:
                # httpx bounds each read; a server that drips bytes must not hold a place for ever.
                async with asyncio.timeout(self.endpoint.timeout_s):
                    return await self._asked_once(prompt)
            except TimeoutError:
                failure, wait = NoAnswer("timeout"), None
            except httpx.TransportError as error:
                failure, wait = NoAnswer(_name(error)), None
            except _Busy as error:
                failure, wait = NoAnswer(error.reason), error.wait
            if attempt < self.endpoint.attempts:
                await asyncio.sleep(_pause(attempt) if wait is None else wait)
        raise failure

    async def _asked_once(self, prompt: str) -> Reply:
        body = {
            "model": self.endpoint.model,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": self.endpoint.temperature,
            "max_tokens": self.endpoint.max_tokens,
        }
        url = f"{self.endpoint.url.rstrip('/')}/chat/completions"
        async with self._http.stream("POST", url, json=body) as response:
            if response.status_code in ASK_AGAIN:
                raise _Busy(f"http_{response.status_code}", _retry_after(response))
            if response.status_code in REFUSES_ALL or response.is_redirect:
                hint = REFUSES_ALL.get(response.status_code, "It sends elsewhere: name the address itself.")
                raise DataError(f"{self.endpoint.url} answered {response.status_code}. {hint}")
            if response.status_code != 200:
                raise NoAnswer(f"http_{response.status_code}")
            content = bytearray()
            async for block in response.aiter_bytes():
                content += block
                if len(content) > LONGEST_BODY:
                    return Reply(fault="too_long")
        return _reply(bytes(content))


class _Busy(NoAnswer):
    """Try again, after `wait` seconds if the server said so."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


def _reply(content: bytes) -> Reply:
    try:
        found: Any = json.loads(content)
        text = found["choices"][0]["message"]["content"] or ""
        usage = found.get("usage") or {}
        if not isinstance(text, str):
            raise TypeError
        counted = [int(usage.get(name) or 0) for name in ("prompt_tokens", "completion_tokens")]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        raise _Busy("not_openai") from None  # a proxy's page or half a reply: the next may be whole
    return Reply(text, "", *counted)


def _retry_after(response: httpx.Response) -> float | None:
    try:
        return min(max(float(response.headers["retry-after"]), 0.0), LONGEST_WAIT)
    except (KeyError, ValueError):
        return None


def _pause(attempt: int) -> float:
    """Twice as long each time, and by chance shorter, lest all that failed together come back together."""
    longest = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (attempt - 1))
    return random.uniform(longest / 2, longest)  # noqa: S311 - no secret


def _name(error: httpx.TransportError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "timeout"
    return "no_connection" if isinstance(error, httpx.ConnectError) else "broken_connection"
