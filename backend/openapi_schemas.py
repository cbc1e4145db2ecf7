"""The schemas of our OpenAPI document: requests from what checks them, responses as written here."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from backend import wire
from backend.registry import CAPABILITIES
from backend.timing import BYPASS, HIT, MISS, SHARED
from model.audio import SAMPLE_RATE

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer", "minimum": 0}
NUMBER: Schema = {"type": "number", "minimum": 0}
FLAG: Schema = {"type": "boolean"}
RECORDING: Schema = {
    "type": "string",
    "format": "binary",
    "description": "A recording in any container that FFmpeg reads: WAV, MP3, M4A, FLAC, Ogg, WebM.",
}


def ref(name: str) -> Schema:
    """Return a reference to one of the document's schemas."""
    return {"$ref": f"#/components/schemas/{name}"}


def thing(*, optional: Schema | None = None, **fields: Schema) -> Schema:
    """Return an object's schema. What is `optional` may be absent; other fields than named may come later."""
    return {"type": "object", "required": list(fields), "properties": fields | (optional or {})}


def one_of(*values: str) -> Schema:
    """Return the schema of a word."""
    return {"type": "string", "enum": list(values)}


def many(items: Schema) -> Schema:
    """Return a list's schema."""
    return {"type": "array", "items": items}


def maybe(schema: Schema) -> Schema:
    """Return a schema that takes null too."""
    return {"anyOf": [schema, {"type": "null"}]}


_BODIES = (wire.ChatBody, wire.SpeechBody, wire.ListenForm, wire.PauseBody)


def schemas() -> dict[str, Schema]:
    """Return every schema by its name."""
    bodies: list[Any] = [(kind, "validation") for kind in _BODIES]
    _, requests = models_json_schema(bodies, ref_template="#/components/schemas/{model}")
    listen = requests["$defs"]["ListenForm"]
    fields = {name: _without_null(field) for name, field in listen["properties"].items()}
    fields["timestamp_granularities[]"] = fields.pop("timestamp_granularities")
    listen["properties"] = {"file": RECORDING} | fields
    listen["required"] = ["file", *listen["required"]]
    return {**requests["$defs"], **_RESPONSES}


def _without_null(schema: Schema) -> Schema:
    """Return a field's schema as a form can carry it: it is there or it is not."""
    return schema["anyOf"][0] if "anyOf" in schema else schema


_USAGE = thing(prompt_tokens=WHOLE, completion_tokens=WHOLE, total_tokens=WHOLE)
_TIMING = thing(
    decode_ms=NUMBER,
    queue_ms=NUMBER,
    cache=one_of(HIT, MISS, SHARED, BYPASS),
    ttft_ms=maybe(NUMBER),
    itl_ms=maybe(NUMBER),
    tokens_per_s=maybe(NUMBER),
    total_ms=NUMBER,
    instance=TEXT,
    attempts=WHOLE,
    resumed=WHOLE,
    hedged=WHOLE,
    optional={"asr_ms": NUMBER, "llm_ms": NUMBER, "audio_s": NUMBER},
)
_CAPABILITY = thing(supported=FLAG, optional={"reason": TEXT})
_STATE = one_of("up", "starting", "down")
_HEAD: dict[str, Schema] = {"id": TEXT, "created": WHOLE, "model": TEXT}
_CHOICE_END = maybe(one_of("stop", "length", "content_filter"))

