"""Whether vLLM sends traces, and where: MERALION_OTLP_ENDPOINT, as for the other services."""

from __future__ import annotations

from collections.abc import Mapping

from model.serve.interpreter import Interpreter
from model.serve.plan import Choice

NAME = "MERALION_OTLP_ENDPOINT"
SERVICE = "meralion-vllm"
_PATH = "/v1/traces"


def arguments(endpoint: str, python: Interpreter) -> tuple[tuple[str, ...], Choice | None]:
    """Return vLLM's flags and the line that says so; neither where nobody asked."""
    if not endpoint:
        return (), None
    if not python.has_traces:
        why = f"{python.path} has no OpenTelemetry; pip install opentelemetry-exporter-otlp there"
        return (), Choice("traces", "off", why)
    address = endpoint.rstrip("/").removesuffix(_PATH) + _PATH
    return ("--otlp-traces-endpoint", address), Choice("traces", address, f"as {NAME} says")


def environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for them: by HTTP, as the other services send theirs, and under a name."""
    return {
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
        "OTEL_SERVICE_NAME": inherited.get("OTEL_SERVICE_NAME", SERVICE),
    }
