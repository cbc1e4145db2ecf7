"""The loaded models of the engine, and what `/v1/models` says of them."""

from collections.abc import AsyncGenerator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.audio import Decoder
from model.audio_limits import Limits
from model.embedded import cascade, weights
from model.embedded.cascade import Cascade
from model.embedded.intents import Task
from model.embedded.recogniser import Recogniser
from model.embedded.settings import Settings
from model.embedded.speech import Speech
from model.embedded.text_model import TextModel
from model.embedded.transcriber import Transcriber
from model.errors import NotFound
from model.mini import MINI_ID
from model.mini.engine import Mini
from model.mini.threads import one_for_blas
from model.places import Places

CASCADE_ID = "whisper-base-smollm2"
BASE_ID = "whisper-base"
TINY_ID = "whisper-tiny-en"
SPEECH_ID = "kokoro-82m"
LONG_WAITING = 4  # recordings of up to hours that may wait for one of their places
STARTED = 1_764_000_000  # fixed, so that `created` does not change from start to start


@dataclass(frozen=True)
class Ears:
    """A model that listens: what reads its clips, what answers about them, and what it cannot do and why."""

    recogniser: Recogniser | Mini
    answerer: Cascade | Transcriber | Mini
    unsupported: Mapping[Task, str]


@dataclass
class Models:
    """Everything that requests share."""

    settings: Settings
    text_model: TextModel
    listening: Mapping[str, Ears]  # by the model's id
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
        speaks: dict[str, Any] = {"supported": self.speech is not None}
        if self.speech is None:
            speaks["reason"] = self.no_speech_reason
        return [
            *(
                _card(id_, _able(ears), self.settings.max_audio_seconds)
                for id_, ears in self.listening.items()
            ),
            _card(SPEECH_ID, {"speech": speaks}, 0.0),
        ]

    def ears(self, model: str) -> Ears:
        """The model of that name that listens. Raises NotFound."""
        self.check(model, *self.listening)
        return self.listening[model]

    def check(self, model: str, *wanted: str) -> None:
        """Raise NotFound unless `model` is one that is meant."""
        if model not in wanted:
            names = " or ".join(f"'{name}'" for name in wanted)
            raise NotFound(
                "model_not_found", f"There is no model '{model[:64]}' for this here. Use {names}.", "model"
            )

    async def close(self) -> None:
        """Let go of connections and child processes."""
        await self.text_model.close()
        await self.decoder.close()


def _able(ears: Ears) -> dict[str, Any]:
    """What a model that listens can do; who takes part in a conversation is one that talks."""
    card: dict[str, Any] = {str(task): {"supported": True} for task in Task}
    card |= {str(task): {"supported": False, "reason": why} for task, why in ears.unsupported.items()}
    return card | {"chat": card[Task.TALK]}


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
        weights.WeightsError: a Whisper or the text model cannot be used; a missing voice only ends speech.
        model.mini.tensors.ModelError: MERaLiON-Mini cannot be used.
    """
    cache = settings.cache or weights.default_cache()
    if settings.mini_folder:
        one_for_blas()
    with ThreadPoolExecutor() as pool:
        whisper = pool.submit(weights.whisper_folder, cache)
        smollm2 = pool.submit(weights.text_model)
        recogniser = pool.submit(lambda: Recogniser(whisper.result(), settings.threads))
        text_model = pool.submit(lambda: TextModel(smollm2.result(), settings.threads, settings.max_running))
        speech = pool.submit(_speech, settings, cache)
        # After them, since it wants the same files, which then have been joined and checked.
        mini = pool.submit(lambda: (whisper.result(), smollm2.result()) and _mini(settings, cache))
        tiny = pool.submit(_tiny, settings)
    voice, reason = speech.result()
    heard, written = recogniser.result(), text_model.result()
    listening = {CASCADE_ID: Ears(heard, Cascade(heard, written), cascade.UNSUPPORTED)}
    if whole := mini.result():
        listening[MINI_ID] = Ears(whole, whole, whole.unsupported)
    if settings.whisper_base:
        listening[BASE_ID] = _alone(heard)
    if small := tiny.result():
        listening[TINY_ID] = _alone(small)
    return Models(
        settings,
        written,
        listening,
        voice,
        reason,
        Decoder(),
        Places(settings.max_running, settings.max_waiting),
        Places(max(1, settings.max_running // 2), LONG_WAITING),
    )


def _mini(settings: Settings, cache: Path) -> Mini | None:
    return Mini.load(settings.mini_folder, cache, settings.threads) if settings.mini_folder else None


def _tiny(settings: Settings) -> Recogniser | None:
    return Recogniser(weights.whisper_tiny_folder(), settings.threads) if settings.whisper_tiny else None


def _alone(recogniser: Recogniser) -> Ears:
    transcriber = Transcriber(recogniser)
    return Ears(recogniser, transcriber, transcriber.unsupported)


def _speech(settings: Settings, cache: Path) -> tuple[Speech | None, str]:
    if not settings.speech:
        return None, "Speech is switched off here (MERALION_ENGINE_SPEECH)."
    try:
        return Speech.load(settings.threads, cache), ""
    except weights.WeightsError as error:
        return None, f"This machine has no voice: {error}"
