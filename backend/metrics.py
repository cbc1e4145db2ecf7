"""What Prometheus reads: counts and times of requests and answers, and the state of every part.

Times and counts of answers are noted when they end; the rest is read from the parts when it is asked for
(status.py). Labels come from the registry, the routes and fixed words, never from a caller.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.registry import Collector

from backend.timing import BYPASS, HIT, MISS, SHARED, Timing

_METHODS = frozenset({"GET", "POST", "DELETE", "HEAD", "OPTIONS"})
_FIRST_TOKEN_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_WHOLE_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_BETWEEN_TOKENS_S = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1)
_SOUND_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 900, 1_800, 3_600, 7_200)
_TOKENS = (1, 4, 16, 64, 128, 256, 512, 1_024, 2_048, 4_096)


class Metrics:
    """One controller's. Its registry is its own, so that several may live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.answers = {HIT: 0, MISS: 0, SHARED: 0, BYPASS: 0}  # begun, by how the cache took part
        ProcessCollector(registry=self.registry)
        self._requests = self._counter("meralion_requests", "Requests.", "method", "route", "status")
        self._request_s = self._histogram(
            "meralion_request_seconds", "Time to a response's last byte.", _WHOLE_S, "route"
        )
        labels = ("model", "cache")
        self._answers = self._counter("meralion_answers", "Answers, whole or cut.", *labels, "whole")
        self._ttft_s = self._histogram(
            "meralion_time_to_first_token_seconds", "Time to an answer's first word.", _FIRST_TOKEN_S, *labels
        )
        self._total_s = self._histogram(
            "meralion_answer_seconds", "Time to an answer's end.", _WHOLE_S, *labels
        )
        self._itl_s = self._histogram(
            "meralion_inter_token_seconds",
            "Mean time between an answer's tokens.",
            _BETWEEN_TOKENS_S,
            *labels,
        )
        self._queue_s = self._histogram(
            "meralion_queue_seconds", "Time that an answer waited for a place.", _FIRST_TOKEN_S, *labels
        )
        self._decode_s = self._histogram(
            "meralion_decode_seconds", "Time to decode a request's recordings.", _FIRST_TOKEN_S, "model"
        )
        self._audio_s = self._histogram("meralion_audio_seconds", "Sound in a request.", _SOUND_S, "model")
        self._tokens = self._histogram("meralion_answer_tokens", "Tokens of an answer.", _TOKENS, *labels)

    def add(self, parts: Collector) -> None:
        """Read these too when metrics are asked for."""
        self.registry.register(parts)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Note the end of a request; `route` is the template, empty where there is none."""
        method = method if method in _METHODS else "other"
        self._requests.labels(method, route or "none", str(status)).inc()
        self._request_s.labels(route or "none").observe(seconds)

    def answer(self, model: str, timing: Timing) -> None:
        """Note the end of an answer, whole or not."""
        labels = (model, timing.cache)
        self.answers[timing.cache] += 1
        self._answers.labels(*labels, "yes" if timing.done else "no").inc()
        if timing.ttft_ms is not None:
            self._ttft_s.labels(*labels).observe(timing.ttft_ms / 1_000)
        if timing.audio_s:
            self._audio_s.labels(model).observe(timing.audio_s)
            self._decode_s.labels(model).observe(timing.decode_ms / 1_000)
        if timing.total_ms is not None:
            self._total_s.labels(*labels).observe(timing.total_ms / 1_000)
        if timing.done and timing.tokens:
            self._tokens.labels(*labels).observe(timing.tokens)
        if timing.itl_ms is not None:
            self._itl_s.labels(*labels).observe(timing.itl_ms / 1_000)
        if timing.cache in (MISS, BYPASS):  # a wait that is shared is one wait
            self._queue_s.labels(*labels).observe(timing.queue_ms / 1_000)

    def text(self) -> bytes:
        """Return everything in Prometheus's text format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(name, what, labels, registry=self.registry)

    def _histogram(self, name: str, what: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(name, what, labels, registry=self.registry, buckets=buckets)
