"""How the controller is: for people, for Prometheus, and what it can be asked, as a document."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from backend.openapi import document
from backend.routes.parts import House
from backend.status import card

router = APIRouter()


@router.get("/v1/status")
async def status(house: House) -> dict[str, Any]:
    """Say how every part is."""
    return card(house)


@router.get("/metrics")
async def metrics(house: House) -> Response:
    """Give every count and time in Prometheus's text format."""
    return Response(house.metrics.text(), media_type=CONTENT_TYPE_LATEST)


@router.get("/openapi.json")
async def describe(house: House) -> dict[str, Any]:
    """Describe every route, as OpenAPI 3.1."""
    return document(house.settings)
