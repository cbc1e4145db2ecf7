"""A mock engine: OpenAI's routes with no model behind them, cheap enough to measure gateways with.

python -m benchmarks.load.mock [--odd] [--join N] [--port P]  # prints {"port": ..., "control": ...}

Its answers are those of `answers.py`. It counts its calls, and misbehaves when told to on its control port:
GET /counts, POST /reset, POST /fault {"kind": "cut", "for_s": 1.5}. It ends when its stdin does.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import os
import random
import sys
from dataclasses import dataclass, field
from typing import Any

import uvloop

from benchmarks.load.answers import Tag
from benchmarks.load.server import Connection
from benchmarks.load.tokens import Stream

# What can go wrong with an answer, or with the port ("refused").
FAULTS = ("500", "429", "hang", "refused", "cut", "stall", "malformed")


@dataclass
class Mock:
    """One engine: its counts, its habits and its present fault."""

    odd: bool = False
    join: int = 1
    seed: int = 0
    calls: int = 0
    active: int = 0
    most: int = 0
    left: int = 0
    struck: int = 0
    fault: str = ""
    connections: set[Connection] = field(default_factory=set)
    server: asyncio.Server | None = None
    host: str = "127.0.0.1"
    port: int = 0

    def __post_init__(self) -> None:
        """Draw the moments of its faults from the seed."""
        self.dice = random.Random(self.seed)

    def counts(self) -> dict[str, int]:
        """Return calls so far, answers under way now and at most, callers who left, answers spoilt."""
        return {
            "calls": self.calls,
            "active": self.active,
            "most": self.most,
            "left": self.left,
            "struck": self.struck,
        }

    def reset(self) -> None:
        """Count from nought again."""
        self.calls = self.left = 0
        self.most = self.active

    async def open(self) -> None:
        """Listen, on the same port as before if there was one."""
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(
            functools.partial(Connection, self.answer, self.connections),
            self.host,
            self.port,
            backlog=2_048,
        )
        self.port = self.server.sockets[0].getsockname()[1]

    async def misbehave(self, kind: str, for_s: float) -> None:
        """Do so for a while, to new answers and to those under way."""
        self.fault = kind
        if kind == "refused" and self.server:
            self.server.close()
            self.struck += self.active
            for connection in list(self.connections):
                connection.cut()
        await asyncio.sleep(for_s)
        if kind == "refused":
            await self.open()
        self.fault = ""

    def answer(self, connection: Connection) -> None:
        """Answer one request."""
        if connection.method != "POST":
            card = {"id": "bench", "object": "model", "created": 1, "owned_by": "bench"}
            connection.say(200, {"object": "list", "data": [card]})
        elif connection.path.startswith("/v1/chat/completions"):
            self._chat(connection)
        elif connection.path.startswith("/v1/audio/speech"):
            connection.whole(200, b"audio/mpeg", b"\xff\xfb\x90\x64" + bytes(413))
        else:
            connection.say(200, {"text": "Heard."})

    def _chat(self, connection: Connection) -> None:
        self.calls += 1
        self.struck += self.fault in ("500", "429", "hang")
        if self.fault in ("500", "429"):
            body = {"error": {"message": "not now", "type": "server_error", "code": "busy"}}
            connection.say(int(self.fault), body, b"retry-after: 1\r\n" if self.fault == "429" else b"")
        elif self.fault != "hang":
            tag = Tag.found_in(connection.tail()) or Tag.found_in(connection.body()) or Tag("untagged")
            if not connection.asks_for_stream():
                connection.say(200, _whole(tag.text(self.odd)))
                return
            Stream(self, connection, tag).start()


def _whole(text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 7, "completion_tokens": 20, "total_tokens": 27}
    return {"id": "chatcmpl-bench", "object": "chat.completion", "choices": [choice], "usage": usage}


async def serve(mock: Mock, control_port: int = 0) -> None:
    """Run until stdin ends."""
    loop = asyncio.get_running_loop()
    await mock.open()
    tasks: set[asyncio.Task[None]] = set()

    def control(connection: Connection) -> None:
        if connection.path == "/reset":
            mock.reset()
        elif connection.path == "/fault":
            task = loop.create_task(mock.misbehave(**json.loads(connection.body())))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        connection.say(200, mock.counts())

    controls = await loop.create_server(
        functools.partial(Connection, control, set()), "127.0.0.1", control_port
    )
    print(json.dumps({"port": mock.port, "control": controls.sockets[0].getsockname()[1]}), flush=True)
    await loop.run_in_executor(None, sys.stdin.buffer.read)


def main() -> None:
    """Serve one mock engine."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--odd", action="store_true", help="letters of several bytes, sent in halves")
    parser.add_argument("--join", type=int, default=1, help="tokens in an event")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of its faults")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen")
    parser.add_argument("--port", type=int, default=0, help="0 for a free one")
    parser.add_argument("--control", type=int, default=0, help="port of the control, on 127.0.0.1")
    options = parser.parse_args()
    mock = Mock(options.odd, options.join, options.seed, host=options.host, port=options.port)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(mock, options.control))
    os._exit(0)


if __name__ == "__main__":
    main()
