"""What every page has: its name and what it is for, the language, the model that answers, and Start over."""

from __future__ import annotations

import html

import streamlit as st

from ui.answer_place import say_problem
from ui.connection import chat_models, client
from ui.event import attend
from ui.kiosk import kiosk
from ui.language import choose_language, speak_language, t
from ui.qr import on_your_phone
from ui.session import run_that_is_owed, session
from ui.style import style
from ui.wire import ClientError, ModelCard

MODEL_CHECK_S = 1.0


def frame(page: str) -> ModelCard | None:
    """Draw the head of a page, named as in the tables of words; return the model that answers, if any."""
    session().owes_a_run = False
    style()
    speak_language()
    kiosk()
    attend()
    with st.container(key="head"):
        name, side = st.columns([1.1, 1], vertical_alignment="center")
    with name:
        st.html(f'<h1>{t(f"{page}.title")}</h1><p class="m-tagline">{t(f"{page}.tagline")}</p>')
    with side:
        choose_language()
        on_your_phone()
        return _model(page)


def start_over_button() -> None:
    """Show the button that leaves nothing of this visitor behind."""
    st.button(t("frame.start_over"), key="start_over", icon=":material/restart_alt:", on_click=start_over)


def start_over() -> None:
    """Leave nothing of this visitor behind, on any page."""
    session().start_over(client())


def choose_model(model_id: str) -> None:
    """Let this model answer on all pages."""
    session().model = model_id


def _model(page: str) -> ModelCard | None:
    """Show which model answers and what it is; let the visitor choose where there are several."""
    try:
        with st.spinner(t("frame.starting")):
            models = chat_models()
    except ClientError as error:
        say_problem(error)
        st.button(t("frame.try_again"), key="try_again", icon=":material/refresh:")
        return None
    if not models:
        st.error(t("frame.no_model"), icon=":material/error:")
        return None
    by_id = {card.id: card for card in models}
    chosen = by_id.get(session().model, models[0])
    if len(models) > 1:
        st.session_state["model"] = chosen.id
        st.selectbox(
            t("frame.model"),
            by_id,
            format_func=lambda name: by_id[name].title,
            key="model",
            on_change=lambda: choose_model(str(st.session_state["model"])),
        )
    title = chosen.title if len(models) == 1 else ""
    with st.container(key="model" if title else "model_card"):
        if chosen.state == "up":
            _describe(title, chosen.sentence)
        else:
            # Where one speaks, there is no clip to choose meanwhile.
            _watch(chosen, title, "answer.starting" if page == "voice" else "frame.model_starting")
    return chosen


def _describe(title: str, sentence: str) -> None:
    name = f"<b>{html.escape(title)}</b>" if title else ""
    st.html(f'<p class="m-model">{name}{html.escape(sentence)}</p>')


@st.fragment(run_every=MODEL_CHECK_S)
def _watch(model: ModelCard, title: str, starting: str) -> None:
    """Say that the model is not up yet, and look again until it is."""
    run_that_is_owed()
    try:
        state = next((card.state for card in chat_models() if card.id == model.id), "down")
    except ClientError:
        state = "down"
    if state == "up":
        st.rerun()
    _describe(title, t(starting if state == "starting" else "frame.model_down"))
