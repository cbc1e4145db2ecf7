"""The voice chat: one microphone, hands-free beside it, and the talk."""

from __future__ import annotations

import streamlit as st

from ui.connection import client
from ui.frame import frame, start_over_button
from ui.recorder import microphone_problem
from ui.reveal import bring_into_view
from ui.session import run_that_is_owed, session
from ui.voice import hands_free
from ui.voice.asking import asker
from ui.voice.chat_view import chat_view
from ui.voice.controls import controls
from ui.voice.ear import ear
from ui.voice.hints import hints
from ui.voice.playback import player
from ui.voice.state import VoiceChat

REDRAW_S = 0.15  # between two looks while something goes on
WAIT_S = 0.45  # how long a look waits for news


def voice_chat() -> None:
    """Draw the page."""
    model = frame("voice")
    visit = session()
    chat = visit.part(VoiceChat)
    chat.asker = asker(client(), model) if model else None
    problem = microphone_problem()
    hands_free.listen(chat)
    with st.container(key="voice_page"):
        left, talk = st.columns([1, 1.5], gap="medium")
    with left, st.container(key="voice_controls", gap="small"):
        microphone, below = st.container(gap="small"), st.container(gap="small")
    with below:
        # Before the line, which ends a run early: Streamlit forgets switches that a run did not reach.
        if not problem:
            controls(chat)
        start_over_button()
    hands_free.line(chat)
    chat.fresh = True
    chat.live = chat.busy or chat.hands_free
    # Looked at often while something goes on, and only at clicks otherwise.
    every = REDRAW_S if chat.live else None
    with microphone:
        st.fragment(_microphone, run_every=every)(problem)
    if chat.last is not chat.shown:  # on a phone, the talk has room only where the head has gone
        chat.shown = chat.last
        visit.go_to("voice_controls")
    bring_into_view(visit.next_step, visit.steps_taken)
    with talk:
        st.fragment(_talk, run_every=every)()


def _microphone(problem: str) -> None:
    """Draw the microphone and what goes on, over and over."""
    run_that_is_owed()
    if problem:
        st.caption(f":material/mic_off: {problem}")
    else:
        ear(session().part(VoiceChat))


def _talk() -> None:
    """Draw the talk, over and over: this alone is drawn anew, not the whole page."""
    run_that_is_owed()
    chat = session().part(VoiceChat)
    if not chat.fresh and not chat.playback.due:
        chat.seen = chat.news.wait(chat.seen, WAIT_S if chat.live else 0)
    chat.fresh = False
    chat.look()
    with st.container(key="voice_talk", gap="small"):
        player(chat.playback, chat.news.tell)
        hints(chat)
        chat_view(chat)
    if (chat.busy or chat.hands_free) != chat.live or chat.hands_free != (chat.listener is not None):
        st.rerun()
