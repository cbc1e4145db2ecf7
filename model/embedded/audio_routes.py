"""`/v1/audio/*`: transcriptions, translations into English, and speech, in OpenAI's form."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from itertools import chain

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

from model.audio import Pcm, seconds
from model.embedded import subtitles
from model.embedded.bodies import read_form, read_json
from model.embedded.chat import ClientGone
from model.embedded.errors import BadRequest, Unavailable
from model.embedded.in_thread import from_thread
from model.embedded.models import CASCADE_ID, SPEECH_ID, Models
from model.embedded.recogniser import Recognised, Task
from model.embedded.speech import UnknownVoice
from model.embedded.speech_formats import MEDIA_TYPES, encode_stream
from model.embedded.wire import SpeechBody, parse, sse

FORMATS = ("json", "text", "verbose_json", "srt", "vtt")

# OpenAI's voices, for clients that know no others.
OPENAI_VOICES = {
    **dict.fromkeys(("alloy", "ballad", "coral", "fable", "nova", "sage", "shimmer"), 0),
    **dict.fromkeys(("ash", "echo", "onyx", "verse"), 1),
}


async def transcriptions(request: Request) -> Response:
    """Write down what is said."""
    return await _listen(request, "transcribe")


async def translations(request: Request) -> Response:
    """Write down in English what is said in any language."""
    return await _listen(request, "translate")


async def _listen(request: Request, task: Task) -> Response:
    models: Models = request.app.state.models
    file, fields = await read_form(request, models.settings.max_body_mb << 20)
    models.check(fields.get("model", CASCADE_ID), CASCADE_ID)
    form = fields.get("response_format", "json")
    if form not in FORMATS:
        raise BadRequest(
            "invalid_value", f"response_format must be one of: {', '.join(FORMATS)}.", "response_format"
        )
    language = fields.get("language") or None
    if language and language not in models.recogniser.languages:
        raise BadRequest(
            "invalid_value", "language must be a two-letter code such as en, zh, ms or ta.", "language"
        )
    pcm = await models.decoder.decode(file, models.limits)
    if fields.get("stream", "").lower() in ("true", "1"):
        return StreamingResponse(_stream(models, pcm, task, language), media_type="text/event-stream")
    timed = form in ("verbose_json", "srt", "vtt")
    windows: list[Recognised] = []
    async with aclosing(_recognise(models, pcm, task, language, timed)) as pieces:
        async for piece in pieces:
            if await request.is_disconnected():
                raise ClientGone
            if isinstance(piece, Recognised):
                windows.append(piece)
    text = "".join(window.text for window in windows).strip()
    if form == "json":
        return JSONResponse({"text": text})
    if form == "text":
        return PlainTextResponse(text + "\n")
    found = subtitles.segments(windows)
    if form == "srt":
        return PlainTextResponse(subtitles.srt(found))
    if form == "vtt":
        return PlainTextResponse(subtitles.vtt(found), media_type="text/vtt")
    spoken = windows[0].language if windows else language or "en"
    with_words = "word" in fields.get("timestamp_granularities[]", "").split(",")
    return JSONResponse(subtitles.verbose(found, task, spoken, seconds(pcm), text, with_words))


async def _recognise(
    models: Models, pcm: Pcm, task: Task, language: str | None, timed: bool
) -> AsyncGenerator[str | Recognised, None]:
    async with models.places:
        recognised = from_thread(models.recogniser.recognise(pcm, task, language, timed))
        async with aclosing(recognised) as pieces:
            async for piece in pieces:
                yield piece


async def _stream(models: Models, pcm: Pcm, task: Task, language: str | None) -> AsyncGenerator[bytes, None]:
    text = ""
    async with aclosing(_recognise(models, pcm, task, language, False)) as pieces:
        async for piece in pieces:
            if isinstance(piece, str):
                piece = piece if text else piece.lstrip()
                text += piece
                yield sse({"type": "transcript.text.delta", "delta": piece})
    yield sse({"type": "transcript.text.done", "text": text})
    yield sse("[DONE]")


async def speech(request: Request) -> Response:
    """Read a text aloud; the sound is sent sentence by sentence as it is made."""
    models: Models = request.app.state.models
    body = parse(SpeechBody, await read_json(request, models.settings.max_body_mb << 20))
    models.check(body.model, SPEECH_ID)
    if models.speech is None:
        raise Unavailable("speech_unavailable", models.no_speech_reason)
    if not body.input.strip():
        raise BadRequest("input_empty", "There is nothing to say. Send some text as 'input'.", "input")
    voices = models.speech.voices
    number = OPENAI_VOICES.get(body.voice)
    voice = body.voice if number is None else voices[min(number, len(voices) - 1)]
    try:
        sounds = models.speech.synthesise(body.input, voice, body.speed)
    except UnknownVoice as error:
        raise BadRequest("voice_not_found", str(error), "voice") from error
    async with models.places:
        first = await asyncio.to_thread(next, sounds, None)
    if first is None:
        raise BadRequest(
            "input_unspeakable", "There is nothing in this text that I can say. I read English only.", "input"
        )
    return StreamingResponse(
        _say(models, encode_stream(chain([first], sounds), body.response_format)),
        media_type=MEDIA_TYPES[body.response_format],
    )


async def _say(models: Models, pieces: Iterator[bytes]) -> AsyncGenerator[bytes, None]:
    async with models.places, aclosing(from_thread(pieces)) as sound:
        async for piece in sound:
            yield piece
