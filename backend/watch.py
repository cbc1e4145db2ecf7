"""Finds out which instances are up, and what their engines say they can do."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any

import httpx
from pydantic_core import from_json

from backend import logs
from backend.instance import Instance, State

_FIRST_PAUSE_S = 0.5  # before the next look at an instance that is not up; then twice as long, and so on
_LONGEST_PAUSE_S = 2.0  # so that one that is back is soon used
_STEADY_S = 10.0  # one that goes away again sooner, without a whole answer, is looked at with pauses too
_TIMEOUT_S = 5.0
_CONNECT_S = 2.0  # where packets vanish: looks that hang would miss for long that they no longer do
_MAX_BYTES = 2**20
_NOT_READY = (502, 503, 504)  # an engine that loads, or a proxy before one


class Watch:
    """Looks at one instance: now and then while it is up, with longer and longer pauses while it is not."""

    def __init__(
        self,
        instance: Instance,
        client: httpx.AsyncClient,
        interval_s: float,
        *,
        timeout_s: float = _TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`interval_s` is the time between looks while it is up, and the longest pause after a doubt."""
        self._instance = instance
        self._client = client
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self._clock = clock
        self._pause_s = _FIRST_PAUSE_S

    async def run(self) -> None:
        """Look for ever."""
        instance = self._instance
        while True:
            if instance.url is None:  # its engine has no address yet; whoever starts it tells
                await instance.changed()
            elif await self._look():
                await self._while_up()
            else:
                await self._change_within(min(self._pause_s, _LONGEST_PAUSE_S))
                self._longer()

    async def _while_up(self) -> None:
        """Look now and then until it is not up; after a doubt at once, unless it was in doubt just before."""
        since, answers = self._clock(), self._instance.stats.succeeded
        up = True
        while up and self._instance.state == "up":
            await self._change_within(self._interval_s)
            up = self._instance.state == "up" and await self._look()
        if self._clock() - since > _STEADY_S or self._instance.stats.succeeded > answers:
            self._pause_s = _FIRST_PAUSE_S
        if self._instance.url is not None:
            await asyncio.sleep(self._pause_s - _FIRST_PAUSE_S)
            self._longer()

    def _longer(self) -> None:
        self._pause_s = min(2 * self._pause_s, max(self._interval_s, _FIRST_PAUSE_S))

    async def _change_within(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._instance.changed()

    async def _look(self) -> bool:
        """Look, note what was found, and say whether the instance is up."""
        instance, before, url = self._instance, self._instance.state, self._instance.url
        state, detail = await self._found()
        if (instance.state, instance.url) != (before, url):  # what was found is not true any more
            return False
        if state == "up":
            instance.breaker.probed()
        if (state, detail) != (before, instance.detail):
            instance.set(state, detail)
        if state != before:
            level = logging.INFO if state == "up" else logging.WARNING
            logs.event("instance", level=level, instance=instance.name, state=state)
        return state == "up"

    async def _found(self) -> tuple[State, str]:
        """Ask, twice if need be: a busy machine may miss one look, and one that streams is there."""
        instance, began = self._instance, self._clock()
        for _ in range(2 if instance.state == "up" else 1):
            try:
                async with asyncio.timeout(self._timeout_s):
                    status, body = await self._asked()
            except (TimeoutError, httpx.TimeoutException):
                if instance.state == "up" and instance.answered_at >= began:
                    return "up", ""
                instance.unanswered += 1
                continue
            except httpx.HTTPError:
                instance.unanswered = 0
                return _away(instance), f"The engine at {instance.name} cannot be reached."
            except Exception as error:  # an address that looks like one and is none, for instance
                return self._unasked(error)
            instance.unanswered = 0
            return self._understood(status, body)
        return _away(instance), f"The engine at {instance.name} does not respond."

    def _unasked(self, error: Exception) -> tuple[State, str]:
        """Tell of a look that could not even be made, in the log once."""
        instance = self._instance
        detail = f"The engine at {instance.name} cannot be asked. Check its address in the list of models."
        if instance.detail != detail:
            reason = logs.where(error)
            logs.event("look failed", level=logging.ERROR, instance=instance.name, reason=reason)
        instance.unanswered = 0
        return _away(instance), detail

    async def _asked(self) -> tuple[int, bytes]:
        """Ask for the list of models, which every engine has; read no more of it than can be one."""
        instance, body = self._instance, b""
        url = f"{instance.url}/v1/models"
        limits = httpx.Timeout(None, connect=_CONNECT_S)
        async with self._client.stream("GET", url, headers=instance.headers, timeout=limits) as response:
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > _MAX_BYTES:
                    break
            return response.status_code, body

    def _understood(self, status: int, body: bytes) -> tuple[State, str]:
        """Any answer but that it is not ready shows that it is there."""
        instance = self._instance
        if status in _NOT_READY:
            return "starting", "The engine is loading its model."
        with contextlib.suppress(ValueError):
            cards = _cards(body)
            if cards != instance.cards:
                instance.cards = cards
                instance.tell()
        return "up", ""


async def watch(instance: Instance, client: httpx.AsyncClient, interval_s: float) -> None:
    """Look at one instance for ever."""
    await Watch(instance, client, interval_s).run()


def _cards(body: bytes) -> dict[str, dict[str, Any]]:
    """Return what a list says of each model, as far as it makes sense. Raises ValueError where it is none."""
    said = from_json(body)
    data = said.get("data") if isinstance(said, dict) else None
    if not isinstance(data, list):
        raise ValueError
    named = (card for card in data if isinstance(card, dict) and isinstance(card.get("id"), str))
    return {card["id"]: {"capabilities": _capabilities(card.get("meralion"))} for card in named}


def _capabilities(ours: Any) -> dict[str, dict[str, bool | str]]:
    said = ours.get("capabilities") if isinstance(ours, dict) else None
    if not isinstance(said, dict):
        return {}
    return {name: one for name, value in said.items() if (one := _capability(value))}


def _capability(value: Any) -> dict[str, bool | str]:
    """Return whether it is supported and, if that is said, why not; nothing for what makes no sense."""
    if not isinstance(value, dict):
        return {}
    supported, reason = value.get("supported"), value.get("reason")
    if not isinstance(supported, bool) or not isinstance(reason, str | None):
        return {}
    return {"supported": supported} if reason is None else {"supported": supported, "reason": reason}


def _away(instance: Instance) -> State:
    return "starting" if instance.supervised else "down"
