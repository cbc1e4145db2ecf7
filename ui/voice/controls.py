"""What a visitor can set: hands-free, mute, how long a pause ends a turn, and which recorder."""

from __future__ import annotations

import streamlit as st

from ui.language import t
from ui.voice.push_to_talk import SIMPLE
from ui.voice.state import END_WAITS_S, VoiceChat

HANDS_FREE = "hands_free"
MUTE = "mute"
END_WAIT = "voice_end_wait"


def controls(chat: VoiceChat) -> None:
    """Show the switches."""
    _switch_hands_free(chat)
    if chat.hands_free:
        _switch_mute(chat)
    with st.expander(t("voice.settings"), icon=":material/tune:"):
        _choose_end_wait(chat)
        if not chat.hands_free:
            st.toggle(t("voice.simple"), key=SIMPLE)


def _switch_hands_free(chat: VoiceChat) -> None:
    def switched() -> None:
        chat.hands_free = bool(st.session_state[HANDS_FREE])

    _show(HANDS_FREE, chat.hands_free)
    st.toggle(t("voice.hands_free"), key=HANDS_FREE, help=t("voice.hands_free_help"), on_change=switched)


def _switch_mute(chat: VoiceChat) -> None:
    def switched() -> None:
        chat.mute(bool(st.session_state[MUTE]))

    _show(MUTE, chat.muted)
    st.toggle(t("voice.mute"), key=MUTE, on_change=switched)


def _choose_end_wait(chat: VoiceChat) -> None:
    def chosen() -> None:
        chat.wait_for_end(float(st.session_state[END_WAIT]))

    _show(END_WAIT, chat.end_wait_s)
    st.slider(t("voice.end_wait"), *END_WAITS_S, step=0.1, key=END_WAIT, format="%.1f s", on_change=chosen)


def _show(key: str, value: object) -> None:
    """Let a widget show what is so, before it is drawn.

    Only where it differs, for a value that is set again and again would undo a click on its way.
    """
    if st.session_state.get(key) != value:
        st.session_state[key] = value
