"""A page of two players and a transcript: `streamlit run tests/browser/player_page.py`."""

import numpy as np
import streamlit as st

from tests.browser.clips import RATE, wav
from ui.clip import Clip
from ui.player import Labels, player, timed
from ui.style import style

SEGMENTS = [(0.0, 2.0, "Two kopi,"), (2.0, 5.0, "one <b>teh</b>"), (5.0, 9.0, "and kaya toast.")]


def clip(seconds: float, hertz: float) -> Clip:
    """A tone that swells once a second."""
    time = np.arange(int(RATE * seconds)) / RATE
    pcm = np.sin(2 * np.pi * hertz * time) * (0.2 + 0.8 * (time % 1)) * 20_000
    return Clip("Tone", "upload", seconds, wav(pcm.astype(np.int16)), "file-none")


@st.cache_resource
def clips() -> tuple[Clip, Clip, Clip]:
    """The clips, made once, so that no run takes time."""
    return clip(12, 330), clip(300, 550), clip(7, 440)


style()
first, long, another = clips()
st.button("Run again", key="rerun")
if st.toggle("Something above", key="above"):
    st.info("Something that was not there before.")
read = st.number_input("Read until", 0.0, 12.0, 0.0, key="read")
chosen = another if st.toggle("Another clip", key="another") else first
labels = (
    Labels(play="播放", pause="暂停", of="{whole} 之 {at}") if st.toggle("Chinese", key="chinese") else None
)
player(chosen, "one", read_until=read or None, marks=[(3.0, 6.0)] if read else [], labels=labels)
st.html(" ".join(timed(text, start, end, "one") for start, end, text in SEGMENTS))
player(long, "two", labels=labels)
st.html(timed("From the fourth minute", 240.0, None, "two"))
