"""Step 3: the answer as it comes, what was heard, how long it took, and what to do next."""

from __future__ import annotations

import time

import streamlit as st

from ui.answer import Answer, Progress
from ui.client import Client
from ui.question import ask
from ui.session import Session, session
from ui.tasks import FIRST
from ui.wire import ModelCard
from ui.words import timing_line

REDRAW_S = 0.05  # words that come faster than this are drawn together
TICK_S = 0.5  # how often a waiting line counts on
PATIENCE_S = 1.0  # after which a waiting line counts seconds
CAUTION = "A small model wrote this from the words above. It often gets facts wrong: check it against them."
EMPTY = "The answer will appear here, word by word."
WAITING = {"starting": "The model is starting, about 10 seconds…", "listening": "Listening to your clip…"}


def answer_view(visit: Session, client: Client, model: ModelCard | None) -> None:
    """Show the answer and follow it to its end; a click elsewhere starts a run that goes on following."""
    place = st.container(key="answer", gap=None)
    actions = st.container(key="actions", horizontal=True, gap="small")
    answer = visit.answer
    with actions:
        if visit.answering:
            st.button("Stop", key="stop", icon=":material/stop_circle:", on_click=_stop)
        elif answer is not None:
            st.button(
                "Ask again", key="again", icon=":material/refresh:", on_click=ask, args=(client, model, True)
            )
        st.button(
            "Start over",
            key="start_over",
            icon=":material/restart_alt:",
            on_click=_start_over,
            args=(client,),
        )
    if answer is None:
        place.html(f'<div class="m-empty">{EMPTY}</div>')
        return
    with place:
        _follow(answer, visit)


def _follow(answer: Answer, visit: Session) -> None:
    view = _View(answer)
    progress = answer.progress
    view.draw(progress)
    if progress.ended:
        _ending(progress, visit)
        return
    while not progress.ended:
        progress = answer.wait(progress.version, TICK_S)
        view.draw(progress)
        time.sleep(REDRAW_S)
    st.rerun()  # the buttons change now that nothing more comes


class _View:
    """The places of an answer on the page. Text is drawn as text: what a model writes is never markup."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        with st.container(key="asked"):
            st.text(answer.question)
        with st.container(key="heard", gap=None):
            self._heard_label, self._heard = st.empty(), st.empty()
        with st.container(key="answer_text" if answer.progress.ended else "answer_coming"):
            self._text = st.empty()
        self._waiting = st.empty()
        self._drawn = Progress(version=-1)

    def draw(self, progress: Progress) -> None:
        """Draw what has changed since the last time."""
        if progress.heard != self._drawn.heard:
            self._heard_label.caption("What I heard")
            self._heard.text(progress.heard.strip())
        if progress.text != self._drawn.text:
            self._text.text(progress.text.strip())
        if progress.ended or progress.phase == "answering":
            self._waiting.empty()
        else:
            self._waiting.caption(self._waiting_line(progress))
        self._drawn = progress

    def _waiting_line(self, progress: Progress) -> str:
        line = "Thinking…" if progress.heard else WAITING[progress.phase]
        seconds = self._answer.seconds
        return f"{line} {seconds:.0f} s" if seconds > PATIENCE_S else line


def _ending(progress: Progress, visit: Session) -> None:
    """Say how it ended: how long it took, or what went wrong and what to do."""
    if progress.error is not None:
        kept = " What had come is kept." if progress.text else ""
        st.error(f"{progress.error.message}{kept}", icon=":material/error:")
    elif progress.phase == "stopped":
        st.caption("Stopped. This is what had come." if progress.text else "Stopped before the first word.")
    elif not progress.text.strip():
        st.info("The model had nothing to say. Try other words, or a longer clip.")
    elif progress.cut:
        st.caption("The answer was cut here because it reached its longest length.")
    if progress.heard and progress.text:
        st.caption(CAUTION)
    line = timing_line(progress.timing, visit.clip.seconds if visit.clip else 0.0) if progress.timing else ""
    if line:
        with st.container(key="timing"):
            st.caption(line)


def _stop() -> None:
    answer = session().answer
    if answer is not None:
        answer.stop()


def _start_over(client: Client) -> None:
    session().start_over(client)
    st.session_state["prompt"] = FIRST.prompt
    st.session_state["simple_recorder"] = False
