"""A hub with one data set, as far as huggingface_hub needs it: open, gated, or unknown."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """What it serves, to whom, and what it was asked."""

    name: str
    files: Mapping[str, bytes]
    token: str = ""  # not empty: the terms were accepted by whoever has it
    asked: list[str] = field(default_factory=list)
    url: str = ""


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_HEAD(self) -> None:
        self._answer(head=True)

    def do_GET(self) -> None:
        self._answer(head=False)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self, head: bool) -> None:
        hub = self.hub
        hub.asked.append(f"{self.command} {self.path}")
        path = self.path.partition("?")[0]
        api, files = f"/api/datasets/{hub.name}", f"/datasets/{hub.name}/resolve/"
        if path.startswith(api):
            siblings = [{"rfilename": name} for name in hub.files]
            about = {"id": hub.name, "sha": COMMIT, "siblings": siblings, "private": False, "tags": []}
            tree = [
                {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                for name, data in hub.files.items()
            ]
            self._send(200, json.dumps(tree if "/tree/" in path else about).encode(), head)
        elif path.startswith(files):
            name = path.removeprefix(files).partition("/")[2]
            if hub.token and self.headers["Authorization"] != f"Bearer {hub.token}":
                self._send(403, b"{}", head, {"X-Error-Code": "GatedRepo"})
            elif name in hub.files:
                data = hub.files[name]
                self._send(200, data, head, {"ETag": f'"{hashlib.sha1(data).hexdigest()}"'})
            else:
                self._send(404, b"{}", head, {"X-Error-Code": "EntryNotFound"})
        else:
            self._send(401, b"{}", head, {"X-Error-Code": "RepoNotFound"})

    def _send(self, status: int, body: bytes, head: bool, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ({"X-Repo-Commit": COMMIT} | dict(headers or {})).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if not head:
            self.wfile.write(body)


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """The hub on a free port of this machine."""
    handler = type("Handler", (_Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        hub.url = f"http://127.0.0.1:{server.server_port}"
        yield hub
        server.shutdown()
