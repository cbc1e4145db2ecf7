"""Hands-free: the microphone stays open by WebRTC, and the demo hears by itself when a turn is over."""

from __future__ import annotations

import time
from typing import Any

import streamlit as st
from streamlit_webrtc import AudioSinkTrack, WebRtcMode, webrtc_streamer

from ui.beside import beside
from ui.settings import settings
from ui.voice.listener import Listener
from ui.voice.state import MODEL_LIMIT_S, VoiceChat
from ui.voice.turns import TurnDetector

LINE = "voice_line"
BOX = "voice_line_box"
START = "start"  # what its button says, for line.js to find it; nobody sees it
LEFT_S = 10.0  # since the page was last shown
# The browser takes the demo's own voice out of what it hears. It could also make a quiet room loud by itself,
# which would sound like somebody who begins to speak.
CONSTRAINTS = {
    "audio": {"echoCancellation": True, "noiseSuppression": True, "autoGainControl": False},
    "video": False,
}


def listen(chat: VoiceChat) -> None:
    """Begin or cease to listen as the visitor wants; call it at each run of the whole page."""
    if chat.listener is not None and time.monotonic() - chat.listener.looked_at > LEFT_S:
        chat.hands_free = False  # a microphone does not open by itself for one who comes back
    if not chat.hands_free:
        chat.hang_up()
    elif chat.listener is None:
        chat.listener = _listener(chat)


def line(chat: VoiceChat) -> None:
    """Open the line from the browser's microphone, or close it; call it at each run of the whole page."""
    on = chat.listener is not None
    if on or getattr(st.session_state.get(LINE), "state", (False,))[0]:
        with st.container(key=BOX):
            webrtc_streamer(
                key=LINE,
                mode=WebRtcMode.SENDONLY,
                # Without a word on servers it would ask a public one.
                rtc_configuration={"iceServers": ice_servers()},
                media_stream_constraints=CONSTRAINTS,
                desired_playing_state=None if on else False,
                translations={"start": START},
                sink_audio_track=AudioSinkTrack(chat.listener.frame if chat.listener else _nobody),
                media_toggle_controls=False,
            )
        starter = st.components.v2.component("voice_line_starter", js=beside(__file__, "line.js"))
        with st.container(key="voice_line_start"):
            starter(key="voice_line_starter", data={"on": on, "box": BOX, "start": START})


def ice_servers() -> list[dict[str, Any]]:
    """Return what the host has set, in the browser's form."""
    return [server.model_dump(exclude_defaults=True) for server in settings().ice_servers]


def _listener(chat: VoiceChat) -> Listener:
    longest = chat.asker.longest_s if chat.asker else MODEL_LIMIT_S
    detector = TurnDetector(chat.end_wait_s, longest)
    return Listener(detector, chat.barge_in, chat.say, chat.news, settings().left_alone_s)


def _nobody(frame: Any) -> None:
    """Leave a frame unheard."""
