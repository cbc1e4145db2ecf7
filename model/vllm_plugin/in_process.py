"""Ask the application behind a middleware, in its own process: no socket, and leaving stops the work."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message, Scope

from model.errors import Failed, NoKey, Unavailable

MODELS = "/v1/models"
_KEPT = (b"authorization", b"host", b"traceparent", b"tracestate")
LEAVING_S = 5.0  # for the application to notice that nobody listens any more


@dataclass(frozen=True)
class Answer:
    """A response whose body is still coming."""

    status: int
    chunks: AsyncIterator[bytes]

    async def whole(self) -> bytes:
        """The rest of the body."""
        return b"".join([chunk async for chunk in self.chunks])


@contextlib.asynccontextmanager
async def asked(
    app: ASGIApp, caller: Scope, method: str, path: str, body: bytes = b""
) -> AsyncGenerator[Answer, None]:
    """Ask `app` in the name of a caller, whose key is passed on. Raises Failed when the application breaks.

    Leaving the block hangs up.
    """
    left = asyncio.Event()
    given: asyncio.Queue[Message | None] = asyncio.Queue(maxsize=64)
    requests: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if requests:
            return requests.pop()
        await left.wait()
        return {"type": "http.disconnect"}

    async def run() -> None:
        try:
            await app(_scope(caller, method, path, len(body)), receive, given.put)
        finally:
            await given.put(None)

    async def taken(kind: str) -> Message:
        message = await given.get()
        if message is None or message["type"] != kind:
            raise Failed("engine_failed", "The model failed. Ask again.")
        return message

    async def chunks() -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await taken("http.response.body")
            more = message.get("more_body", False)
            if message.get("body"):
                yield message["body"]

    task = asyncio.create_task(run())
    try:
        start = await taken("http.response.start")
        yield Answer(start["status"], chunks())
    finally:
        left.set()
        while not given.empty():  # a full queue would hold up the application's leaving
            given.get_nowait()
        task.cancel()
        await asyncio.wait({task}, timeout=LEAVING_S)
        if task.done() and not task.cancelled():
            task.exception()  # looked at, so that asyncio does not complain; `taken` has told of it


async def cards(app: ASGIApp, caller: Scope) -> dict[str, dict[str, Any]]:
    """What the server says of its model, by the model's names. Raises EngineError.

    vLLM looks at the caller's key here.
    """
    async with asked(app, caller, "GET", MODELS) as answer:
        if answer.status in (401, 403):
            raise NoKey("key_refused", "The key is missing or wrong. Send it as: Authorization: Bearer KEY.")
        if answer.status != 200:
            raise Unavailable("engine_not_ready", "The model is not ready. Ask again in a moment.")
        return {card["id"]: card for card in json.loads(await answer.whole())["data"]}


def _scope(caller: Scope, method: str, path: str, size: int) -> Scope:
    kept = [(name, value) for name, value in caller["headers"] if name in _KEPT]
    return {
        **caller,
        "method": method,
        "path": caller.get("root_path", "") + path,
        "raw_path": None,
        "query_string": b"",
        "headers": [
            *kept,
            (b"content-type", b"application/json"),
            (b"content-length", str(size).encode()),
        ],
        "state": dict(caller.get("state", {})),
    }
