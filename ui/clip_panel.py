"""The chosen clip: its name and length, what it looks like, and the way to listen to it."""

from __future__ import annotations

import html

import streamlit as st

from ui.clip import Clip
from ui.language import t
from ui.player import Labels, player
from ui.transcript import Transcript
from ui.words import seconds

PLAYER = "clip_player"  # what a transcript of the clip calls its player by


def clip_panel(clip: Clip | None, *, number: int = 0, transcript: Transcript | None = None) -> None:
    """Show the clip, or an empty place of the same height so that nothing moves when one is chosen.

    `number` is 1 or 2 where two are compared; what is known of a `transcript` is marked in the picture.
    """
    with st.container(key="clip_first" if number == 1 else "clip", gap="small"):
        if clip is None:
            st.html(f'<div class="m-empty m-no-clip">{html.escape(t("clip.none"))}</div>')
            return
        about = t(f"clip.from_{clip.origin}")
        if clip.seconds:
            about = f"{about} · {seconds(clip.seconds)}"
        name = f"{number}. {clip.title}" if number else clip.title
        st.html(f'<div class="m-clip"><b>{html.escape(name)}</b><span>{html.escape(about)}</span></div>')
        progress = transcript.progress if transcript else None
        player(
            clip,
            f"{PLAYER}_first" if number == 1 else PLAYER,
            read_until=progress.read_until if progress and not progress.ended else None,
            marks=[(segment.start, segment.end) for segment in progress.segments] if progress else (),
            labels=_labels(),
        )


def _labels() -> Labels:
    return Labels(
        play=t("clip.play"),
        pause=t("clip.pause"),
        speed=t("clip.speed"),
        position=t("clip.position"),
        of=t("clip.of"),
        waveform=t("clip.waveform"),
        waveform_shows=t("clip.waveform_shows"),
        spectrogram=t("clip.spectrogram"),
        spectrogram_shows=t("clip.spectrogram_shows"),
        failed=t("clip.failed"),
    )
