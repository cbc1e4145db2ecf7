"""The metrics that an expression names."""

from __future__ import annotations

import re

_NAME = re.compile(r"\b(?:meralion|process|caddy|node)_\w+|\bvllm:\w+")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


def metrics_of(expression: str) -> set[str]:
    """Every metric in a PromQL expression, but for Prometheus's own."""
    return set(_NAME.findall(_STRING.sub('""', expression)))
