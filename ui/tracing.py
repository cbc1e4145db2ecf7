"""Optional traces of the pages: a question from the click to the last word, and each request that it takes.

Nothing at all where MERALION_OTLP_ENDPOINT is not set. The controller continues the trace, and so do its
engines. Spans carry the fields of ATTRIBUTES and no others, so that a text, a key or a file's name cannot
slip in.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Mapping
from contextvars import ContextVar, Token
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ui.settings import SettingsError
from ui.wire import ClientError

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
}
_TIMEOUT_S = 5.0  # for the collector to take a batch
_GRACE_S = 1.5  # for the last batch, when we are asked to stop
_PATH = "/v1/traces"
_lock = threading.Lock()
_provider: TracerProvider | None = None


class Span:
    """A part of a question, as a context manager; this one is of no trace and does nothing."""

    def set(self, **attributes: str | float | None) -> None:
        """Say more about it, by the names in ATTRIBUTES; None, 0 and '' say nothing."""

    def headers(self) -> dict[str, str]:
        """Return what continues the trace at the controller."""
        return {}

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""


LEFT = "left"  # the code of a request that nobody waits for any more, which is no failure
OFF = Span()
_current: ContextVar[Span] = ContextVar("span", default=OFF)


def span(name: str, **attributes: str | float | None) -> Span:
    """Return a part of what this thread is at, or else the beginning of a trace; enter it to begin."""
    return _Recorded(_provider, name, attributes, is_request=False) if _provider else OFF


def request(name: str, **attributes: str | float | None) -> Span:
    """Return a request to another server, as a part like any other."""
    return _Recorded(_provider, name, attributes, is_request=True) if _provider else OFF


def off(_name: str, **_attributes: str | float | None) -> Span:
    """Return the part that is of no trace."""
    return OFF


def current() -> Span:
    """Return what this thread is at."""
    return _current.get()


def start(endpoint: str) -> None:
    """Send spans to a collector's address from now on; '' sends none. Twice does no harm.

    Raises SettingsError.
    """
    global _provider
    if not endpoint or _provider is not None:
        return
    with _lock:
        try:
            _provider = _provider or _provider_for(endpoint)
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


class _Recorded(Span):
    """A span of a trace."""

    def __init__(
        self,
        provider: TracerProvider,
        name: str,
        attributes: Mapping[str, str | float | None],
        *,
        is_request: bool,
    ) -> None:
        from opentelemetry import trace

        around = _current.get()
        parent = trace.set_span_in_context(around._span) if isinstance(around, _Recorded) else None
        kind = trace.SpanKind.CLIENT if is_request else trace.SpanKind.INTERNAL
        self._span: trace.Span = provider.get_tracer("meralion").start_span(name, parent, kind)
        self._outer: Token[Span] | None = None
        self.set(**attributes)

    def set(self, **attributes: str | float | None) -> None:
        for name, value in attributes.items():
            key = ATTRIBUTES[name]
            if value:
                self._span.set_attribute(key, value)
        if attributes.get("code") not in (None, "", LEFT):
            self._span.set_status(_failure())

    def headers(self) -> dict[str, str]:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        headers: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(headers, trace.set_span_in_context(self._span))
        return headers

    def __enter__(self) -> Self:
        self._outer = _current.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace_: TracebackType | None
    ) -> None:
        if self._outer is not None:
            _current.reset(self._outer)
        if error is not None and not isinstance(error, ClientError | GeneratorExit):
            self.set(code=type(error).__name__)  # without its message, which may quote a visitor
        self._span.end()


def _failure() -> trace.StatusCode:
    from opentelemetry.trace import StatusCode

    return StatusCode.ERROR


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
    resource = Resource.create({SERVICE_NAME: os.environ.get(OTEL_SERVICE_NAME, "meralion-pages")})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    atexit.register(stop)
    return provider
