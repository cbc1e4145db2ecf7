"""Step 2: what the model heard, as it is heard; then to be corrected."""

from __future__ import annotations

import streamlit as st

from ui.answer_place import AnswerPlace, say_problem
from ui.cascade.asking import back_to_heard, listen_again
from ui.cascade.state import CascadeState
from ui.cascade.widgets import keep
from ui.clip import Clip
from ui.language import t
from ui.session import session
from ui.wire import ModelCard


def heard(state: CascadeState, clip: Clip | None, model: ModelCard | None) -> AnswerPlace | None:
    """Show what was heard, or is being heard, which is then returned to be followed."""
    if state.hearing is not None and state.listening:
        st.caption(t("cascade.heard"))
        return AnswerPlace(state.hearing.stage.answer, "heard_coming")
    # A key of its own for each text put in here: the browser would send back what stood in the field before.
    key = f"cascade_words_{state.set_times}"
    st.text_area(
        t("cascade.heard"),
        keep(key, state.transcript),
        key=key,
        height=205,
        placeholder=t("cascade.words_here"),
        on_change=_edit_words,
        args=(key,),
    )
    hearing = state.hearing
    if clip is None or hearing is None:
        can = model.can("transcribe") if model and clip else None
        if can and not can.supported:
            st.caption(t("cascade.cannot_hear"))
        return None
    progress = hearing.stage.answer.progress
    if progress.error is not None:
        say_problem(progress.error, kept=bool(progress.text))
    if state.edited and hearing.stage.text:
        label, icon, action = t("cascade.back_to_heard"), ":material/undo:", back_to_heard
        st.button(label, key="back_to_heard", icon=icon, type="tertiary", on_click=action)
    elif progress.phase != "done":
        label, icon = t("cascade.listen_again"), ":material/hearing:"
        st.button(label, key="listen_again", icon=icon, type="tertiary", on_click=listen_again)
    return None


def _edit_words(key: str) -> None:
    state = session().part(CascadeState)
    state.transcript = str(st.session_state[key])
    known = state.hearing.stage.text if state.hearing else ""
    state.edited, state.problem = state.transcript != known, ""
