"""`/v1/audio/*`: transcriptions, translations into English, and speech, in OpenAI's form."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from itertools import chain

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from model import logs
from model.audio import Pcm, seconds
from model.bodies import read_form, read_json
from model.embedded.in_thread import from_thread
from model.embedded.intents import Task as Intended
from model.embedded.models import CASCADE_ID, SPEECH_ID, Models
from model.embedded.recogniser import Recogniser
from model.embedded.speech import UnknownVoice
from model.embedded.speech_formats import MEDIA_TYPES, encode_stream
from model.embedded.tracing import span
from model.embedded.wire import SpeechBody, parse
from model.errors import BadRequest, Unavailable
from model.long_audio.forms import Form, Task, form
from model.long_audio.replies import Pieces, reply
from model.mini.engine import Mini

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
    pcm, asked, recogniser = await _understood(request, models, task)
    return await reply(request, asked, task, seconds(pcm), _read(models, recogniser, pcm, task, asked))


async def _understood(request: Request, models: Models, task: Task) -> tuple[Pcm, Form, Recogniser | Mini]:
    """Read, check and decode; the file, which may be large, is let go on return. Raises EngineError."""
    file, fields = await read_form(request, models.settings.max_transcription_mb << 20)
    asked = form(fields)
    ears = models.ears(asked.model or CASCADE_ID)
    logs.note(model=asked.model or CASCADE_ID)
    if task == "translate" and (why := ears.unsupported.get(Intended.TRANSLATE)):
        raise BadRequest("capability_missing", f"{why} Use '{CASCADE_ID}'.", "model")
    known = ears.recogniser.languages
    if asked.language and asked.language not in known:
        codes = "such as en, zh, ms or ta" if "zh" in known else f"that this model knows: {', '.join(known)}"
        raise BadRequest("invalid_value", f"language must be a two-letter code {codes}.", "language")
    return await models.decoder.decode(file, models.long_limits), asked, ears.recogniser


async def _read(models: Models, recogniser: Recogniser | Mini, pcm: Pcm, task: Task, asked: Form) -> Pieces:
    # Who waits for the first words of a short clip has them at once; all else is looked over first.
    careful = not asked.stream or seconds(pcm) > models.settings.max_audio_seconds
    logs.note(seconds=round(seconds(pcm), 2))
    async with models.places_for(seconds(pcm)):
        read = recogniser.recognise(pcm, task, asked.language, asked.is_timed, careful)
        with span("transcribe"):
            async with aclosing(from_thread(read)) as pieces:
                async for piece in pieces:
                    yield piece


async def speech(request: Request) -> Response:
    """Read a text aloud; the sound is sent sentence by sentence as it is made."""
    models: Models = request.app.state.models
    body = parse(SpeechBody, await read_json(request, models.settings.max_body_mb << 20))
    models.check(body.model, SPEECH_ID)
    logs.note(model=SPEECH_ID)
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
        with span("speech"):
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
        with span("speech"):
            async for piece in sound:
                yield piece
