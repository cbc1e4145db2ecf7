"""A clip that can be looked at and listened to: its waveform or spectrogram, and buttons that fingers find.

The sound itself goes to the browser once, by Streamlit's own <audio> element, which is drawn unseen beside
the picture; player_sound.js drives it. What a transcript needs in order to play along is `timed`.
"""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import streamlit as st

from ui.beside import beside
from ui.clip import Clip

WAV = "audio/wav"
ANY_FORMAT = "application/octet-stream"  # a recording as it was handed in: the browser looks what it is

_MARKUP = """
<div class="player">
  <div class="views" role="tablist">
    <button role="tab" type="button" id="by-loudness" aria-controls="view" data-view="waveform"></button>
    <button role="tab" type="button" id="by-pitch" aria-controls="view" data-view="spectrogram"></button>
  </div>
  <div role="tabpanel" id="view">
    <div class="stage" role="slider" tabindex="0">
      <div class="marks"></div>
      <svg class="rest" aria-hidden="true"><path/></svg>
      <svg class="played" aria-hidden="true"><path/></svg>
      <img class="spectrogram" alt="" draggable="false"/>
      <div class="read" hidden><i></i></div>
      <div class="head"></div>
      <div class="over" hidden></div>
    </div>
  </div>
  <div class="controls">
    <button class="play" type="button">
      <svg class="starting" viewBox="0 0 24 24" aria-hidden="true"><path d="M8 5v14l11-7z"/></svg>
      <svg class="pausing" viewBox="0 0 24 24" aria-hidden="true"><path d="M6 5h4v14H6zM14 5h4v14h-4z"/></svg>
    </button>
    <span class="time"><span class="now"></span><span class="end"></span></span>
    <span class="problem" role="status"></span>
    <button class="speed" type="button"></button>
  </div>
</div>
"""


@dataclass(frozen=True)
class Labels:
    """What the player says, to the eye or to a screen reader."""

    play: str = "Play"
    pause: str = "Pause"
    speed: str = "Speed"  # such as "1.25×" follows
    position: str = "Position in the clip"
    of: str = "{at} of {whole}"  # times, such as "0:07"
    waveform: str = "Waveform"
    waveform_shows: str = "How loud the clip is from start to end"
    spectrogram: str = "Spectrogram"
    spectrogram_shows: str = "Which pitches sound when: time from left to right, low pitches at the bottom"
    failed: str = "This clip cannot be played now. Please load the page again."


def player(
    clip: Clip,
    name: str,
    *,
    read_until: float | None = None,
    marks: Sequence[tuple[float, float]] = (),
    labels: Labels | None = None,
) -> None:
    """Show a clip and the way to listen to it.

    `name` is the key of the container, unlike any other on the page, and what a transcript calls the player
    by; starting one player pauses the others. The first `read_until` seconds are underlined as transcribed,
    and `marks` are the segments to highlight, each from its start to its end in seconds. What is played goes
    on through reruns with the same clip, whatever else changes.
    """
    with st.container(key=name, gap=None):
        # style.css hides this part. The marks are apart from the pictures, so that Streamlit, which sends the
        # same message only once, need not send the pictures again whenever there is more to underline.
        with st.container(key=f"unseen_{name}"):
            st.audio(clip.wav, format=WAV if clip.wav.startswith(b"RIFF") else ANY_FORMAT)
            read = "" if read_until is None else f"{read_until:.2f}"
            st.html(
                f'<i data-read-until="{read}" data-marks="{json.dumps([list(mark) for mark in marks])}"></i>'
            )
        # Registered at each run, since the registry belongs to the server and not to this module.
        draw = st.components.v2.component(
            "player", html=_MARKUP, css=beside(__file__, "player.css"), js=_script()
        )
        pictures = clip.pictures
        draw(
            key=f"player_{name}",
            data={
                "name": name,
                "seconds": clip.seconds,
                "peaks": pictures.peaks,
                "spectrogram": pictures.spectrogram,
                "labels": asdict(labels or Labels()),
            },
        )


def timed(text: str, start: float, end: float | None, name: str) -> str:
    """Return words of a transcript as markup for `st.html`: who clicks them hears them from player `name`.

    `start` and `end` are in seconds; without an end the words last until the next begin. While they are
    heard, they have the class `m-now`.
    """
    until = "" if end is None else f' data-play-to="{end:.3f}"'
    return (
        f'<button type="button" class="m-at" data-player="{name}" data-play-at="{start:.3f}"{until}>'
        f"{html.escape(text)}</button>"
    )


def _script() -> str:
    return beside(__file__, "player_sound.js") + beside(__file__, "player.js")
