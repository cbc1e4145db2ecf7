"""Finds out which instances are up, and what their engines say they can do."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import httpx

from backend import logs
from backend.balancer import Instance, State

_RETRY_S = 0.5  # between looks at an instance that is not up
_TIMEOUT_S = 5.0


async def watch(instance: Instance, client: httpx.AsyncClient, interval_s: float) -> None:
    """Look at one instance for ever: now and then while it is up, often while not, at once when in doubt."""
    while True:
        if instance.url is None:  # its engine has no address yet; whoever starts it tells
            await instance.changed()
            continue
        before, url = instance.state, instance.url
        state, detail = await _look(instance, client)
        if before == "up" and state != "up":  # a busy machine may miss one look
            state, detail = await _look(instance, client)
        if instance.url == url and (state, detail) != (instance.state, instance.detail):
            instance.set(state, detail)
        if state != before:
            logs.event(
                "instance",
                level=logging.INFO if state == "up" else logging.WARNING,
                instance=instance.name,
                state=state,
            )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(interval_s if state == "up" else _RETRY_S):
                await instance.changed()


async def _look(instance: Instance, client: httpx.AsyncClient) -> tuple[State, str]:
    """Ask for the list of models, which every engine has; any answer but 503 shows that it is there."""
    try:
        response = await client.get(f"{instance.url}/v1/models", headers=instance.headers, timeout=_TIMEOUT_S)
    except httpx.TimeoutException:
        if instance.busy and instance.state == "up":
            return "up", ""  # too busy answering to talk about itself
        return "down", f"The engine at {instance.name} does not respond."
    except httpx.HTTPError:
        state: State = "starting" if instance.supervised else "down"
        return state, f"The engine at {instance.name} cannot be reached."
    if response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        return "starting", "The engine is loading its model."
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
        instance.cards = {card["id"]: card.get("meralion") or {} for card in response.json()["data"]}
    return "up", ""
