"""What can go wrong with a request to the embedded engine, and OpenAI's form for saying so.

EngineError
├── BadRequest        400  the request cannot be understood, or asks for what there is not
├── NotFound          404  no such model or path
├── TooLarge          413  the body is over the limit
├── Busy              429  every place is taken and the queue is full
├── Failed            500  a model failed
└── Unavailable       503  a part of the engine is not installed
"""

from typing import Any, ClassVar


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


class NotFound(BadRequest):
    """No such model or path."""

    status = 404


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
