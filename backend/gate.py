"""Before any route: who asks, whether they may, and not too often.

Asked of every path but those in OPEN and the host's, whatever the router makes of it afterwards: one that is
written oddly meets the gate too.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from backend.errors import ControllerError
from backend.identity import Callers
from backend.limits import Limits

OPEN = frozenset({"/healthz", "/readyz"})
_HOSTS = "/v1/host"  # whose own key is asked for there


class Gate:
    """ASGI middleware. Leaves the caller in `request.state.caller`."""

    def __init__(self, app: ASGIApp, callers: Callers, limits: Limits) -> None:
        self._app = app
        self._callers = callers
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request through, or answer it."""
        if scope["type"] != "http" or scope["path"] in OPEN or _is_hosts(scope["path"]):
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        try:
            request.state.caller = caller = self._callers.identify(request)
            if scope["method"] == "POST":  # what costs: questions, recordings
                await self._limits.take(caller)
        except ControllerError as error:
            request.state.note["code"] = error.code
            refusal = JSONResponse(error.body(), error.status, headers=error.headers)
            await refusal(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _is_hosts(path: str) -> bool:
    return path == _HOSTS or path.startswith(f"{_HOSTS}/")
