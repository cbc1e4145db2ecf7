"""One line in the log for each request to an engine, with the id that the controller gave it.

For the embedded engine, and for vLLM as `--middleware model.request_log.RequestLog`.
"""

from __future__ import annotations

import re
import time

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from model import logs

LEFT = "left"  # the code for a caller who did not wait for the end
_SANE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_METHODS = frozenset({"GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "PATCH"})
# The paths that are named in the log; any other is what a stranger wrote.
_ROUTES = frozenset(
    {
        "/health",
        "/metrics",
        "/v1/models",
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/audio/transcriptions",
        "/v1/audio/translations",
        "/v1/audio/speech",
        "/tokenize",
        "/detokenize",
    }
)


def method_of(scope: Scope) -> str:
    """Return a request's method, or "other" for what is none."""
    return str(scope["method"]) if scope["method"] in _METHODS else "other"


def route_of(scope: Scope) -> str:
    """Return a request's path, or "none" for one that engines do not have."""
    path = str(scope["path"]).removeprefix(str(scope.get("root_path", "")))
    return path if path in _ROUTES else "none"


class RequestLog:
    """ASGI middleware, the outermost."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        logs.configure(everything=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Request(scope).headers.get("x-request-id", "")
        request_id = given if _SANE.fullmatch(given) else ""
        logs.request_id.set(request_id)
        noted = logs.noting()
        started = time.monotonic()
        status, whole = 0, False

        async def watched(message: Message) -> None:
            nonlocal status, whole
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                whole = not message.get("more_body", False)
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            # The controller looks at /health and /v1/models every few seconds.
            if scope["method"] != "GET" or status >= 400:
                logs.event(
                    "request",
                    request_id=request_id,
                    method=method_of(scope),
                    route=route_of(scope),
                    status=status or None,
                    ms=round(1_000 * (time.monotonic() - started), 1),
                    **{"code": "" if whole else LEFT, **noted},  # type: ignore[arg-type]
                )
