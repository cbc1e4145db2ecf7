"""The Playground: choose a clip, ask about it, read the answer."""

from __future__ import annotations

import html

import streamlit as st

from ui.answer_view import answer_view
from ui.connection import chat_models, client
from ui.question import question
from ui.reveal import bring_into_view
from ui.session import session
from ui.style import style
from ui.ways_in import ways_in
from ui.wire import ClientError, ModelCard

TAGLINE = "Play a voice to an AI that listens, ask in your own words, and read its answer."
STEPS = ("Choose or record a voice clip", "Choose what to ask", "Read the answer")
MODEL_CHECK_S = 1.0
STARTING = "The model is starting, about 10 seconds. You can already choose a clip."
DOWN = "The model has stopped. It is being started again; please wait a moment."
NO_MODEL = "No model is set up for questions about voice clips. Please tell the host."


def playground() -> None:
    """Draw the page."""
    visit = session()
    style()
    with st.container(key="head"):
        name, engine = st.columns([1.1, 1], vertical_alignment="center")
    with name:
        st.html(f'<h1>MERaLiON Playground</h1><p class="m-tagline">{TAGLINE}</p>')
    with engine:
        model = _model()
    bring_into_view(visit.next_step, visit.steps_taken)
    with st.container(key="steps"):
        columns = st.columns([1, 1.04, 1.08], gap="small")
    for number, (column, title) in enumerate(zip(columns, STEPS, strict=True), start=1):
        with column, st.container(key=f"step_{number}", height="stretch", gap="small"):
            st.html(f'<h2 class="m-step"><i>{number}</i>{title}</h2>')
            match number:
                case 1:
                    ways_in(visit)
                case 2:
                    question(visit, client(), model)
                case _:
                    answer_view(visit, client(), model)


def _model() -> ModelCard | None:
    """Show which model answers and what it is; let the visitor choose where there are several."""
    try:
        with st.spinner("Starting the demo…"):
            models = chat_models()
    except ClientError as error:
        st.error(error.message, icon=":material/error:")
        st.button("Try again", key="try_again", icon=":material/refresh:")
        return None
    if not models:
        st.error(NO_MODEL, icon=":material/error:")
        return None
    by_id = {card.id: card for card in models}
    chosen = models[0]
    if len(models) > 1:
        chosen = by_id[st.selectbox("Model", by_id, format_func=lambda name: by_id[name].title, key="model")]
    title = chosen.title if len(models) == 1 else ""
    with st.container(key="model" if title else "model_card"):
        if chosen.state == "up":
            _describe(title, chosen.sentence)
        else:
            _watch(chosen, title)
    return chosen


def _describe(title: str, sentence: str) -> None:
    name = f"<b>{html.escape(title)}</b>" if title else ""
    st.html(f'<p class="m-model">{name}{html.escape(sentence)}</p>')


@st.fragment(run_every=MODEL_CHECK_S)
def _watch(model: ModelCard, title: str) -> None:
    """Say that the model is not up yet, and look again until it is."""
    try:
        state = next((card.state for card in chat_models() if card.id == model.id), "down")
    except ClientError:
        state = "down"
    if state == "up":
        st.rerun()
    _describe(title, STARTING if state == "starting" else DOWN)
