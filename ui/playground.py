"""The Playground: choose a clip, ask about it, read the answer."""

from __future__ import annotations

import streamlit as st

from ui.answer_view import answer_view
from ui.clip_choice import settle
from ui.connection import client
from ui.frame import frame
from ui.language import t
from ui.live import Live, follow
from ui.picker.link import link_problems, open_link
from ui.playground_state import Playground
from ui.question import question
from ui.reveal import bring_into_view
from ui.session import session
from ui.ways_in import ways_in


def playground() -> None:
    """Draw the page."""
    visit = session()
    model = frame("playground")
    open_link(visit)
    link_problems(visit)
    here = visit.part(Playground)
    here.attend(visit.clip)
    for clip in here.clips:
        visit.keep_track(clip)
    with st.container(key="steps"):
        columns = st.columns([1, 1.04, 1.08], gap="small")
    was_busy = here.busy
    live: list[Live | None] = []
    for number, column in enumerate(columns, start=1):
        with column, st.container(key=f"step_{number}", height="stretch", gap="small"):
            st.html(f'<h2 class="m-step"><i>{number}</i>{t(f"playground.step_{number}")}</h2>')
            match number:
                case 1:
                    ways_in(visit)
                case 2:
                    settle(visit, client())
                    live.append(question(here, client(), model))
                case _:
                    live.append(answer_view(visit, client(), model))
    bring_into_view(visit.next_step, visit.steps_taken)
    follow([view for view in live if view is not None], was_busy=was_busy)
