"""What can be asked, and what is up now."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse

from backend.controller import Controller
from backend.registry import Row
from backend.routes.parts import House

router = APIRouter()


@router.head("/v1/models", include_in_schema=False)
@router.get("/v1/models")
async def models(house: House) -> dict[str, Any]:
    """List the registry's models."""
    return {"object": "list", "data": [_card(house, row) for row in house.rows.values()]}


@router.get("/v1/models/{model:path}")
async def model(model: str, house: House) -> dict[str, Any]:
    """Show one model."""
    return _card(house, house.row(model))


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz")
async def healthz(house: House) -> dict[str, Any]:
    """Say whether every model is up: ok, starting, or degraded when one is down."""
    return _health(house)


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz")
async def readyz(house: House) -> JSONResponse:
    """Say the same, with 503 while no chat model is up, or none at all where no model chats."""
    chat = [row.id for row in house.rows.values() if row.kind == "chat"]
    ready = any(house.pools[model].state == "up" for model in chat or house.rows)
    return JSONResponse(_health(house), 200 if ready else 503)


def _health(house: Controller) -> dict[str, Any]:
    states = {model: pool.state for model, pool in house.pools.items()}
    worst = "degraded" if "down" in states.values() else "starting" if "starting" in states.values() else "ok"
    return {"status": worst, "models": states}


def _card(house: Controller, row: Row) -> dict[str, Any]:
    pool = house.pools[row.id]
    return {
        "id": row.id,
        "object": "model",
        "created": house.started_at,
        "owned_by": "meralion-demo",
        "meralion": {
            "title": row.title,
            "sentence": row.sentence,
            "kind": row.kind,
            "engine": row.engine,
            "state": pool.state,
            "detail": pool.detail,
            "default": row.default,
            "languages": row.languages,
            "licence": row.licence,
            "hub_id": row.hub_id,
            "revision": row.revision,
            "max_audio_seconds": row.max_audio_seconds,
            "capabilities": house.capabilities(row),
        },
    }
