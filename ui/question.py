"""Step 2: the clip, the task chips, the prompt in the visitor's own words, and Ask."""

from __future__ import annotations

import html

import streamlit as st

from ui import samples
from ui.answer import Answer
from ui.client import AnswerStream, Client
from ui.clip import Clip, ensure_stored
from ui.clip_panel import clip_panel
from ui.connection import wait_until_up
from ui.session import Session, session
from ui.settings import settings
from ui.tasks import BY_NAME, FIRST, MAX_PROMPT_CHARACTERS, TASKS, prompt_problem
from ui.wire import ModelCard

NO_CLIP = "There is no voice clip yet. Pick a sample, upload a recording or speak, then press Ask."
DOUBLE_CLICK_S = 1.0
READY_QUESTIONS = 3
ASKED_BY_CHIP = ("transcribe", "translate", "summarise")  # the same for every clip: a chip says it already


def question(visit: Session, client: Client, model: ModelCard | None) -> None:
    """Show everything that makes a question."""
    st.session_state.setdefault("prompt", FIRST.prompt)
    if visit.pending is not None:
        with st.spinner("Reading your clip…"):
            visit.settle(client)
        st.rerun()
    clip_panel(visit.clip)
    _chips(visit, model)
    _ready_questions(visit, model)
    st.text_area(
        "Your question, in your own words",
        key="prompt",
        height=68,
        help=f"Up to {MAX_PROMPT_CHARACTERS:,} characters.",
    )
    if visit.ask_problem:
        st.error(visit.ask_problem, icon=":material/info:")
    st.button(
        "Ask",
        key="ask",
        type="primary",
        icon=":material/send:",
        width="stretch",
        disabled=visit.answering or model is None,
        on_click=ask,
        args=(client, model),
    )


def ask(client: Client, model: ModelCard | None, again: bool = False) -> None:
    """Ask what the page shows, or say what is missing. A second click of a double click asks nothing."""
    visit = session()
    last = visit.answer
    if model is None or visit.answering or (last and not again and last.seconds < DOUBLE_CLICK_S):
        return
    prompt = str(st.session_state.get("prompt", ""))
    clip = visit.clip
    visit.ask_problem = prompt_problem(prompt) if clip else NO_CLIP
    if clip and not visit.ask_problem:
        question = prompt.strip()
        left_alone_s = settings().left_alone_s
        visit.go_to("step_3")
        visit.answer = Answer(question, lambda: _open(client, model.id, question, clip), left_alone_s)


def _open(client: Client, model_id: str, prompt: str, clip: Clip) -> AnswerStream:
    """Wait for a model that is starting, and open the stream. Raises ClientError."""
    wait_until_up(client, model_id)
    host = settings()
    file_id = ensure_stored(client, clip)
    return client.ask(model_id, prompt, file_id, host.max_tokens, host.answer_timeout_s)


def _chips(visit: Session, model: ModelCard | None) -> None:
    """Show a chip for each task; Streamlit's own pills cannot grey a single one, so they are buttons."""
    cannot: dict[str, list[str]] = {}
    with st.container(key="task", horizontal=True, gap="small"):
        for task in TASKS:
            can = model.can(task.name) if model else None
            supported = can is None or can.supported
            if can and not supported:
                cannot.setdefault(can.reason or "This model cannot do it.", []).append(task.label)
            st.button(
                task.label,
                key=f"task_{task.name}",
                icon=task.icon,
                type="primary" if supported and visit.task == task.name else "secondary",
                disabled=not supported,
                help=None if can is None or supported else can.reason,
                on_click=_choose_task,
                args=(task.name, task.prompt),
            )
    lines = (f"<b>{' and '.join(labels)}</b> {html.escape(reason)}" for reason, labels in cannot.items())
    if cannot:
        st.html(f'<p class="m-note">{"<br>".join(lines)}</p>')


def _ready_questions(visit: Session, model: ModelCard | None) -> None:
    """Show the questions that come with a sample and that the model can take."""
    clip = visit.clip
    sample = samples.load(settings().samples_dir).find(clip.sample_id) if clip and clip.sample_id else None
    ready = [
        question
        for question in (sample.questions if sample else ())
        if question.task not in ASKED_BY_CHIP and (model is None or model.can(question.task).supported)
    ][:READY_QUESTIONS]
    if not ready:
        return
    with st.container(key="ready", gap=None):
        for number, question in enumerate(ready):
            st.button(
                question.text,
                key=f"ready_{number}",
                type="tertiary",
                icon=":material/subdirectory_arrow_right:",
                on_click=_choose_task,
                args=(question.task, question.text),
            )


def _choose_task(name: str, prompt: str) -> None:
    visit = session()
    visit.task = name if name in BY_NAME else "answer"
    visit.ask_problem = ""
    st.session_state["prompt"] = prompt
