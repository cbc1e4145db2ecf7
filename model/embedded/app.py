"""The embedded engine as a web application: routes, and errors in OpenAI's form."""

import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from model.audio_limits import AudioError
from model.embedded import audio_routes, chat
from model.embedded.errors import BadRequest, EngineError, Failed, NotFound
from model.embedded.models import Models

CLIENT_GONE = 499  # nginx's number for a caller who left


def create_app(models: Models) -> Starlette:
    """The application over loaded models."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await models.close()

    app = Starlette(
        routes=[
            Route("/health", health),
            Route("/v1/models", list_models),
            Route("/v1/chat/completions", _explained(chat.completions), methods=["POST"]),
            Route("/v1/audio/transcriptions", _explained(audio_routes.transcriptions), methods=["POST"]),
            Route("/v1/audio/translations", _explained(audio_routes.translations), methods=["POST"]),
            Route("/v1/audio/speech", _explained(audio_routes.speech), methods=["POST"]),
        ],
        exception_handlers={HTTPException: _not_here},
        lifespan=lifespan,
    )
    app.state.models = models
    return app


async def health(request: Request) -> Response:
    """Say that all models are loaded, and how busy they are."""
    models: Models = request.app.state.models
    return JSONResponse({"status": "ok", "running": models.places.running, "waiting": models.places.waiting})


async def list_models(request: Request) -> Response:
    """The models and what they can do."""
    models: Models = request.app.state.models
    return JSONResponse({"object": "list", "data": models.cards()})


Handler = Callable[[Request], Awaitable[Response]]


def _explained(handler: Handler) -> Handler:
    """Turn what a handler raises into OpenAI's error form."""

    async def handle(request: Request) -> Response:
        try:
            return await handler(request)
        except EngineError as error:
            headers = {"Retry-After": "2"} if error.status == 429 else None
            return JSONResponse(error.body(), error.status, headers=headers)
        except AudioError as error:
            return JSONResponse(BadRequest(error.code, error.message, "audio").body(), 400)
        except chat.ClientGone:
            return Response(status_code=CLIENT_GONE)
        except Exception as error:  # the last net: the process must live, and nobody sees a stack trace
            _log_failure(error)
            return JSONResponse(Failed("engine_failed", "The model failed. Ask again.").body(), 500)

    return handle


async def _not_here(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    body = NotFound("not_found", "There is nothing here. Check the path and the method.").body()
    return JSONResponse(body, error.status_code, headers=error.headers)


def _log_failure(error: Exception) -> None:
    """Write where it failed, never what was said: an exception's text may quote a visitor."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_name}:{trace.tb_lineno}" if trace else ""
    line = {
        "level": "ERROR",
        "event": "failed",
        "error": type(error).__name__,
        "at": place,
    }
    sys.stderr.write(json.dumps(line) + "\n")
