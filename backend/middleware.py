"""Around every request: its id, its one line in the log, and an error in OpenAI's form whatever happens.

From the outside in: RequestLog, Leftover, CORS where it is on, Gate; then the routes.
"""

from __future__ import annotations

import logging
import time
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend import identity, logs, tracing
from backend.errors import (
    ControllerError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    TooLarge,
    UpstreamFailed,
    internal,
)
from backend.gate import Gate
from backend.identity import Callers
from backend.leftover import Leftover
from backend.limits import Limits
from backend.metrics import Metrics
from backend.recent_errors import RecentErrors
from backend.routes.parts import ClientGone
from backend.settings import Settings
from backend.tracing import NO_TRACER, Span, Tracer
from model.audio import AudioError

# What pages, probes and Prometheus ask every second or two. Where all is well it is counted and no more: it
# would be nearly all of the log, and of the traces.
_LOOKS = frozenset({"/healthz", "/readyz", "/metrics", "/v1/models", "/v1/status", "/v1/host"})
_CLIENT_GONE = 499  # nginx's number for a caller who left
_EXPOSED = ("x-request-id", "x-meralion-cache", "x-meralion-instance", "server-timing", "retry-after")


def install(
    app: FastAPI,
    settings: Settings,
    callers: Callers,
    limits: Limits,
    metrics: Metrics,
    tracer: Tracer,
    errors: RecentErrors,
) -> None:
    """Put everything around the app."""
    app.add_middleware(Gate, callers=callers, limits=limits)
    if settings.cors_origins:
        # Without credentials: no cookie is ever looked at, and a key is sent by the page's own code.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=("GET", "POST", "DELETE"),
            allow_headers=("*",),
            expose_headers=_EXPOSED,
        )
    app.add_middleware(Leftover)
    app.add_middleware(RequestLog, metrics=metrics, tracer=tracer, errors=errors)


class RequestLog:
    """ASGI middleware, the outermost: what it notes goes to the log, to the metrics and to the trace."""

    def __init__(self, app: ASGIApp, metrics: Metrics, tracer: Tracer, errors: RecentErrors) -> None:
        self._app = app
        self._metrics = metrics
        self._tracer = tracer
        self._errors = errors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        request_id = identity.request_id(request)
        logs.request_id.set(request_id)
        is_look = request.method == "GET" and scope["path"] in _LOOKS
        tracer = NO_TRACER if is_look and "traceparent" not in request.headers else self._tracer
        with tracer.request(request.headers, method=request.method, request_id=request_id) as span:
            await self._handle(request, request_id, span, receive, send, is_look)

    async def _handle(
        self, request: Request, request_id: str, span: Span, receive: Receive, send: Send, is_look: bool
    ) -> None:
        scope = request.scope
        request.state.note = note = dict[str, Any]()
        request.state.timing = None  # of an answer, once it is known what to answer
        request.state.share = None  # of the memory for what was sent, which is given back at the end
        started = time.perf_counter()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception as error:
            if not isinstance(error.__cause__, ControllerError):  # which the answer's own line tells
                logs.event(
                    "internal error", level=logging.ERROR, request_id=request_id, reason=logs.where(error)
                )
            if status:
                raise  # too late for a status: the connection is cut, so that nobody takes half for the whole
            note["code"] = "internal"
            await JSONResponse(internal().body(), 500)(scope, receive, send_with_id)
        finally:
            route = getattr(scope.get("route"), "path", "")
            status = status or _CLIENT_GONE
            if request.state.share:
                request.state.share.hold(0)
            seconds = time.perf_counter() - started
            self._metrics.request(request.method, route, status, seconds)
            if "code" in note:
                self._errors.note(note["code"])
            if timing := request.state.timing:
                self._metrics.answer(note["model"], timing)
                note.update(cache=timing.cache, instance=timing.instance or None)
            span.set(method=request.method, route=route, status=status, **tracing.known(note))
            if not (is_look and status < HTTPStatus.BAD_REQUEST):
                logs.event(
                    "request",
                    request_id=request_id,
                    method=request.method,
                    route=route,
                    status=status,
                    ms=round(1_000 * seconds, 1),
                    **note,
                )


async def on_controller_error(request: Request, error: Exception) -> Response:
    """Answer with our own error."""
    assert isinstance(error, ControllerError)
    request.state.note["code"] = error.code
    # OpenAI's clients ask again after every 5xx unless they are told not to.
    vain = {"x-should-retry": "false"} if isinstance(error, UpstreamFailed) and not error.again else {}
    return JSONResponse(error.body(), error.status, headers={**error.headers, **vain})


async def on_audio_error(request: Request, error: Exception) -> Response:
    """Answer for a clip that cannot be used."""
    assert isinstance(error, AudioError)
    kind = TooLarge if error.code == "audio_too_large" else InvalidRequest
    return await on_controller_error(request, kind(error.code, error.message))


async def on_http_error(request: Request, error: Exception) -> Response:
    """Answer for a path or method that is not there."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allow = (error.headers or {}).get("allow", "")
        wrong = MethodNotAllowed("method_not_allowed", f"Use {allow or 'another method'} here.")
        wrong.headers = dict(error.headers or {})
        return await on_controller_error(request, wrong)
    if error.status_code == 404:
        return await on_controller_error(
            request, NotFound("not_found", "There is nothing here. Check the path.")
        )
    return await on_controller_error(
        request, InvalidRequest("request_invalid", "The request cannot be read.")
    )


async def on_client_gone(request: Request, error: Exception) -> Response:
    """Answer nobody."""
    assert isinstance(error, ClientGone | ClientDisconnect)
    return Response(status_code=_CLIENT_GONE)
