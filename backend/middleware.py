"""Around every request: its id, its one line in the log, and an error in OpenAI's form whatever happens."""

from __future__ import annotations

import logging
import time
from typing import Any

from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend import identity, logs
from backend.errors import ControllerError, InvalidRequest, MethodNotAllowed, NotFound, TooLarge, internal
from backend.routes.parts import ClientGone
from model.audio import AudioError

_CLIENT_GONE = 499  # nginx's number for a caller who left


class RequestLog:
    """ASGI middleware, the outermost."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        request_id = identity.request_id(request)
        request.state.note = note = dict[str, Any]()
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
            logs.event("internal error", level=logging.ERROR, request_id=request_id, reason=logs.where(error))
            if status:
                raise  # too late for a status: the connection is cut, so that nobody takes half for the whole
            await JSONResponse(internal().body(), 500)(scope, receive, send_with_id)
        finally:
            route = getattr(scope.get("route"), "path", "")
            logs.event(
                "request",
                request_id=request_id,
                method=request.method,
                route=route,
                status=status or _CLIENT_GONE,
                ms=round(1_000 * (time.perf_counter() - started), 1),
                **note,
            )


async def on_controller_error(request: Request, error: Exception) -> Response:
    """Answer with our own error."""
    assert isinstance(error, ControllerError)
    request.state.note["code"] = error.code
    return JSONResponse(error.body(), error.status, headers=error.headers)


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
    assert isinstance(error, ClientGone)
    return Response(status_code=_CLIENT_GONE)
