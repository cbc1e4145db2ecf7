"""The controller as an ASGI app: OpenAI's routes in front of any number of engines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from backend import middleware
from backend.controller import Controller
from backend.engines import EMBEDDED
from backend.errors import ControllerError
from backend.routes import audio, chat, files, host, models, status
from backend.routes.parts import ClientGone
from backend.settings import Settings
from model.audio import AudioError


def create_app(settings: Settings, engine_command: Sequence[str] = EMBEDDED) -> FastAPI:
    """Put the app together. Raises StartError when the registry is wrong."""
    controller = Controller(settings, engine_command)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with controller.running():
            yield

    # FastAPI's own pages load scripts from elsewhere, and no request may leave this machine: none of them.
    app = FastAPI(
        title="MERaLiON demo controller", lifespan=lifespan, openapi_url=None, redirect_slashes=False
    )
    app.state.controller = controller
    app.router.routes.append(chat.ROUTE)  # the first that is looked at
    for router in (models.router, files.router, audio.router, status.router, host.router):
        app.include_router(router)
    app.add_exception_handler(ControllerError, middleware.on_controller_error)
    app.add_exception_handler(AudioError, middleware.on_audio_error)
    app.add_exception_handler(HTTPException, middleware.on_http_error)
    app.add_exception_handler(ClientGone, middleware.on_client_gone)
    app.add_exception_handler(ClientDisconnect, middleware.on_client_gone)
    middleware.install(
        app,
        settings,
        controller.callers,
        controller.limits,
        controller.metrics,
        controller.tracer,
        controller.errors,
    )
    return app
