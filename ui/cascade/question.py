"""Step 3: the question, who answers from the words, and Ask."""

from __future__ import annotations

import streamlit as st

from ui import samples
from ui.cascade import prompt
from ui.cascade.asking import ask
from ui.cascade.choice import text_model_choice
from ui.cascade.state import CascadeState
from ui.cascade.widgets import keep
from ui.client import Client
from ui.clip import Clip
from ui.language import t
from ui.session import session
from ui.settings import settings
from ui.tasks import MAX_PROMPT_CHARACTERS
from ui.wire import ModelCard

ASKED_OF_THE_CLIP = "answer"  # the kind of ready question that can be asked of words as well
READY_QUESTIONS = 2


def question(state: CascadeState, clip: Clip | None, client: Client, model: ModelCard | None) -> None:
    """Show all that makes a question but the words."""
    _question(state, clip)
    text_model_choice(state)
    if state.problem:
        st.error(state.problem, icon=":material/info:")
    st.button(
        t("question.ask"),
        key="ask",
        type="primary",
        icon=":material/send:",
        width="stretch",
        disabled=state.busy or model is None,
        on_click=ask,
        args=(client, model),
    )


def _question(state: CascadeState, clip: Clip | None) -> None:
    first = t("cascade.first_question")
    st.text_area(
        t("cascade.question"),
        keep("cascade_prompt", first if state.question is None else state.question),
        key="cascade_prompt",
        height=68,
        help=t("question.most", most=f"{MAX_PROMPT_CHARACTERS:,}"),
        on_change=_edit_question,
    )
    sample = samples.load(settings().samples_dir).find(clip.sample_id) if clip and clip.sample_id else None
    ready = [asked.text for asked in sample.questions if asked.task == ASKED_OF_THE_CLIP] if sample else []
    if ready:
        with st.container(key="ready", gap=None):
            for number, text in enumerate(ready[:READY_QUESTIONS]):
                st.button(
                    text,
                    key=f"ready_{number}",
                    type="tertiary",
                    icon=":material/subdirectory_arrow_right:",
                    on_click=_choose_question,
                    args=(text,),
                )


def wording(state: CascadeState) -> None:
    """Show what the text model is told, to be changed, behind a click."""
    with st.expander(t("cascade.how"), icon=":material/tune:"):
        st.text_area(
            t("cascade.template"),
            keep("cascade_template", state.template),
            key="cascade_template",
            height=130,
            on_change=_edit_template,
        )
        st.caption(t("cascade.template_note"))
        if place := prompt.missing(state.template):
            st.warning(t("cascade.template_missing", place=place), icon=":material/edit_note:")
        if state.template != prompt.TEMPLATE:
            label = t("cascade.template_reset")
            st.button(label, key="template_reset", icon=":material/undo:", on_click=_reset_template)


def _edit_question() -> None:
    state = _state()
    state.question, state.problem = str(st.session_state["cascade_prompt"]), ""


def _choose_question(text: str) -> None:
    state = _state()
    state.question, state.problem = text, ""


def _edit_template() -> None:
    state = _state()
    state.template, state.problem = str(st.session_state["cascade_template"]), ""


def _reset_template() -> None:
    state = _state()
    state.template, state.problem = prompt.TEMPLATE, ""


def _state() -> CascadeState:
    return session().part(CascadeState)
