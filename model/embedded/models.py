"""The loaded models of the engine, and what `/v1/models` says of them."""

from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.audio import Decoder
from model.audio_limits import Limits
from model.embedded import weights
from model.embedded.cascade import UNSUPPORTED, Cascade
from model.embedded.intents import Task
from model.embedded.recogniser import Recogniser
from model.embedded.settings import Settings
from model.embedded.speech import Speech
from model.embedded.text_model import TextModel
from model.errors import NotFound
from model.places import Places

CASCADE_ID = "whisper-base-smollm2"
SPEECH_ID = "kokoro-82m"
LONG_WAITING = 4  # recordings of up to hours that may wait for one of their places
STARTED = 1_764_000_000  # fixed, so that `created` does not change from start to start


@dataclass
class Models:
    """Everything that requests share."""

    settings: Settings
    recogniser: Recogniser
    text_model: TextModel
    cascade: Cascade
    speech: Speech | None
    no_speech_reason: str
    decoder: Decoder
    places: Places
    long_places: Places

    @property
    def limits(self) -> Limits:
        """What a clip in a conversation may be."""
        return Limits(max_seconds=self.settings.max_audio_seconds)

    @property
    def long_limits(self) -> Limits:
        """What a recording to transcribe may be."""
        return Limits(
            max_bytes=self.settings.max_transcription_mb << 20,
            max_seconds=self.settings.max_transcription_seconds,
        )

    @asynccontextmanager
    async def places_for(self, seconds: float) -> AsyncGenerator[None, None]:
        """Hold a place to read `seconds` of sound; long recordings share half of them. Raises Busy."""
        async with AsyncExitStack() as held:
            if seconds > self.settings.max_audio_seconds:
                await held.enter_async_context(self.long_places)
            await held.enter_async_context(self.places)
            yield

    def cards(self) -> list[dict[str, Any]]:
        """The models in OpenAI's form, with what each can do."""
        listens = {str(task): {"supported": True} for task in Task if task not in UNSUPPORTED}
        deaf = {str(task): {"supported": False, "reason": why} for task, why in UNSUPPORTED.items()}
        speaks: dict[str, Any] = {"supported": self.speech is not None}
        if self.speech is None:
            speaks["reason"] = self.no_speech_reason
        return [
            _card(
                CASCADE_ID, {**listens, **deaf, "chat": {"supported": True}}, self.settings.max_audio_seconds
            ),
            _card(SPEECH_ID, {"speech": speaks}, 0.0),
        ]

    def check(self, model: str, wanted: str) -> None:
        """Raise NotFound unless `model` is the one that is meant."""
        if model != wanted:
            raise NotFound(
                "model_not_found", f"There is no model '{model[:64]}' for this here. Use '{wanted}'.", "model"
            )

    async def close(self) -> None:
        """Let go of connections and child processes."""
        await self.text_model.close()
        await self.decoder.close()


def _card(id_: str, capabilities: dict[str, Any], seconds: float) -> dict[str, Any]:
    return {
        "id": id_,
        "object": "model",
        "created": STARTED,
        "owned_by": "embedded",
        "meralion": {"capabilities": capabilities, "max_audio_seconds": seconds},
    }


def load(settings: Settings) -> Models:
    """Check and load all weights, side by side.

    Raises:
        weights.WeightsError: Whisper or the text model cannot be used; a missing voice only ends speech.
    """
    cache = settings.cache or weights.default_cache()
    with ThreadPoolExecutor() as pool:
        recogniser = pool.submit(lambda: Recogniser(weights.whisper_folder(cache), settings.threads))
        text_model = pool.submit(
            lambda: TextModel(weights.text_model(), settings.threads, settings.max_running)
        )
        speech = pool.submit(_speech, settings, cache)
    voice, reason = speech.result()
    heard, written = recogniser.result(), text_model.result()
    return Models(
        settings,
        heard,
        written,
        Cascade(heard, written),
        voice,
        reason,
        Decoder(),
        Places(settings.max_running, settings.max_waiting),
        Places(max(1, settings.max_running // 2), LONG_WAITING),
    )


def _speech(settings: Settings, cache: Path) -> tuple[Speech | None, str]:
    if not settings.speech:
        return None, "Speech is switched off here (MERALION_ENGINE_SPEECH)."
    try:
        return Speech.load(settings.threads, cache), ""
    except weights.WeightsError as error:
        return None, f"This machine has no voice: {error}"
