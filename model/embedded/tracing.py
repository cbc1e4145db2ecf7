"""Optional traces of the embedded engine: a request, and in it `transcribe`, `answer` and `speech`.

Nothing at all where MERALION_OTLP_ENDPOINT is not set. The controller's trace is continued. Spans carry the
fields of ATTRIBUTES and no others, so that a text, a key or a file's name cannot slip in.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from model import logs
from model.request_log import method_of, route_of
from model.settings import SettingsError

if TYPE_CHECKING:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

# Named as the controller names them.
ATTRIBUTES = {
    "method": "http.request.method",
    "route": "http.route",
    "status": "http.response.status_code",
    "code": "error.type",
    "model": "gen_ai.request.model",
    "request_id": "meralion.request_id",
    "seconds": "meralion.audio_seconds",
}
_TIMEOUT_S = 5.0  # for the collector to take a batch
_GRACE_S = 1.5  # for the last batch, when we are asked to stop
_PATH = "/v1/traces"
_provider: TracerProvider | None = None
_current: ContextVar[trace.Span | None] = ContextVar("span", default=None)


@contextmanager
def span(name: str) -> Iterator[None]:
    """Be a part of the request that is being answered; nothing where nobody asked for traces.

    Safe within a generator: what it yields to runs outside of this part.
    """
    around = _current.get()
    if _provider is None or around is None:
        yield
        return
    from opentelemetry.trace import set_span_in_context

    started = _begin(name, set_span_in_context(around))
    try:
        yield
    except GeneratorExit:
        raise
    except BaseException as error:
        _fail(started, type(error).__name__)  # without its message, which may quote a visitor
        raise
    finally:
        started.end()


def start(endpoint: str) -> None:
    """Send spans to a collector's address from now on; '' sends none. Raises SettingsError."""
    global _provider
    try:
        _provider = _provider_for(endpoint) if endpoint else None
    except ImportError:
        raise SettingsError(
            "MERALION_OTLP_ENDPOINT is set, and OpenTelemetry is not installed. Unset it, or run: "
            ".venv/bin/pip install -r requirements/tracing.txt"
        ) from None


def stop() -> None:
    """Send what is left, and no more."""
    global _provider
    ended, _provider = _provider, None
    if ended is not None:
        # With a collector that is away this takes half a minute, and nobody waits for that.
        ending = threading.Thread(target=ended.shutdown, daemon=True)
        ending.start()
        ending.join(_GRACE_S)


class Traced:
    """ASGI middleware, within RequestLog: a request as a span below the caller's."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if _provider is None or scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        theirs = TraceContextTextMapPropagator().extract(Request(scope).headers)
        about = {"method": method_of(scope), "route": route_of(scope), "request_id": logs.request_id.get()}
        request = _begin("{method} {route}".format(**about), theirs, is_server=True)
        token = _current.set(request)
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            _current.reset(token)
            known = {name: value for name, value in logs.noted().items() if name in ATTRIBUTES}
            _set(request, status=status, **about, **known)
            if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                _fail(request, str(known.get("code", "")))
            request.end()


def _begin(name: str, parent: object, *, is_server: bool = False) -> trace.Span:
    from opentelemetry.trace import SpanKind

    assert _provider is not None
    kind = SpanKind.SERVER if is_server else SpanKind.INTERNAL
    return _provider.get_tracer("meralion").start_span(name, parent, kind)  # type: ignore[arg-type]


def _set(span: trace.Span, **attributes: str | float) -> None:
    for name, value in attributes.items():
        key = ATTRIBUTES[name]
        if value:
            span.set_attribute(key, value)


def _fail(span: trace.Span, code: str) -> None:
    from opentelemetry.trace import StatusCode

    _set(span, code=code)
    span.set_status(StatusCode.ERROR)


def _provider_for(endpoint: str) -> TracerProvider:
    """Send spans in batches, from a thread of its own. Raises ImportError."""
    import requests
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.environment_variables import OTEL_SERVICE_NAME
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    session = requests.Session()
    session.trust_env = False  # no proxy: collectors are near
    exporter = OTLPSpanExporter(
        endpoint.rstrip("/").removesuffix(_PATH) + _PATH, timeout=_TIMEOUT_S, session=session
    )
    resource = Resource.create({SERVICE_NAME: os.environ.get(OTEL_SERVICE_NAME, "meralion-engine")})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider
