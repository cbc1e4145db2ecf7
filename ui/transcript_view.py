"""What is said in a clip, and when: read as it is written down, played from a click, taken away as a file."""

from __future__ import annotations

import html
import time
from collections.abc import Sequence
from pathlib import PurePath

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ui import subtitles
from ui.answer_place import say_problem
from ui.client import Client
from ui.clip import Clip
from ui.connection import wait_until_up
from ui.language import t
from ui.live import TICK_S
from ui.player import timed
from ui.playground_state import Playground
from ui.session import session
from ui.settings import settings
from ui.transcript import Progress, Transcript
from ui.transcript_stream import TranscriptStream
from ui.wire import ModelCard, Segment
from ui.words import seconds

BLOCK = 50  # segments that are drawn together
MARK_S = 2.0  # how often, at most, the player is told how far the recording is read


def begin(here: Playground, client: Client, model: ModelCard, clip: Clip) -> None:
    """Have a clip written down with times."""
    here.forget_transcript()
    here.transcript = Transcript(lambda: _open(client, model.id, clip.wav), settings().left_alone_s)


def transcript_button(here: Playground, client: Client, model: ModelCard | None, clip: Clip) -> None:
    """Show the way to a transcript with times."""
    st.button(
        t("transcript.begin"),
        key="timed",
        type="tertiary",
        icon=":material/subtitles:",
        disabled=model is None,
        on_click=begin,
        args=(here, client, model, clip),
    )


def transcript_view(
    here: Playground, client: Client, model: ModelCard | None, clip: Clip, player: str
) -> TranscriptView | None:
    """Show a clip's transcript, if there is one; return it while it is being written."""
    if here.transcript is None:
        return None
    with st.container(key="transcript", gap="small"):
        view = TranscriptView(here.transcript, player)
        progress = here.transcript.progress
        if progress.ended:
            _ending(progress)
            if progress.segments:
                _downloads(progress, clip)
        _buttons(here, client, model, clip, progress)
    return None if progress.ended else view


class TranscriptView:
    """The places of a transcript on the page."""

    def __init__(self, transcript: Transcript, player: str) -> None:
        self._transcript = transcript
        self._player = player
        self._began_at = time.monotonic()
        self._bar = st.empty()
        with st.container(key="segments", gap=None):
            self._rows = st.container(gap=None)
            self._fresh = st.empty()
        self._blocks: list[DeltaGenerator] = []
        self._drawn = Progress(version=-1)
        self._draw(transcript.progress)
        self._told = self._drawn.read_until  # to the player, which was drawn before this

    @property
    def ended(self) -> bool:
        """Whether nothing more comes, or the player is to be told how far the recording is read."""
        late = time.monotonic() - self._began_at > MARK_S and self._drawn.read_until > self._told
        return self._drawn.ended or late

    def follow(self, timeout_s: float) -> None:
        """Wait for more, and draw it."""
        self._draw(self._transcript.wait(self._drawn.version, min(timeout_s, TICK_S)))

    def _draw(self, progress: Progress) -> None:
        if progress.ended:
            self._bar.empty()
        else:
            self._bar.progress(progress.share, text=_how_far(progress))
        if len(progress.segments) > len(self._drawn.segments):
            self._draw_segments(progress.segments, len(self._drawn.segments))
        if (progress.text, progress.ended) != (self._drawn.text, self._drawn.ended):
            if fresh := _fresh(progress):
                self._fresh.html(fresh)
            else:
                self._fresh.empty()
        self._drawn = progress

    def _draw_segments(self, segments: Sequence[Segment], drawn: int) -> None:
        """Draw the blocks in which something is new: two hours are thousands of segments."""
        for first in range(drawn - drawn % BLOCK, len(segments), BLOCK):
            if first // BLOCK == len(self._blocks):
                self._blocks.append(self._rows.empty())
            rows = "".join(_row(segment, self._player) for segment in segments[first : first + BLOCK])
            self._blocks[first // BLOCK].html(rows)


def _how_far(progress: Progress) -> str:
    if not progress.seconds:
        return t("transcript.waiting")
    return t("transcript.read", read=seconds(progress.read_until), whole=seconds(progress.seconds))


def _row(segment: Segment, player: str) -> str:
    """One segment with its time, to be played from a click."""
    words = timed(segment.text.strip(), segment.start, segment.end, player)
    return f'<p class="m-segment"><span>{_clock(segment.start)}</span>{words}</p>'


def _fresh(progress: Progress) -> str:
    """The words that have no time yet, or a word that there are none."""
    said = " ".join(" ".join(segment.text for segment in progress.segments).split())
    fresh = "" if progress.ended else " ".join(progress.text.split())[len(said) :].strip()
    if fresh:
        return f'<p class="m-segment"><span></span><i>{html.escape(fresh)}</i></p>'
    if said or progress.ended:
        return ""
    return f'<p class="m-note">{html.escape(t("transcript.nothing_yet"))}</p>'


def _clock(at: float) -> str:
    minutes, rest = divmod(int(at), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _ending(progress: Progress) -> None:
    if progress.error is not None:
        say_problem(progress.error)
    elif progress.phase == "stopped":
        st.caption(t("transcript.stopped"))
    elif not progress.text.strip():
        st.info(t("transcript.no_speech"), icon=":material/voice_over_off:")


def _downloads(progress: Progress, clip: Clip) -> None:
    segments = progress.segments
    files = {
        "srt": (subtitles.srt(segments), "application/x-subrip"),
        "vtt": (subtitles.vtt(segments), "text/vtt"),
        "txt": (subtitles.plain(segments), "text/plain"),
        "json": (subtitles.as_json(segments, progress.text, progress.seconds), "application/json"),
    }
    name = PurePath(clip.title).stem or "transcript"
    with st.container(key="downloads", horizontal=True, gap="small"):
        for ending, (content, kind) in files.items():
            st.download_button(
                t(f"transcript.{ending}"),
                content,
                file_name=f"{name}.{ending}",
                mime=kind,
                key=f"download_{ending}",
                icon=":material/download:",
                on_click="ignore",
            )


def _buttons(
    here: Playground, client: Client, model: ModelCard | None, clip: Clip, progress: Progress
) -> None:
    with st.container(key="transcript_buttons", horizontal=True, gap="small"):
        if not progress.ended:
            st.button(t("answer.stop"), key="stop_transcript", icon=":material/stop_circle:", on_click=_stop)
        elif progress.phase != "done" and model is not None:
            st.button(
                t("transcript.again"),
                key="timed",
                icon=":material/refresh:",
                on_click=begin,
                args=(here, client, model, clip),
            )
        st.button(t("transcript.close"), key="close_transcript", type="tertiary", on_click=_close)


def _stop() -> None:
    transcript = session().part(Playground).transcript
    if transcript is not None:
        transcript.stop()


def _close() -> None:
    session().part(Playground).put_away()


def _open(client: Client, model_id: str, recording: bytes) -> TranscriptStream:
    """Wait for a model that is starting, and open the stream. Raises ClientError."""
    wait_until_up(client, model_id)
    return client.transcribe(model_id, recording)
