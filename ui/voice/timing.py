"""How long an answer took from the last word said to the first sound heard, and what took how long."""

from __future__ import annotations

from dataclasses import dataclass

from ui.language import t
from ui.voice.exchange import Exchange
from ui.words import seconds


@dataclass(frozen=True)
class VoiceToVoice:
    """Seconds; the parts add up to the total."""

    total: float
    wait: float  # to be sure that the turn was over
    listening: float
    first_word: float
    sound: float  # of the first sentence: to make it and to bring it to the browser


def voice_to_voice(turn: Exchange) -> VoiceToVoice | None:
    """Return the times of a turn; None while nothing was heard of its answer."""
    said, moments = turn.said, turn.moments
    if not (moments.playing and moments.first_word):
        return None
    heard = moments.heard or moments.first_word
    return VoiceToVoice(
        total=moments.playing - said.ended_at,
        wait=said.handed_at - said.ended_at,
        listening=heard - said.handed_at,
        first_word=moments.first_word - heard,
        sound=moments.playing - moments.first_word,
    )


def timing_line(turn: Exchange) -> str:
    """Say it in words; "" while it is not known."""
    times = voice_to_voice(turn)
    if times is None:
        return ""
    return t(
        "voice.timing",
        total=seconds(times.total),
        wait=seconds(times.wait),
        listening=seconds(times.listening),
        first_word=seconds(times.first_word),
        sound=seconds(times.sound),
    )
