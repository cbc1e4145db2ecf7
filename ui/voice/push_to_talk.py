"""Push to talk: one press records, silence ends it, and what was said is answered."""

from __future__ import annotations

import streamlit as st

from ui.recorder import recorder
from ui.session import session
from ui.voice.hearing import find_speech, read_wav
from ui.voice.state import VoiceChat

SIMPLE = "voice_simple"


def push_to_talk(chat: VoiceChat) -> None:
    """Show the recorder; have each recording answered."""
    visit = session()

    def take(wav: bytes) -> None:
        visit.emptied += 1  # both recorders hold on to what they recorded
        hear(chat, wav)

    with st.container(key="record", horizontal_alignment="center", gap="small"):
        recorder(visit, bool(st.session_state.get(SIMPLE)), chat.end_wait_s, take)


def hear(chat: VoiceChat, wav: bytes) -> None:
    """Have what is said in a recording answered, or note that nothing is."""
    try:
        speech = find_speech(read_wav(wav))
    except ValueError:
        speech = None
    chat.interrupt()
    if speech is None:
        chat.note = "voice.no_words"
    else:
        chat.say(speech.pcm, speech.quiet_s)
