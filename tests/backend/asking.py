"""Askers who read their streams side by side, and an engine that stops midway until it is told to go on."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx

from tests.backend.conftest import VISITOR, text_of
from tests.backend.fake_engine import Behaviour, Exchange, chunk

CHAT = "/v1/chat/completions"


def until(happened: Callable[[], object], within_s: float = 10.0) -> None:
    """Wait for what other threads and processes do."""
    deadline = time.monotonic() + within_s
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def stops_midway(words: Sequence[str], go_on: threading.Event) -> Behaviour:
    """A whole answer, which stops after half of its words until `go_on` is set; of one word, before it."""

    async def behave(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.event(chunk({"role": "assistant", "content": ""}))
        for number, word in enumerate(words):
            while number == len(words) // 2 and not go_on.is_set():  # noqa: ASYNC110 - it is set in another thread
                await asyncio.sleep(0.01)
            await exchange.token(word)
        await exchange.event(chunk({}, "stop"))
        await exchange.event("[DONE]")
        await exchange.end()

    return behave


class Asker:
    """Asks for a stream and reads it in a thread of its own."""

    def __init__(
        self, client: httpx.Client, body: Mapping[str, Any], headers: Mapping[str, str] = VISITOR
    ) -> None:
        self.cache = ""
        self.events: list[Any] = []
        self.broken = False
        self._client = client
        self._asked = {**body, "stream": True}
        self._headers = headers
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    @property
    def text(self) -> str:
        """What has come so far."""
        return text_of(list(self.events))

    @property
    def over(self) -> bool:
        """Whether nothing more comes."""
        return not self._reading.is_alive()

    @property
    def whole(self) -> bool:
        """Whether the answer came to its end."""
        return self.events[-1:] == ["[DONE]"]

    def told(self) -> str:
        """Wait for the end; return all the words of a whole answer."""
        until(lambda: self.over, 30)
        assert self.whole, self.events[-1:]
        return self.text

    def _read(self) -> None:
        try:
            with self._client.stream("POST", CHAT, json=self._asked, headers=self._headers) as response:
                self.cache = response.headers.get("x-meralion-cache", "")
                for line in response.iter_lines():
                    if line.startswith("data: "):
                        data = line[6:]
                        self.events.append(data if data == "[DONE]" else json.loads(data))
        except httpx.TransportError:
            self.broken = True
