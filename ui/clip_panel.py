"""The chosen clip: its name and length, what it looks like, and the way to listen to it."""

from __future__ import annotations

import html

import streamlit as st

from ui import waveform
from ui.clip import Clip
from ui.words import seconds

PICTURES_KEPT = 64  # clips; about 0.1 MB each
ORIGINS = {"sample": "Sample", "upload": "Your file", "microphone": "Your voice"}
NO_CLIP = "No clip yet. Pick a sample, upload a recording or speak."


def clip_panel(clip: Clip | None) -> None:
    """Show the clip, or an empty place of the same height so that nothing moves when one is chosen."""
    with st.container(key="clip", gap="small"):
        if clip is None:
            st.html(f'<div class="m-empty m-no-clip">{NO_CLIP}</div>')
            return
        st.html(
            f'<div class="m-clip"><b>{html.escape(clip.title)}</b>'
            f"<span>{ORIGINS[clip.origin]} · {seconds(clip.seconds)}</span></div>"
        )
        bars, spectrogram = _pictures(clip.key, clip.wav)
        shape, pitch = st.tabs(["Waveform", "Spectrogram"])
        shape.html(bars)
        pitch.html(spectrogram)
        st.audio(clip.wav, format="audio/wav")


@st.cache_data(max_entries=PICTURES_KEPT, show_spinner=False)
def _pictures(key: str, _wav: bytes) -> tuple[str, str]:
    sound = waveform.samples(_wav)
    return waveform.waveform_html(sound), waveform.spectrogram_html(sound)
