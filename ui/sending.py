"""Around each request to the controller: the id and the trace that it carries, and its line in the log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ui import logs, tracing
from ui.tracing import LEFT
from ui.wire import ClientError

LOOKS = ("/v1/models", "/v1/status")
_AGAIN_S = 10.0  # after which the same failure of a page's look is written down again
_told: dict[tuple[str, str], float] = {}


@dataclass
class Sending:
    """A request: the headers that name it, its status once that is known, and whether we hung up."""

    headers: dict[str, str]
    status: int = 0
    left: bool = False


@contextmanager
def sending(method: str, route: str, model: str = "") -> Iterator[Sending]:
    """Send within this; `route` is the path with names for what varies. Passes ClientError on, with the id.

    All that one question takes has one id, by which the logs of pages, controller and engine are joined.
    """
    ident = logs.request_id.get() or logs.new_request_id()
    started = time.monotonic()
    code = ""
    # The page's looks, every second or two, would be most of all traces and of the log.
    is_look = method == "GET" and (not logs.request_id.get() or route in LOOKS)
    begin = tracing.off if is_look else tracing.request
    with begin(f"{method} {route}", request_id=ident, method=method, route=route, model=model) as span:
        sent = Sending({"x-request-id": ident, **span.headers()})
        try:
            yield sent
        except ClientError as error:
            code = LEFT if sent.left else error.code or "failed"
            sent.status = sent.status or error.status
            error.request_id = error.request_id or ident
            raise
        except GeneratorExit:
            code = LEFT
            raise
        finally:
            span.set(status=sent.status, code=code)
            if _is_news(route, code) if is_look else code or method != "GET":
                logs.event(
                    "request",
                    request_id=ident,
                    method=method,
                    route=route,
                    model=model,
                    status=sent.status or None,
                    code=code,
                    ms=round(1_000 * (time.monotonic() - started), 1),
                )


def _is_news(route: str, code: str) -> bool:
    """Say whether a look that failed so is to be written down: every page looks every second or two."""
    now = time.monotonic()
    news = bool(code) and now - _told.get((route, code), -_AGAIN_S) >= _AGAIN_S
    if news:
        _told[route, code] = now
    return news


def carried() -> dict[str, str]:
    """Return the headers that another client's request carries for what this thread is at."""
    return {
        "x-request-id": logs.request_id.get() or logs.new_request_id(),
        **tracing.current().headers(),
    }
