"""What the host of an event may do, by the host's key: look, pause, start all over, restart an engine."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request

from backend import wire
from backend.body import read_json
from backend.host_card import card
from backend.routes.parts import House, controller, share_of

PREFIX = "/v1/host"


async def _is_host(request: Request) -> None:
    await controller(request).host_key.admit(request)


router = APIRouter(prefix=PREFIX, dependencies=[Depends(_is_host)])


@router.get("")
async def look(house: House) -> dict[str, Any]:
    """Show the card."""
    return card(house)


@router.post("/pause")
async def pause(request: Request, house: House) -> dict[str, Any]:
    """Refuse new questions, or take them again; answers under way come to their end."""
    said = wire.parse(wire.PauseBody, await read_json(request, house.settings, share_of(request)))
    await house.host.pause(said.paused)
    return card(house)


@router.post("/start_over")
async def start_over(house: House) -> dict[str, Any]:
    """End every answer, empty the queue and the uploads, and have all pages begin anew."""
    await house.host.start_over()
    return card(house)


@router.post("/instances/{name:path}/restart")
async def restart(name: str, house: House) -> dict[str, Any]:
    """Start an engine again that the controller has started itself."""
    house.fleet.restart(name)
    return card(house)
