"""The chosen clip: its name and length, what it looks like, and the way to listen to it."""

from __future__ import annotations

import html

import streamlit as st

from ui.clip import Clip
from ui.words import seconds

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
        shape, pitch = st.tabs(["Waveform", "Spectrogram"])
        shape.html(clip.pictures.waveform)
        pitch.html(clip.pictures.spectrogram)
        st.audio(clip.wav, format="audio/wav")
