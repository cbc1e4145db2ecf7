"""What the host asks of the controller, and how it says what it sees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from ui.cascade.secret import Secret
from ui.client import ELSEWHERE
from ui.stream import refusal, sentences


@dataclass(frozen=True)
class Waiting:
    """One who waits, by place in the queue."""

    place: int
    seconds: float
    model: str


@dataclass(frozen=True)
class Engine:
    """One instance; `condition` is ready, full, resting, starting, down or leaving."""

    name: str
    models: Sequence[str]
    condition: str
    sentence: str
    busy: int
    places: int
    can_restart: bool


@dataclass(frozen=True)
class Failure:
    """What went wrong in the last 15 minutes, by code."""

    code: str
    count: int
    seconds: float  # since the last one
    sentence: str


@dataclass(frozen=True)
class Card:
    """All that the host sees."""

    paused: bool
    waiting: Sequence[Waiting]
    answering: int
    engines: Sequence[Engine]
    hit_rate: float | None
    failures: Sequence[Failure]


class Desk:
    """The controller's `/v1/host`, with the host's key. Everything raises ClientError."""

    def __init__(self, base_url: Callable[[], str], http: httpx.Client, key: Secret) -> None:
        self._base_url = base_url
        self._http = http
        self._key = key

    def card(self) -> Card:
        """Look."""
        return self._ask("GET", "")

    def pause(self, paused: bool) -> Card:
        """Refuse new questions, or take them again."""
        return self._ask("POST", "/pause", json={"paused": paused})

    def start_over(self) -> Card:
        """Leave nothing of any visitor."""
        return self._ask("POST", "/start_over")

    def restart(self, name: str) -> Card:
        """Start an engine again."""
        return self._ask("POST", f"/instances/{quote(name, safe='')}/restart")

    def _ask(self, method: str, path: str, **body: Any) -> Card:
        headers = {"Authorization": f"Bearer {self._key.reveal()}"}
        url = f"{self._base_url().rstrip('/')}/v1/host{path}"
        with sentences(ELSEWHERE):
            response = self._http.request(method, url, headers=headers, **body)
        if response.is_error:
            raise refusal(response)
        with sentences(ELSEWHERE):
            return _card(response.json())


def _card(said: Any) -> Card:
    return Card(
        paused=bool(said["paused"]),
        waiting=[Waiting(int(w["place"]), float(w["waited_s"]), str(w["model"])) for w in said["waiting"]],
        answering=len(said["answering"]),
        engines=[
            Engine(
                str(one["name"]),
                tuple(map(str, one["models"])),
                str(one["condition"]),
                str(one["sentence"]),
                int(one["busy"]),
                int(one["places"]),
                bool(one["can_restart"]),
            )
            for one in said["instances"]
        ],
        hit_rate=said["cache"]["hit_rate"],
        failures=[
            Failure(str(e["code"]), int(e["count"]), float(e["last_s"]), str(e["sentence"]))
            for e in said["errors"]
        ],
    )
