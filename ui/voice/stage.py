"""What the voice chat does at a moment, in one word, for the page to show in words and colour."""

from __future__ import annotations

from typing import Literal

from ui.voice.state import VoiceChat

Stage = Literal[
    "ready", "connecting", "learning", "listening", "hearing", "thinking", "speaking", "muted", "unreachable"
]
PATIENCE_S = 8.0  # for a line to the microphone


def stage(chat: VoiceChat) -> Stage:
    """Return what it does now."""
    listener = chat.listener
    if listener is not None:
        hearing = listener.hearing
        if hearing == "connecting":
            return "unreachable" if listener.waited_s > PATIENCE_S else "connecting"
        if hearing == "hearing":
            return "hearing"
    if chat.playback.speaking:
        return "speaking"
    if chat.busy:
        return "thinking"
    return listener.hearing if listener is not None else "ready"
