"""Everything that can go wrong for a caller, as one tree.

ControllerError                 a sentence, an HTTP status, an OpenAI error type and code
├── InvalidRequest        400   the request says something wrong
│   ├── Unauthorized      401   no valid key or visitor's token
│   ├── NotFound          404   no such path, model or file
│   ├── MethodNotAllowed  405   the path is there, but not for this method
│   ├── TooSlow           408   the body did not arrive in time
│   ├── Conflict          409   it cannot be done here
│   ├── TooLarge          413   more bytes than are taken
│   └── Unsupported       415   a kind of body that is not taken
├── Busy                  429   an engine has no place left
├── UpstreamFailed        502   an engine refused, broke off or answered nonsense
│   └── Interrupted             ... after part of the answer was sent, so only as an event in the stream
└── Unavailable           503   no engine for this model is up, or the host has paused the demo

StartError is apart: a setting or a registry row is wrong, and the controller does not start. Messages are for
people: what happened and what to do next. They never hold prompts or keys.
"""

from __future__ import annotations

from typing import Any, ClassVar

BROKEN_OFF = "upstream_broke"
"""The code of an engine that took a request and went away."""


class StartError(Exception):
    """A setting, a registry row or a port is wrong; the message is one sentence for whoever starts us."""


class ControllerError(Exception):
    """An error for a caller, in OpenAI's form."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    again: bool = False  # whether the same request may succeed elsewhere, or a moment later
    broke: bool = False  # whether the engine itself is in doubt

    def __init__(
        self, code: str, message: str, *, param: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
        self.headers = headers or {}

    def body(self) -> dict[str, Any]:
        """Return OpenAI's error object."""
        return {
            "error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code},
        }


class InvalidRequest(ControllerError):
    """The request says something wrong."""

    status = 400
    type = "invalid_request_error"


class Unauthorized(InvalidRequest):
    """No valid key or visitor's token."""

    status = 401

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message, headers={"WWW-Authenticate": "Bearer"})


class NotFound(InvalidRequest):
    """No such path, model or file."""

    status = 404


class MethodNotAllowed(InvalidRequest):
    """The path exists, but not for this method."""

    status = 405


class TooSlow(InvalidRequest):
    """The body did not arrive in time."""

    status = 408


class Conflict(InvalidRequest):
    """What is asked for cannot be done here, or not as things are."""

    status = 409


class TooLarge(InvalidRequest):
    """More bytes than are taken."""

    status = 413


class Unsupported(InvalidRequest):
    """A kind of body that is not taken."""

    status = 415


class Busy(ControllerError):
    """An engine has no place left."""

    status = 429
    type = "rate_limit_error"
    again = True
    mine: bool = False  # whether this visitor's own share is used up, so that others are still welcome


class UpstreamFailed(ControllerError):
    """An engine refused, broke off or answered nonsense before a word of the answer came."""

    status = 502

    def __init__(self, code: str, message: str, *, again: bool = True, broke: bool = False) -> None:
        super().__init__(code, message)
        self.again = again
        self.broke = broke


class Interrupted(UpstreamFailed):
    """An engine broke off after part of the answer was sent."""

    def __init__(self) -> None:
        super().__init__(
            "answer_interrupted",
            "The model stopped in the middle of its answer. What came so far is kept; asking again is safe.",
            again=False,
        )


class Unavailable(ControllerError):
    """No engine for this model is up, or the one that is cannot do this now."""

    status = 503
    again = True


def internal() -> ControllerError:
    """Return the error for a mistake of ours; what it was stands in the log, under the request's id."""
    return ControllerError(
        "internal", "Something went wrong on our side. Try again; if it stays, tell whoever runs this demo."
    )
