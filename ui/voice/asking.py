"""Who answers what is said: the model chosen for all pages, and the voice that reads its answers aloud."""

from __future__ import annotations

from collections.abc import Callable

from ui.client import AnswerStream, Client
from ui.connection import all_models, wait_until_up
from ui.session import forget
from ui.settings import settings
from ui.voice.exchange import Exchange, Voice, messages
from ui.voice.state import MODEL_LIMIT_S, Asker
from ui.wire import ClientError, ModelCard

MAX_TOKENS = 160  # a spoken answer is short; what is longer bores who listens
EARLIER_TURNS = 6


def asker(client: Client, model: ModelCard) -> Asker:
    """Gather all that an answer needs; the threads that use it never look at the page."""
    host = settings()

    def open_stream(wav: bytes, before: list[Exchange], tell: Callable[[str], None]) -> AnswerStream:
        wait_until_up(client, model.id)
        stored = client.upload(wav, "spoken.wav")
        tell(stored.file_id)
        told = messages(before[-EARLIER_TURNS:], stored.file_id)
        tokens = min(MAX_TOKENS, host.max_tokens)
        return client.chat(model.id, told, host.answer_timeout_s, temperature=0, max_tokens=tokens)

    return Asker(
        open_stream,
        lambda files: forget(client, files),
        voice(client),
        model.max_audio_seconds or MODEL_LIMIT_S,
        host.left_alone_s,
        writes_down_first(model),
        model.id,
    )


def writes_down_first(model: ModelCard) -> bool:
    """Whether a model tells the words that it heard before it answers, so that no words were no speech.

    Of our small models the one that talks does; others hear the sound itself, or say that they do not talk.
    """
    return model.engine == "embedded" and model.can("chat").supported


def voice(client: Client) -> Voice | None:
    """Return the speech model that is up, the default one before others, if there is any."""
    try:
        cards = [card for card in all_models() if card.kind == "speech" and card.state == "up"]
    except ClientError:
        return None
    if not cards:
        return None
    name, languages = cards[0].id, cards[0].languages
    wanted = settings().voice
    return Voice(lambda text: client.speak(text, name, wanted), languages)
