"""The talk as it is read: what was heard and what was answered, the newest turn first."""

from __future__ import annotations

import streamlit as st

from ui.answer_place import say_problem
from ui.feedback import after_answer
from ui.language import t
from ui.session import session
from ui.voice.exchange import Exchange
from ui.voice.state import VoiceChat
from ui.voice.timing import timing_line
from ui.words import queue_line, seconds

# Words of models and visitors are shown by st.text alone: they are never markup.


def chat_view(chat: VoiceChat) -> None:
    """Show all turns."""
    turns = list(chat.turns)
    with st.container(key="voice_turns", gap="small"):
        if not turns:
            st.html(f'<div class="m-empty">{t("voice.empty")}</div>')
        for number in range(len(turns) - 1, -1, -1):
            _turn(chat, turns[number], number, last=number == len(turns) - 1)


def _turn(chat: VoiceChat, turn: Exchange, number: int, last: bool) -> None:
    progress = turn.answer.progress
    with st.container(key=f"voice_turn_{number}", gap=None):
        with st.container(key=f"voice_said_{number}", gap=None):
            st.caption(t("voice.you"))
            length = t("voice.spoken", seconds=seconds(turn.said.seconds))
            st.text(turn.heard or length)
        with st.container(key=f"voice_answer_{number}", gap=None):
            st.caption(t("voice.answer"))
            if turn.text:
                st.text(turn.text)
            elif not progress.ended:
                waits = progress.phase == "waiting" and progress.queued is not None
                st.text(queue_line(progress.queued) if waits and progress.queued else t("voice.thinking"))
            _ending(turn)
        _below(chat, turn, number, last)


def _ending(turn: Exchange) -> None:
    """Say how the answer ended where that is not plain."""
    progress = turn.answer.progress
    error = progress.error
    if error is not None:
        say_problem(error)
    elif progress.looping:
        st.caption(t("answer.looping"))
    elif progress.phase == "stopped":
        st.caption(t("voice.stopped"))
    elif progress.ended and not turn.text:
        st.caption(t("voice.nothing_said"))
    if turn.said.cut:
        st.caption(t("voice.cut", seconds=seconds(turn.said.seconds)))


def _below(chat: VoiceChat, turn: Exchange, number: int, last: bool) -> None:
    """Show how long a turn took, and what can be done with one that is over."""
    line = timing_line(turn)
    if line:
        with st.container(key="timing" if last else f"voice_timing_{number}"):
            st.caption(line)
    if not turn.over or chat.busy:
        return
    with st.container(key=f"voice_below_{number}", horizontal=True, gap="small"):
        if turn.pieces:
            st.button(
                t("voice.replay"),
                key=f"replay_{number}",
                icon=":material/volume_up:",
                type="tertiary",
                on_click=chat.replay,
                args=(turn,),
            )
        if last and turn.said.wav:
            st.button(
                t("voice.again"),
                key="again",
                icon=":material/refresh:",
                type="tertiary",
                on_click=chat.ask_again,
                args=(turn,),
            )
    if last:
        after_answer(session(), turn.answer, turn.model, turn.heard)
