"""What an engine's error response means for the caller."""

from __future__ import annotations

import json

import httpx

from backend.errors import Busy, ControllerError, InvalidRequest, TooLarge, Unavailable, UpstreamFailed

_MAX_BYTES = 64 * 2**10
_MAX_CHARS = 400


async def refusal(response: httpx.Response) -> ControllerError:
    """Read an error response, no further than it can be useful, and return ours."""
    body = b""
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > _MAX_BYTES:
            break
    try:
        error = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        error = {}
    return from_object(response.status_code, error)


def from_object(status: int, error: object) -> ControllerError:
    """Map a status and an OpenAI error object to our tree.

    Only what concerns the caller's own request is passed on in the engine's words.
    """
    said = error if isinstance(error, dict) else {}
    message, code = str(said.get("message") or "")[:_MAX_CHARS], str(said.get("code") or "upstream_rejected")
    if status in (401, 403):
        return UpstreamFailed(
            "upstream_key_refused",
            "The model's server does not accept our key. Whoever runs this demo must set it (`api_key_env`).",
            again=False,
        )
    if status == 404:
        return UpstreamFailed(
            "upstream_model_missing",
            "The model's server does not know it. Whoever runs this demo must check `upstream_model`.",
            again=False,
        )
    if status == 413:
        return TooLarge(code, message or "The request is too large for this model. Send a shorter clip.")
    if status in (400, 415, 422):
        return InvalidRequest(
            code, message or "The model does not take this request. Change it and try again."
        )
    if status == 429:
        return Busy(
            "model_busy",
            "The model is busy with others. Ask again in a moment.",
            headers={"Retry-After": "2"},
        )
    if status == 503:
        return Unavailable(code, message or "The model cannot answer now. Ask again in a moment.")
    return UpstreamFailed(
        "upstream_failed", "The model failed to answer. Ask again, or choose another model."
    )
