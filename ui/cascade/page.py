"""The Cascade: what one model hears, what another makes of the words, beside one model that does both."""

from __future__ import annotations

import streamlit as st

from ui.cascade.answers import answers
from ui.cascade.asking import hear
from ui.cascade.heard import heard
from ui.cascade.question import question, wording
from ui.cascade.state import CascadeState
from ui.clip_choice import clip_choice
from ui.connection import client
from ui.frame import frame
from ui.language import t
from ui.live import Live, follow
from ui.reveal import bring_into_view
from ui.session import session


def cascade_page() -> None:
    """Draw the page."""
    visit = session()
    state = visit.part(CascadeState)
    model = frame("cascade")
    bring_into_view(visit.next_step, visit.steps_taken)
    with st.container(key="steps"):
        first, second, third = st.columns(3, gap="small")
    with first, st.container(key="step_1", height="stretch", gap="small"):
        _step(1, t("playground.step_1"))
        clip_choice(visit, client())
    hear(state, client(), visit.clip, model)
    was_busy = state.busy or state.listening
    state.take_heard()
    with second, st.container(key="step_2", height="stretch", gap="small"):
        _step(2, t("cascade.step_2"))
        hearing = heard(state, visit.clip, model)
        wording(state)
    with third, st.container(key="step_ask", height="stretch", gap="small"):
        _step(3, t("cascade.step_3"))
        question(state, visit.clip, client(), model)
    with st.container(key="step_answers", gap="small"):
        _step(4, t("cascade.step_4"))
        columns = answers(state, client(), model)
    live: list[Live] = [*([hearing] if hearing is not None else []), *columns]
    follow(live, was_busy=was_busy)


def _step(number: int, words: str) -> None:
    st.html(f'<h2 class="m-step"><i>{number}</i>{words}</h2>')
