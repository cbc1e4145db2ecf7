"""Step 3: the answer as it comes, what was heard, how long it took, and what to do next."""

from __future__ import annotations

import html

import streamlit as st

from ui.answer import Answer, Progress
from ui.answer_place import AnswerPlace, ending
from ui.asking import ask_again, edit
from ui.client import Client
from ui.conversation import Turn
from ui.feedback import after_answer
from ui.giving import give
from ui.language import t
from ui.playground_state import Playground
from ui.session import Session, session
from ui.share import conversation, share
from ui.tasks import FIRST
from ui.turns_view import earlier_turns
from ui.wire import ModelCard
from ui.words import details, timing_line


def answer_view(visit: Session, client: Client, model: ModelCard | None) -> AnswerView | None:
    """Show what was asked and answered; return the answer that is still on its way, to be followed."""
    here = visit.part(Playground)
    turns = here.conversation.turns
    if turns:
        earlier_turns(turns[:-1], here.busy)
    place = st.container(key="answer", gap=None)
    actions = st.container(key="actions", horizontal=True, gap="small")
    with actions:
        _actions(here, client, model)
    opinions = st.container(key="opinions", gap="small")
    if not turns:
        place.html(f'<div class="m-empty">{html.escape(t("answer.empty"))}</div>')
        return None
    with place:
        view = AnswerView(turns[-1].answer)
        if view.ended:
            _ending(turns[-1], here)
    with opinions:
        after_answer(visit, turns[-1].answer, turns[-1].model)
        if view.ended:
            give(visit, visit.clip)
    return None if view.ended else view


class AnswerView(AnswerPlace):
    """The question, what the model heard, and the answer."""

    def __init__(self, answer: Answer) -> None:
        with st.container(key="asked"):
            st.text(answer.question)
        with st.container(key="heard", gap=None):
            self._heard_label, self._heard = st.empty(), st.empty()
        self._heard_said = ""
        super().__init__(answer, "answer_text" if answer.progress.ended else "answer_coming")

    def _draw(self, progress: Progress) -> None:
        if progress.heard != self._heard_said:
            self._heard_label.caption(t("answer.heard"))
            self._heard.text(progress.heard.strip())
            self._heard_said = progress.heard
        super()._draw(progress)


def _actions(here: Playground, client: Client, model: ModelCard | None) -> None:
    if here.busy:
        st.button(t("answer.stop"), key="stop", icon=":material/stop_circle:", on_click=_stop)
    elif here.conversation.turns:
        st.button(
            t("answer.again"),
            key="again",
            icon=":material/refresh:",
            on_click=ask_again,
            args=(client, model),
            disabled=model is None,
        )
        number = len(here.conversation.turns) - 1
        st.button(t("answer.edit"), key="edit", icon=":material/edit:", on_click=edit, args=(number,))
        share(conversation(t("playground.title"), here.conversation.turns, here.clips))
    st.button(
        t("frame.start_over"),
        key="start_over",
        icon=":material/restart_alt:",
        on_click=_start_over,
        args=(client,),
    )


def _ending(turn: Turn, here: Playground) -> None:
    """Say how it ended: how long it took, or what went wrong and what to do."""
    progress = turn.answer.progress
    ending(progress)
    if progress.heard and progress.text:
        st.caption(t("answer.caution"))
    if progress.timing:
        line = timing_line(progress.timing, sum(clip.seconds for clip in here.clips))
        with st.container(key="timing"):
            if line:
                st.caption(line)
            with st.expander(t("time.details"), type="compact"):
                figures = "<br>".join(html.escape(figure) for figure in details(progress.timing, turn.model))
                st.html(f'<p class="m-note">{figures}</p>')


def _stop() -> None:
    last = session().part(Playground).conversation.last
    if last is not None:
        last.answer.stop()


def _start_over(client: Client) -> None:
    session().start_over(client)
    st.session_state["prompt"] = FIRST.prompt
    st.session_state["simple_recorder"] = False
