"""Every way in which a text model's endpoint can fail, as one sentence that a visitor can act on.

What an endpoint writes about its failure is never shown: it may repeat a part of the key, or be a page long.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import openai

from ui.cascade.guard import Refused
from ui.cascade.trouble import failure
from ui.wire import ClientError

MAX_WAIT_S = 86_400
_BY_STATUS: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "text_key_refused",
    HTTPStatus.PAYMENT_REQUIRED: "text_no_credit",
    HTTPStatus.FORBIDDEN: "text_not_allowed",
    HTTPStatus.NOT_FOUND: "text_not_found",
    HTTPStatus.METHOD_NOT_ALLOWED: "text_not_found",
    HTTPStatus.REQUEST_TIMEOUT: "text_slow",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "text_too_much",
    HTTPStatus.TOO_MANY_REQUESTS: "text_busy",
    HTTPStatus.GATEWAY_TIMEOUT: "text_slow",
}
_BY_CODE = {
    "context_length_exceeded": "text_too_much",
    "insufficient_quota": "text_no_credit",
    "invalid_api_key": "text_key_refused",
    "model_not_found": "text_not_found",
    "rate_limit_exceeded": "text_busy",
}
_REFUSALS = {"address": "text_address", "too_long": "text_endless"}


def told(error: Exception, begun: bool) -> ClientError:
    """Return what to say of anything that the openai client raised; `begun`: words had come already."""
    if isinstance(error, ClientError):
        return error
    refusal = next((cause for cause in _causes(error) if isinstance(cause, Refused)), None)
    if refusal is not None:
        return failure(_REFUSALS.get(refusal.code, "text_strange"))
    if isinstance(error, openai.APIStatusError):
        return _of_status(error)
    if isinstance(error, openai.APITimeoutError):
        return failure("text_silent" if begun else "text_slow", retryable=True)
    if isinstance(error, openai.APIConnectionError):
        if begun:
            return failure("text_broke", retryable=True)
        secure = any(isinstance(cause, ssl.SSLError) for cause in _causes(error))
        return failure("text_not_secure" if secure else "text_unreachable", retryable=not secure)
    if isinstance(error, openai.APIError):  # told within the stream
        return failure(
            _BY_CODE.get(str(error.code), "text_broke" if begun else "text_failed"), retryable=True
        )
    return failure("text_strange")


def _of_status(error: openai.APIStatusError) -> ClientError:
    status = error.status_code
    code = _BY_CODE.get(str(error.code)) or _BY_STATUS.get(status)
    if code is None and HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        code = "text_moved"
    if code is None:
        code = "text_failed" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "text_rejected"
    found = failure(code, retryable=code in ("text_busy", "text_slow", "text_failed"))
    found.status = status
    if code in ("text_busy", "text_failed"):
        found.retry_after_s = _wait(error.response.headers.get("retry-after", ""))
    return found


def _wait(value: str) -> int:
    """Return the seconds of a Retry-After header, 0 where it says none: it is a number or a date."""
    seconds = 0.0
    with contextlib.suppress(ValueError):
        if value.strip()[:1].isdigit():
            seconds = float(value)
        elif value:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
    return round(min(max(seconds, 0), MAX_WAIT_S))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it came from."""
    found: BaseException | None = error
    seen: set[int] = set()
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or found.__context__
