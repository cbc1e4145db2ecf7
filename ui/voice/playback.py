"""What the visitor's browser is to play, and what it tells of it. The other half is playback.js."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from ui.beside import beside
from ui.language import t
from ui.voice.exchange import Exchange, Piece

PLAYER = "voice_player"
SILENT_AFTER_S = 20.0  # a browser that has told nothing for so long plays nothing any more


@dataclass
class Playback:
    """The sound of one answer at a time. Each gets a new number; the browser drops the sound of an older."""

    number: int = 0
    source: Exchange | None = None
    replay: bool = False
    kept: int = 0  # pieces that the browser has
    began_at: float = 0.0  # by time.monotonic
    ended: bool = True
    blocked: bool = False  # the browser wants a press before it plays
    voiceless: bool = False  # it has no voice of its own either
    told_at: float = field(default_factory=time.monotonic)

    def start(self, source: Exchange, replay: bool = False) -> None:
        """Play this answer instead of any other."""
        self.number += 1
        self.source, self.replay = source, replay
        self.kept, self.began_at = 0, 0.0
        self.ended = self.blocked = self.voiceless = False
        self.told_at = time.monotonic()

    def stop(self) -> None:
        """Be quiet at once."""
        self.number += 1
        self.source, self.ended, self.blocked = None, True, False

    @property
    def due(self) -> list[Piece]:
        """The pieces that the browser does not have yet."""
        return self.source.pieces[self.kept :] if self.source else []

    @property
    def speaking(self) -> bool:
        """Whether the visitor hears the demo now."""
        return self.began_at > 0 and not self.ended

    @property
    def active(self) -> bool:
        """Whether there is something to play, or to wait for."""
        if self.source is None or self.ended:
            return False
        if self.source.over and not self.source.pieces:
            return False
        return not self.source.over or time.monotonic() - self.told_at < SILENT_AFTER_S

    def take(self, report: dict[str, Any]) -> None:
        """Note what the browser tells."""
        if int(report.get("number", -1)) != self.number or self.source is None:
            return
        self.told_at = time.monotonic()
        self.kept = max(self.kept, int(report.get("kept", 0)))
        self.blocked = bool(report.get("blocked"))
        self.voiceless = bool(report.get("voiceless"))
        self.ended = bool(report.get("ended"))
        began = float(report.get("began") or 0)
        if began and not self.began_at:
            self.began_at = began
            if not self.replay and not self.source.moments.playing:
                self.source.moments.playing = began

    def data(self) -> dict[str, Any]:
        """Return what the browser is sent: the pieces that it lacks."""
        return {
            "number": self.number,
            "now": time.monotonic(),
            "whole": self.source is None or self.source.whole,
            "pieces": [_sent(piece) for piece in self.due],
            "hear": t("voice.press_to_hear"),
        }


def player(playback: Playback, on_report: Callable[[], None]) -> None:
    """Put the part of the page that plays; it shows nothing unless the browser wants a press first."""
    # Registered at each run, since the registry belongs to the server and not to this module.
    mount = st.components.v2.component(
        "voice_player", html=_HTML, js=beside(__file__, "playback.js"), isolate_styles=False
    )

    def told() -> None:
        report = getattr(st.session_state.get(PLAYER), "report", None)
        if isinstance(report, dict):
            playback.take(report)
            on_report()

    with st.container(key="voice_sound"):
        mount(key=PLAYER, data=playback.data(), on_report_change=told)


def _sent(piece: Piece) -> dict[str, Any]:
    wav = base64.b64encode(piece.wav).decode() if piece.wav else ""
    return {"index": piece.index, "text": piece.text, "language": piece.language, "wav": wav}


_HTML = '<button type="button" class="m-hear" hidden></button>'
