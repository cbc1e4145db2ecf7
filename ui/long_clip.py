"""Recordings that are too long to be asked about: they are offered to be written down instead."""

from __future__ import annotations

import contextlib
import wave
from functools import cached_property

import streamlit as st

from ui import waveform
from ui.clip import Clip, Pictures
from ui.language import t
from ui.playground_state import Playground
from ui.session import Pending, session

FLAT = 0.12  # how tall the picture of a recording is whose loudness is not known
BARS = 200
# One pixel to see through.
NOTHING = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="


class LongClip(Clip):
    """A recording as it was handed in, of any format; the controller keeps it nowhere."""

    @cached_property
    def pictures(self) -> Pictures:
        """What it looks like, where it is a WAV; a flat line where only a decoder could tell."""
        with contextlib.suppress(wave.Error, EOFError, ValueError):
            sound = waveform.pcm(self.wav)
            return Pictures(waveform.peaks(sound), waveform.spectrogram(sound))
        return Pictures([FLAT] * BARS, NOTHING)


def offer_to_write_down(recording: Pending) -> None:
    """Show the button that has a whole recording written down, with times."""
    st.button(
        t("transcript.instead"),
        key="write_down",
        icon=":material/subtitles:",
        on_click=_write_down,
        args=(recording,),
    )


def _write_down(recording: Pending) -> None:
    visit = session()
    visit.part(Playground).hold(LongClip(recording.title, "upload", 0.0, recording.data, ""))
    visit.clip_problem, visit.too_long = "", None
    visit.go_to("step_2")
