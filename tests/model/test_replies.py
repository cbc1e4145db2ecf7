"""A transcript on its way out: what a stream tells, with times and without, from windows that are made up."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from model.errors import EngineError, Failed, explained
from model.long_audio.forms import Form
from model.long_audio.readings import Reading, Word
from model.long_audio.replies import Pieces, reply
from model.long_audio.spans import Span

SECONDS = 40.004
FIRST = Reading(
    Span(0.25, 12.5),
    "en",
    " Two kopi. One teh.",
    [
        Word(" Two", 0.5, 0.75),
        Word(" kopi.", 0.75, 1.25),
        Word(" One", 3.0, 3.25),
        Word(" teh.", 3.25, 3.5),
    ],
)
QUIET = Reading(Span(14.0, 20.0), "en")  # in which the model found no words
LAST = Reading(Span(20.0, 31.126), "en", " Thank you", [Word(" Thank", 21.0, 21.5), Word(" you", 21.5, 22.0)])
TIMED = ("verbose_json", "srt", "vtt")
PLAIN = (
    b'data: {"type": "transcript.text.delta", "delta": "Two kopi."}\n\n'
    b'data: {"type": "transcript.text.delta", "delta": " One teh."}\n\n'
    b'data: {"type": "transcript.text.delta", "delta": " Thank you"}\n\n'
    b'data: {"type": "transcript.text.done", "text": "Two kopi. One teh. Thank you"}\n\n'
    b"data: [DONE]\n\n"
)


def answer(form: str, *pieces: str | Reading | EngineError) -> httpx.Response:
    """What a caller gets who asks for a stream in a form, and is given these pieces."""

    async def read() -> Pieces:
        for piece in pieces:
            if isinstance(piece, EngineError):
                raise piece
            yield piece

    async def listen(request: Request) -> Response:
        return await reply(request, Form(None, form, None, True, False), "transcribe", SECONDS, read())

    async def ask() -> httpx.Response:
        app = Starlette(routes=[Route("/", explained(listen), methods=["POST"])])
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://engine") as http:
            return await http.post("/")

    return asyncio.run(ask())


def events(response: httpx.Response) -> list[Any]:
    """The events of a stream; [DONE] as it is."""
    lines = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def progress(read_until: float) -> dict[str, Any]:
    return {"type": "meralion.progress", "read_until": read_until, "seconds": 40.0}


def segment(number: int, start: float, end: float, text: str) -> dict[str, Any]:
    return {"type": "transcript.text.segment", "id": number, "start": start, "end": end, "text": text}


def delta(text: str) -> dict[str, Any]:
    return {"type": "transcript.text.delta", "delta": text}


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_plain_stream_is_words_alone_to_the_byte(form: str) -> None:
    response = answer(form, " Two kopi.", " One teh.", FIRST, QUIET, " Thank you", LAST)
    assert response.content == PLAIN


@pytest.mark.parametrize("form", TIMED)
def test_a_timed_stream_tells_sentences_and_how_far_it_is_at_the_end_of_each_window(form: str) -> None:
    response = answer(form, " Two kopi.", " One teh.", FIRST, QUIET, " Thank you", LAST)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert events(response) == [
        progress(0.0),
        delta("Two kopi."),
        delta(" One teh."),
        segment(0, 0.5, 1.25, "Two kopi."),
        segment(1, 3.0, 3.5, "One teh."),
        progress(12.5),
        progress(20.0),
        delta(" Thank you"),
        segment(2, 21.0, 22.0, "Thank you"),
        progress(31.13),
        progress(40.0),
        {"type": "transcript.text.done", "text": "Two kopi. One teh. Thank you"},
        "[DONE]",
    ]


def test_a_window_to_the_very_end_is_the_end() -> None:
    to_the_end = Reading(Span(20.0, SECONDS), "en")
    *told, _ = events(answer("srt", to_the_end))
    assert [event["type"] for event in told].count("meralion.progress") == 2
    assert told[:2] == [progress(0.0), progress(40.0)]


@pytest.mark.parametrize("form", TIMED)
def test_where_nobody_speaks_all_is_soon_read(form: str) -> None:
    whole = {"type": "transcript.text.done", "text": ""}
    assert events(answer(form)) == [progress(0.0), progress(40.0), whole, "[DONE]"]


def test_a_model_that_fails_on_the_way_is_told_after_what_was_read() -> None:
    failed = Failed("engine_failed", "The model failed. Ask again.")
    told = events(answer("verbose_json", " Two kopi. One teh.", FIRST, " Thank", failed))
    assert told[:-1] == [
        progress(0.0),
        delta("Two kopi. One teh."),
        segment(0, 0.5, 1.25, "Two kopi."),
        segment(1, 3.0, 3.5, "One teh."),
        progress(12.5),
        delta(" Thank"),
    ]
    assert told[-1]["error"]["code"] == "engine_failed"


def test_a_model_that_fails_before_the_first_word_is_an_http_error() -> None:
    response = answer("verbose_json", Failed("engine_failed", "The model failed. Ask again."))
    assert (response.status_code, response.json()["error"]["code"]) == (500, "engine_failed")
