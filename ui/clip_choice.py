"""The clip that all pages ask about: chosen once, in the same ways everywhere."""

from __future__ import annotations

import streamlit as st

from ui.client import Client
from ui.clip_panel import clip_panel
from ui.language import t
from ui.session import Session
from ui.ways_in import ways_in


def clip_choice(visit: Session, client: Client) -> None:
    """Show the clip, and behind one click the ways to another one; open while there is none."""
    settle(visit, client)
    label = t("clip.choose_another" if visit.clip else "clip.choose")
    with st.expander(label, expanded=visit.clip is None, icon=":material/library_music:"):
        ways_in(visit)
    if visit.clip is not None:
        clip_panel(visit.clip)


def settle(visit: Session, client: Client) -> None:
    """Make what was handed in the clip, then draw the page anew."""
    if visit.pending is not None:
        with st.spinner(t("clip.reading")):
            visit.settle(client)
        st.rerun()
