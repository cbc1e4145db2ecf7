"""The controller's routes as an OpenAPI 3.1 document: what each takes, and everything that it may answer."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from backend.openapi_schemas import TEXT, Schema, one_of, ref, schemas
from backend.settings import Settings
from backend.status import version

_WORDS = {
    400: "The request says something wrong; `param` names the field.",
    401: "No valid key, or no valid visitor's token, where these are asked for.",
    404: "No such model, file or engine; or this controller has no host's key.",
    409: "It cannot be done here, or not as things are.",
    408: "The body did not arrive in time.",
    413: "More bytes than are taken.",
    415: "Not the kind of body that is taken here.",
    429: "Too many wait, or this caller asks too often. `Retry-After` says when to ask again.",
    500: "A mistake of ours.",
    502: "The model's engine refused, broke off or answered nonsense.",
    503: "No engine for this model is up, or the host has paused the demo or started it over.",
}
_READ = (400, 401, 500)  # what any route but /healthz may answer
_SEND = (400, 401, 408, 413, 415, 429, 500)  # with a body besides
_HOST = (401, 404, 429, 500)  # what is for the host alone
_ASK = (400, 401, 404, 408, 413, 415, 429, 500, 502, 503)  # and with an engine

_HEADERS: dict[str, Schema] = {
    "x-request-id": {
        "description": "The caller's own, where it sent a sane one.",
        "required": True,
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
    },
    "Retry-After": {"description": "Seconds until it is worth asking again.", "schema": {"type": "integer"}},
    "WWW-Authenticate": {"schema": TEXT},
    "Server-Timing": {
        "description": "What took how long, in ms, until the answer began.",
        "required": True,
        "schema": TEXT,
    },
    "x-meralion-cache": {
        "description": "`hit`: kept from before; `shared`: somebody asks the same now; `bypass`: never kept.",
        "required": True,
        "schema": one_of("hit", "miss", "shared", "bypass"),
    },
    "x-meralion-instance": {"description": "The engine that answers; none for a hit.", "schema": TEXT},
}
_ANSWER_HEADERS = ("Server-Timing", "x-meralion-cache", "x-meralion-instance")
_ERROR_HEADERS = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}
_JSON = "application/json"
_FORM = "multipart/form-data"
_SSE = "text/event-stream"


def document(settings: Settings) -> dict[str, Any]:
    """Return the document, with the bounds that are set."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "MERaLiON demo controller",
            "version": version(),
            "description": "OpenAI's API in front of any number of engines: questions about recordings, "
            "speech to words, words to speech.",
        },
        "security": [{}, {"key": []}, {"visitor": []}],
        "paths": _paths(settings),
        "components": {
            "schemas": schemas(),
            "headers": _HEADERS,
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer"},
                "host": {"type": "http", "scheme": "bearer", "description": "The host's key."},
                "visitor": {"type": "apiKey", "in": "header", "name": "x-meralion-visitor"},
            },
        },
    }


def _paths(settings: Settings) -> dict[str, Any]:
    upload_mib = f"{settings.max_audio_bytes / 2**20:g} MiB"
    long_mib = f"{settings.max_transcription_bytes / 2**20:g} MiB"
    file_id = _in_path("file_id", "As `POST /v1/files` gave it.")
    text = {"text/plain": {"schema": TEXT}}
    listen = {_JSON: {"schema": ref("Transcription")}, "text/*": {"schema": TEXT}}
    speech = {"audio/*": {"schema": {"type": "string", "format": "binary"}}, "application/octet-stream": {}}
    chat = {_JSON: {"schema": ref("ChatCompletion")}, _SSE: {"schema": TEXT, "x-event": ref("ChatChunk")}}
    wav = {"audio/wav": {"schema": {"type": "string", "format": "binary"}}}
    return {
        "/v1/chat/completions": {
            "post": _op("chat", "Answer a question, streamed or whole.", chat, _ASK, (_JSON, "ChatBody"))
            | {"parameters": [_CACHE_CONTROL]}
        },
        "/v1/audio/transcriptions": {
            "post": _op(
                "transcribe",
                f"Write down what is said, up to {long_mib}.",
                listen,
                _ASK,
                (_FORM, "ListenForm"),
            )
        },
        "/v1/audio/translations": {
            "post": _op(
                "translate",
                f"Write it down in English, up to {long_mib}.",
                listen,
                _ASK,
                (_FORM, "ListenForm"),
            )
        },
        "/v1/audio/speech": {
            "post": _op("speak", "Read a text aloud.", speech, _ASK, (_JSON, "SpeechBody")),
        },
        "/v1/files": {
            "post": _op(
                "upload", f"Keep a recording, up to {upload_mib}.", _json("File"), _SEND, (_FORM, "Upload")
            ),
            "get": _op("files", "List the caller's recordings.", _json("FileList"), _READ)
            | {"parameters": _PAGE},
        },
        "/v1/files/{file_id}": {
            "parameters": [file_id],
            "get": _op("file", "Show one recording's card.", _json("File"), (*_READ, 404)),
            "delete": _op("delete", "Forget a recording.", _json("FileDeleted"), (*_READ, 404)),
        },
        "/v1/files/{file_id}/content": {
            "parameters": [file_id],
            "get": _op("content", "Hear what a model hears: 16 kHz mono WAV.", wav, (*_READ, 404)),
        },
        "/v1/models": {"get": _op("models", "List the models.", _json("ModelList"), _READ)},
        "/v1/models/{model}": {
            "parameters": [_in_path("model", "A model's id.")],
            "get": _op("model", "Show one model.", _json("Model"), (*_READ, 404)),
        },
        "/v1/status": {"get": _op("status", "Say how every part is.", _json("Status"), _READ)},
        **_host(),
        "/metrics": {"get": _op("metrics", "Every figure in Prometheus's text format.", text, _READ)},
        "/openapi.json": {"get": _op("document", "This document.", {_JSON: {}}, _READ)},
        "/healthz": {
            "get": _op("healthz", "Say whether every model is up.", _json("Health"), (500,))
            | {"security": []}
        },
        "/readyz": {"get": _readyz()},
    }


