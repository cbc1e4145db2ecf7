"""What an engine's error response means for the caller."""

from __future__ import annotations

import email.utils
import math
import re
import time

from pydantic_core import from_json

from backend.errors import Busy, ControllerError, InvalidRequest, TooLarge, Unavailable, UpstreamFailed
from backend.http1 import Reply

_MAX_BYTES = 64 * 2**10
_MAX_CHARS = 400
_MAX_WAIT_S = 30
_BUSY_WAIT_S = 2  # for an engine that does not say
_CODE = re.compile(r"(?!\d+$)[\w.-]{1,64}", re.ASCII)  # vLLM repeats the status there


async def refusal(reply: Reply, deadline: float) -> ControllerError:
    """Read an error response, no further than it can be useful, and return ours.

    Raises HttpError, or TimeoutError at `deadline` (the loop's clock).
    """
    body = b""
    while len(body) <= _MAX_BYTES and (data := await reply.read(deadline)):
        body += data
    try:
        error = from_json(body)["error"]  # which refuses half a surrogate pair, as no caller could be told
    except (ValueError, KeyError, TypeError):
        error = {}
    return from_object(reply.status, error, wait_s(reply.headers.get("retry-after", "")))


def from_object(status: int, error: object, retry_after_s: int | None = None) -> ControllerError:
    """Map a status and an OpenAI error object to our tree.

    Only what concerns the caller's own request is passed on in the engine's words. Its trouble is told in
    ours; that it is loading is worth telling apart.
    """
    said = error if isinstance(error, dict) else {}
    message, code = said.get("message"), said.get("code")
    message = message[:_MAX_CHARS] if isinstance(message, str) else ""
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        code = "upstream_rejected"
    if status in (401, 403):
        return UpstreamFailed(
            "upstream_key_refused",
            "The model's server does not accept our key. Whoever runs this demo must set it (`api_key_env`).",
        )
    if status == 404:
        return UpstreamFailed(
            "upstream_model_missing",
            "The model's server does not know it. Whoever runs this demo must check `upstream_model`.",
        )
    if status == 413:
        return TooLarge(code, message or "The request is too large for this model. Send a shorter clip.")
    if status in (400, 415, 422):
        return InvalidRequest(
            code, message or "The model does not take this request. Change it and try again."
        )
    if status == 429:
        return Busy(
            "model_busy",
            "The model is busy with others. Ask again in a moment.",
            headers={"Retry-After": str(_BUSY_WAIT_S if retry_after_s is None else retry_after_s)},
        )
    if status == 503:
        return Unavailable(
            code,
            "The model is loading. Ask again in a moment."
            if "loading" in message.lower()
            else "The model cannot answer now. Ask again in a moment.",
            headers={} if retry_after_s is None else {"Retry-After": str(retry_after_s)},
        )
    return UpstreamFailed(
        "upstream_failed", "The model failed to answer. Ask again, or choose another model."
    )


def wait_s(retry_after: str) -> int | None:
    """Return what a Retry-After header asks for in whole seconds, 30 at most; None for none, or nonsense."""
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return None if math.isnan(seconds) else math.ceil(min(max(seconds, 0), _MAX_WAIT_S))
