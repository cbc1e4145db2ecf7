"""What a visitor should know of the line, of what was just said, and of the voice that answers."""

from __future__ import annotations

import streamlit as st

from ui.language import t
from ui.voice.stage import stage
from ui.voice.state import VoiceChat


def hints(chat: VoiceChat) -> None:
    """Show what there is to say."""
    if stage(chat) == "unreachable":
        st.warning(t("voice.unreachable"), icon=":material/wifi_off:")
        st.button(
            t("voice.use_button"),
            key="voice_use_button",
            icon=":material/mic:",
            on_click=_use_the_button,
            args=(chat,),
        )
    if chat.note:
        st.info(t(chat.note), icon=":material/hearing_disabled:")
    if chat.playback.voiceless:
        st.caption(f":material/volume_off: {t('voice.text_only')}")
    elif chat.last is not None and (chat.last.voice is None or chat.last.voice_error is not None):
        st.caption(f":material/record_voice_over: {t('voice.browser_voice')}")


def _use_the_button(chat: VoiceChat) -> None:
    chat.hands_free = False