def _host() -> dict[str, Any]:
    """Describe what the host may do."""
    card, body = _json("HostCard"), (400, 408, 413, 415)
    operations: dict[str, Any] = {
        "/v1/host": {
            "get": _op("host", "Show who waits, what each engine does, what went wrong.", card, _HOST)
        },
        "/v1/host/pause": {
            "post": _op("pause", "Refuse new questions, or not.", card, (*_HOST, *body), (_JSON, "PauseBody"))
        },
        "/v1/host/start_over": {
            "post": _op("start_over", "End every answer; forget queue and uploads.", card, _HOST)
        },
        "/v1/host/instances/{name}/restart": {
            "parameters": [_in_path("name", "An engine's, as the card has it.")],
            "post": _op("restart", "Start an engine of the controller's again.", card, (*_HOST, 409)),
        },
    }
    for methods in operations.values():
        for method in {"get", "post"} & methods.keys():
            methods[method]["security"] = [{"host": []}]
    return operations


def _readyz() -> dict[str, Any]:
    """Describe the one route whose 503 is no error: the same object, which says that nothing can chat."""
    operation = _op("readyz", "Say whether a chat model is up.", _json("Health"), (500,)) | {"security": []}
    done = operation["responses"]["200"]
    operation["responses"]["503"] = {**done, "description": "No chat model is up."}
    return operation


def _op(
    name: str, summary: str, content: Schema, errors: tuple[int, ...], body: tuple[str, str] | None = None
) -> dict[str, Any]:
    """Describe one operation: its 200, its errors, and its body as (kind, schema)."""
    headers = _ANSWER_HEADERS if errors is _ASK else ()
    responses = {"200": {"description": "Done.", "headers": _headers(*headers), "content": content}}
    for status in sorted(errors):
        responses[str(status)] = {
            "description": f"{HTTPStatus(status).phrase}. {_WORDS[status]}",
            "headers": _headers(*_ERROR_HEADERS.get(status, ())),
            "content": _json("Error"),
        }
    operation: dict[str, Any] = {"operationId": name, "summary": summary, "responses": responses}
    if body:
        kind, schema = body
        operation["requestBody"] = {"required": True, "content": {kind: {"schema": ref(schema)}}}
    return operation


def _headers(*names: str) -> dict[str, Schema]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in ("x-request-id", *names)}


def _json(schema: str) -> Schema:
    return {_JSON: {"schema": ref(schema)}}


def _in_path(name: str, what: str) -> Schema:
    return {"name": name, "in": "path", "required": True, "description": what, "schema": TEXT}


def _in_query(name: str, schema: Schema, what: str) -> Schema:
    return {"name": name, "in": "query", "description": what, "schema": schema}


_PAGE = [
    _in_query("after", TEXT, "Only what comes after this file."),
    _in_query("limit", {"type": "integer", "minimum": 1, "maximum": 10_000}, "At most so many."),
    _in_query("order", one_of("asc", "desc"), "By age: `desc`, the newest first."),
    _in_query("purpose", TEXT, "Only those that were uploaded for this."),
]
_CACHE_CONTROL = {
    "name": "Cache-Control",
    "in": "header",
    "description": "`no-cache` asks afresh.",
    "schema": TEXT,
}
