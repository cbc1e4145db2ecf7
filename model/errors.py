"""What can go wrong with a request to an engine of ours, and OpenAI's form for saying so.

EngineError
├── BadRequest        400  the request cannot be understood, or asks for what there is not
├── NoKey             401  the server wants a key
├── NotFound          404  no such model or path
├── TooSlow           408  the body did not arrive in time
├── TooLarge          413  the body is over the limit
├── Busy              429  every place is taken and the queue is full
├── Failed            500  a model failed
└── Unavailable       503  a part of the engine is not installed

ClientGone is apart: nobody is there to be told.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from model import logs
from model.audio_limits import AudioError

CLIENT_GONE = 499  # nginx's number for a caller who left


class EngineError(Exception):
    """An error with a status; `code` is for programs, the message for people."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        """`param` names the field that is wrong."""
        super().__init__(message)
        self.code = code
        self.param = param

    def body(self) -> dict[str, Any]:
        """OpenAI's error object."""
        return {"error": {"message": str(self), "type": self.type, "param": self.param, "code": self.code}}


class BadRequest(EngineError):
    """The request cannot be understood, or asks for what there is not."""

    status = 400
    type = "invalid_request_error"


class NoKey(BadRequest):
    """The server wants a key."""

    status = 401


class NotFound(BadRequest):
    """No such model or path."""

    status = 404


class TooSlow(BadRequest):
    """The body did not arrive in time."""

    status = 408


class TooLarge(BadRequest):
    """The body is over the limit."""

    status = 413


class Busy(EngineError):
    """Every place is taken and the queue is full."""

    status = 429
    type = "rate_limit_error"


class Failed(EngineError):
    """A model failed."""


class Unavailable(EngineError):
    """A part of the engine is not installed."""

    status = 503


class ClientGone(Exception):
    """The caller has left; nobody reads what would be said."""


Handler = Callable[[Request], Awaitable[Response]]


def explained(handler: Handler) -> Handler:
    """Turn what a handler raises into OpenAI's error form."""

    async def handle(request: Request) -> Response:
        try:
            return await handler(request)
        except EngineError as error:
            return refusal(error)
        except AudioError as error:
            return refusal(BadRequest(error.code, error.message, "audio"))
        except ClientGone:
            return Response(status_code=CLIENT_GONE)
        except Exception as error:  # the last net: the process must live, and nobody sees a stack trace
            logs.event(
                "failed", level=logging.ERROR, request_id=logs.request_id.get(), reason=logs.where(error)
            )
            return refusal(Failed("engine_failed", "The model failed. Ask again."))

    return handle


def refusal(error: EngineError) -> Response:
    """The response that tells of an error."""
    logs.note(code=error.code)
    headers = {"Retry-After": "2"} if error.status == 429 else None
    return JSONResponse(error.body(), error.status, headers=headers)
