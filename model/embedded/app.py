"""The embedded engine as a web application: routes, and errors in OpenAI's form."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from model.embedded import audio_routes, chat, tracing
from model.embedded.models import Models
from model.embedded.tracing import Traced
from model.errors import NotFound, explained
from model.request_log import RequestLog


def create_app(models: Models) -> Starlette:
    """The application over loaded models."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await models.close()
        await asyncio.to_thread(tracing.stop)

    app = Starlette(
        routes=[
            Route("/health", health),
            Route("/v1/models", list_models),
            Route("/v1/chat/completions", explained(chat.completions), methods=["POST"]),
            Route("/v1/audio/transcriptions", explained(audio_routes.transcriptions), methods=["POST"]),
            Route("/v1/audio/translations", explained(audio_routes.translations), methods=["POST"]),
            Route("/v1/audio/speech", explained(audio_routes.speech), methods=["POST"]),
        ],
        middleware=[Middleware(RequestLog), Middleware(Traced)],
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


async def _not_here(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    body = NotFound("not_found", "There is nothing here. Check the path and the method.").body()
    return JSONResponse(body, error.status_code, headers=error.headers)