_RESPONSES: dict[str, Schema] = {
    "Error": thing(error=thing(message=TEXT, type=TEXT, param=maybe(TEXT), code=maybe(TEXT))),
    "Timing": _TIMING,
    "Usage": _USAGE,
    "ChatCompletion": thing(
        **_HEAD,
        object=one_of("chat.completion"),
        choices=many(
            thing(
                index=WHOLE,
                message=thing(role=one_of("assistant"), content=TEXT, refusal={"type": "null"}),
                finish_reason=TEXT,
                logprobs={"type": "null"},
            )
        ),
        usage=ref("Usage"),
        meralion=thing(timing=ref("Timing"), optional={"heard": TEXT}),
    ),
    "ChatChunk": {
        "description": "One event of a stream. A chunk with an empty delta and `meralion.queued` tells the "
        "place in the queue; with `choices` empty, `usage` the cost. The chunk with a `finish_reason` "
        "carries `meralion.timing`. Then comes [DONE]; or, where an answer breaks off, an event with an "
        "Error and no [DONE].",
        **thing(
            **_HEAD,
            object=one_of("chat.completion.chunk"),
            choices=many(
                thing(
                    index=WHOLE,
                    delta=thing(optional={"role": TEXT, "content": TEXT}),
                    finish_reason=_CHOICE_END,
                    logprobs={"type": "null"},
                )
            ),
            optional={
                "usage": maybe(ref("Usage")),
                "meralion": thing(
                    optional={
                        "heard": TEXT,
                        "timing": ref("Timing"),
                        "queued": thing(position={"type": "integer", "minimum": 1}, waiting=WHOLE),
                    }
                ),
            },
        ),
    },
    "Transcription": {"description": "As the engine writes it.", **thing(text=TEXT)},
    "File": thing(
        id=TEXT,
        object=one_of("file"),
        bytes=WHOLE,
        created_at=WHOLE,
        expires_at=WHOLE,
        filename=TEXT,
        purpose=TEXT,
        status=one_of("processed"),
        meralion=thing(
            seconds=NUMBER,
            sha256_pcm={"type": "string", "pattern": "^[0-9a-f]{64}$"},
            sample_rate={"const": SAMPLE_RATE},
            optional={"decode_ms": NUMBER},
        ),
    ),
    "FileList": thing(object=one_of("list"), data=many(ref("File")), has_more=FLAG),
    "FileDeleted": thing(id=TEXT, object=one_of("file"), deleted={"const": True}),
    "Upload": thing(
        file=RECORDING,
        optional={"purpose": one_of("user_data", "assistants", "batch", "evals", "fine-tune", "vision")},
    ),
    "Model": thing(
        id=TEXT,
        object=one_of("model"),
        created=WHOLE,
        owned_by=TEXT,
        meralion=thing(
            title=TEXT,
            sentence=TEXT,
            kind=one_of("chat", "speech"),
            engine=one_of("embedded", "openai", "vllm"),
            state=_STATE,
            detail=TEXT,
            default=FLAG,
            languages=many(TEXT),
            licence=TEXT,
            hub_id=TEXT,
            revision=TEXT,
            max_audio_seconds=NUMBER,
            capabilities=thing(**dict.fromkeys(CAPABILITIES, _CAPABILITY)),
        ),
    ),
    "ModelList": thing(object=one_of("list"), data=many(ref("Model"))),
    "Health": thing(
        status=one_of("ok", "starting", "degraded"),
        models={"type": "object", "additionalProperties": _STATE},
    ),
    "HostCard": thing(
        object=one_of("host"),
        uptime_s=NUMBER,
        paused=FLAG,
        visits_epoch=WHOLE,
        waiting=many(thing(place={"type": "integer", "minimum": 1}, waited_s=NUMBER, model=TEXT)),
        answering=many(thing(instance=TEXT, seconds=NUMBER)),
        instances=many(
            thing(
                name=TEXT,
                models=many(TEXT),
                condition=one_of("ready", "full", "resting", "starting", "down", "leaving"),
                sentence=TEXT,
                busy=WHOLE,
                places=WHOLE,
                can_restart=FLAG,
            )
        ),
        cache=thing(hits=WHOLE, misses=WHOLE, hit_rate=maybe(NUMBER)),
        files=thing(count=WHOLE),
        errors=many(thing(code=TEXT, count=WHOLE, last_s=NUMBER, sentence=TEXT)),
        redis=one_of("up", "away", "off"),
    ),
    "Status": thing(
        object=one_of("status"),
        version=TEXT,
        started_at=WHOLE,
        uptime_s=NUMBER,
        config=thing(loaded_at=WHOLE, error=maybe(TEXT)),
        models=many(thing(id=TEXT, state=_STATE, detail=TEXT, instances=many(TEXT), waiting=WHOLE)),
        instances=many(
            thing(
                name=TEXT,
                models=many(TEXT),
                state=_STATE,
                detail=TEXT,
                draining=FLAG,
                breaker=one_of("closed", "open", "half_open"),
                weight=NUMBER,
                places=WHOLE,
                limit=WHOLE,
                busy=WHOLE,
                outstanding_ms=NUMBER,
                asked=WHOLE,
                succeeded=WHOLE,
                failed=WHOLE,
                tokens=WHOLE,
            )
        ),
        queue=thing(waiting=WHOLE, busy=WHOLE, places=WHOLE),
        cache=thing(store=one_of("sqlite", "redis", "none"), hits=WHOLE, misses=WHOLE, bytes=WHOLE),
        flights=thing(open=WHOLE, shared=WHOLE),
        files=thing(count=WHOLE, bytes=WHOLE),
        uploads=thing(bytes=WHOLE),
        event=thing(paused=FLAG, visits_epoch=WHOLE),
        redis=one_of("up", "away", "off"),
    ),
}
