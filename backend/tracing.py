"""Optional traces: spans of a request, sent to an OpenTelemetry collector; nothing at all when that is off.

request -> decode, queue, upstream. A caller's W3C `traceparent` is continued, and engines get ours. Spans
carry the fields of ATTRIBUTES and no others, so that a text, a key or a file name cannot slip in.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Mapping
from contextvars import ContextVar, Token
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING, Self

from backend.errors import ControllerError, StartError

if TYPE_CHECKING:
    from opentelemetry import trace

ATTRIBUTES = {
    "method": "http.request.method",
    "route": "http.route",
    "status": "http.response.status_code",
    "code": "error.type",
    "model": "gen_ai.request.model",
    "request_id": "meralion.request_id",
    "cache": "meralion.cache",
    "instance": "meralion.instance",
    "seconds": "meralion.audio_seconds",
    "bytes": "meralion.bytes",
}
_TIMEOUT_S = 5.0  # for the collector to take a batch
_GRACE_S = 1.5  # for the last batch, when we are asked to stop
_PATH = "/v1/traces"


class Span:
    """A part of a request, as a context manager; this one is of no trace and does nothing."""

    def child(self, name: str, **attributes: str | float | None) -> Span:
        """Return a part of this part; enter it to begin."""
        return self

    def set(self, **attributes: str | float | None) -> None:
        """Say more about it, by the names in ATTRIBUTES; None and '' say nothing."""

    def headers(self) -> dict[str, str]:
        """Return what continues the trace at an engine."""
        return {}

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""


OFF = Span()
_request: ContextVar[Span] = ContextVar("request span", default=OFF)


def span(name: str, **attributes: str | float | None) -> Span:
    """Return a part of the request that is being answered; tasks that it has started belong to it."""
    return _request.get().child(name, **attributes)


def known(fields: Mapping[str, str | float | None]) -> dict[str, str | float | None]:
    """Return those of a log line's fields that a span carries too."""
    return {name: value for name, value in fields.items() if name in ATTRIBUTES}


class Tracer:
    """Begins the span of each request; this one traces nothing."""

    def request(self, headers: Mapping[str, str], **attributes: str | float | None) -> Span:
        """Return a request's span, which continues its caller's trace."""
        return OFF

    async def close(self) -> None:
        """Send what is left."""


NO_TRACER = Tracer()


def tracer(endpoint: str) -> Tracer:
    """Return the tracer for a collector's address, none for ''. Raises StartError."""
    if not endpoint:
        return NO_TRACER
    if not endpoint.startswith(("http://", "https://")):
        raise StartError(
            "`otlp_endpoint` must start with http:// or https://. Set MERALION_OTLP_ENDPOINT to the "
            "collector's address, such as http://127.0.0.1:4318, or unset it."
        )
    try:
        return _OpenTelemetry(endpoint)
    except ImportError:
        raise StartError(
            "MERALION_OTLP_ENDPOINT is set, and OpenTelemetry is not installed. Unset it, or run: "
            ".venv/bin/pip install -r requirements/tracing.txt"
        ) from None


class _Recorded(Span):
    """A span of a trace."""

    def __init__(self, tracer: trace.Tracer, started: trace.Span, *, is_request: bool) -> None:
        self._tracer = tracer
        self._span = started
        self._is_request = is_request
        self._outer: Token[Span] | None = None

    def child(self, name: str, **attributes: str | float | None) -> Span:
        from opentelemetry import trace

        kind = trace.SpanKind.CLIENT if name == "upstream" else trace.SpanKind.INTERNAL
        parent = trace.set_span_in_context(self._span)
        child = _Recorded(self._tracer, self._tracer.start_span(name, parent, kind), is_request=False)
        child.set(**attributes)
        return child

    def set(self, **attributes: str | float | None) -> None:
        for name, value in attributes.items():
            key = ATTRIBUTES[name]
            if value is not None and value != "":
                self._span.set_attribute(key, value)
        if self._is_request and "route" in attributes:
            self._span.update_name(f"{attributes.get('method', '')} {attributes['route']}".strip())
        if int(attributes.get("status") or 0) >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self._fail()

    def headers(self) -> dict[str, str]:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        headers: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(headers, trace.set_span_in_context(self._span))
        return headers

    def __enter__(self) -> Self:
        if self._is_request:
            self._outer = _request.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace_: TracebackType | None
    ) -> None:
        if self._outer is not None:
            _request.reset(self._outer)
        if error is not None and not isinstance(error, GeneratorExit):
            self._failed(error)
        self._span.end()

    def _failed(self, error: BaseException) -> None:
        """Name the error, without its message, which may quote a request."""
        self.set(code=error.code if isinstance(error, ControllerError) else type(error).__name__)
        if not isinstance(error, asyncio.CancelledError):
            self._fail()

    def _fail(self) -> None:
        from opentelemetry import trace

        self._span.set_status(trace.StatusCode.ERROR)


class _OpenTelemetry(Tracer):
    """Sends spans in batches, from a thread of its own. Raises ImportError when it is not installed."""

    def __init__(self, endpoint: str) -> None:
        import requests
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.environment_variables import OTEL_SERVICE_NAME
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        session = requests.Session()
        session.trust_env = False  # no proxy: collectors are near
        base = endpoint.rstrip("/").removesuffix(_PATH)
        exporter = OTLPSpanExporter(base + _PATH, timeout=_TIMEOUT_S, session=session)
        resource = Resource.create({SERVICE_NAME: os.environ.get(OTEL_SERVICE_NAME, "meralion-controller")})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("meralion")
        self._propagator = TraceContextTextMapPropagator()

    def request(self, headers: Mapping[str, str], **attributes: str | float | None) -> Span:
        from opentelemetry import trace

        theirs = self._propagator.extract(headers)
        started = self._tracer.start_span("request", theirs, trace.SpanKind.SERVER)
        request = _Recorded(self._tracer, started, is_request=True)
        request.set(**attributes)
        return request

    async def close(self) -> None:
        # With a collector that is away this takes half a minute, and nobody waits for that.
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        await asyncio.to_thread(ending.join, _GRACE_S)
