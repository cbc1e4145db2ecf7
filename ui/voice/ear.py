"""The microphone as a visitor sees it: the button to press, or the open one, and what goes on in words."""

from __future__ import annotations

import html

import streamlit as st

from ui.language import t
from ui.voice.push_to_talk import push_to_talk
from ui.voice.stage import stage
from ui.voice.state import VoiceChat


def ear(chat: VoiceChat) -> None:
    """Draw it as it is now."""
    if chat.hands_free:
        _open_microphone(chat)
    else:
        push_to_talk(chat)
    now = stage(chat)
    # Talking over it stops it only while the microphone listens.
    deaf = now == "speaking" and (not chat.hands_free or chat.muted)
    words = html.escape(t("voice.stage_aloud" if deaf else f"voice.stage_{now}"))
    st.html(f'<p class="m-stage" data-stage="{now}" role="status">{words}</p>')
    with st.container(key="voice_buttons", horizontal=True, horizontal_alignment="center"):
        if chat.busy:
            st.button(t("voice.stop"), key="stop", icon=":material/stop_circle:", on_click=chat.interrupt)


def _open_microphone(chat: VoiceChat) -> None:
    """Draw the open microphone: its colour is what goes on, its ring how loud it is."""
    level = chat.listener.meter if chat.listener else 0.0
    st.html(
        f'<div class="m-ear" data-stage="{stage(chat)}" style="--m-level:{level:.2f}" role="meter" '
        f'aria-label="{html.escape(t("voice.level"))}" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{level * 100:.0f}"><i></i><b></b></div>'
    )
