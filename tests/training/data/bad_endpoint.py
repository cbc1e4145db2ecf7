"""A real OpenAI endpoint on a real port that misbehaves as a script tells it."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = str | int | bytes | float
"""What to do: say these words; answer with this status; send these bytes; say nothing for so many seconds."""


class Endpoint(ThreadingHTTPServer):
    """`script(prompt, times)` decides the answer; `times`: how often this prompt came, from 1."""

    daemon_threads = True

    def __init__(self, script: Callable[[str, int], Answer]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script = script
        self.prompts: Counter[str] = Counter()
        self.keys: set[str | None] = set()
        self.open = self.most_open = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        prompt = body["messages"][-1]["content"]
        with self.server.lock:
            self.server.prompts[prompt] += 1
            times = self.server.prompts[prompt]
            self.server.keys.add(self.headers.get("authorization"))
            self.server.open += 1
            self.server.most_open = max(self.server.most_open, self.server.open)
        try:
            self._answer(self.server.script(prompt, times))
        except (BrokenPipeError, ConnectionResetError):
            pass  # the client has left, as it should
        finally:
            with self.server.lock:
                self.server.open -= 1

    def _answer(self, answer: Answer) -> None:
        if isinstance(answer, float):
            time.sleep(answer)
            answer = "Too late."
        if isinstance(answer, int):
            return self._send(answer, b'{"error": {"message": "no"}}')
        if isinstance(answer, bytes):
            return self._send(200, answer)
        said: dict[str, Any] = {"role": "assistant", "content": answer}
        usage = {"prompt_tokens": 100, "completion_tokens": 10}
        self._send(200, json.dumps({"choices": [{"message": said}], "usage": usage}).encode())

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        if status == 429:
            self.send_header("retry-after", "0")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def served(script: Callable[[str, int], Answer]) -> Iterator[Endpoint]:
    endpoint = Endpoint(script)
    thread = threading.Thread(target=endpoint.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield endpoint
    finally:
        endpoint.shutdown()
        endpoint.server_close()
