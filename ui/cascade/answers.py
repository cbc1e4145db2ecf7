"""Step 3: the two answers side by side, how long each stage took, and what it cost."""

from __future__ import annotations

import html
from collections.abc import Sequence

import streamlit as st

from ui.answer import Progress
from ui.answer_place import AnswerPlace, ending
from ui.cascade.asking import ask, stop
from ui.cascade.cost import ENGINE_OF_OURS, cost_line
from ui.cascade.stage import Stage
from ui.cascade.state import CascadeState, Run
from ui.cascade.taking import cascade
from ui.client import Client
from ui.feedback import after_answer
from ui.frame import start_over_button
from ui.language import t
from ui.session import session
from ui.share import share
from ui.wire import ModelCard
from ui.words import REMEMBERED_MS, seconds

Figures = Sequence[tuple[str, str]]


def answers(state: CascadeState, client: Client, model: ModelCard | None) -> list[AnswerColumn]:
    """Show both answers; return those that are on their way, to be followed."""
    run = state.run
    views: list[AnswerColumn] = []
    with st.container(key="answer", gap="small"):
        if run is None:
            st.html(f'<div class="m-empty">{html.escape(t("cascade.empty"))}</div>')
        else:
            st.text(run.cascade.answer.question)
            two, one = st.columns(2, gap="medium")
            who = t("cascade.two_who", listener=run.listener, thinker=run.thinker)
            with two, st.container(key="cascade_two", gap=None):
                views.append(AnswerColumn("two", t("cascade.two"), who, run.cascade, run))
                if run.cascade.ended and run.cascade.text:
                    _figures("timing", _two(run))
                    after_answer(session(), run.cascade.answer, run.thinker)
            with one, st.container(key="cascade_one", gap=None):
                who = t("cascade.one_who", listener=run.listener)
                views.append(AnswerColumn("one", t("cascade.one"), who, run.whole, run))
                if run.whole.ended and run.whole.text:
                    if _is_kept(run.whole.answer.progress):
                        st.caption(t("time.kept"))
                    _figures("timing_one", _one(run))
                    after_answer(session(), run.whole.answer, run.listener)
    with st.container(key="actions", horizontal=True, gap="small"):
        if state.busy:
            st.button(t("answer.stop"), key="stop", icon=":material/stop_circle:", on_click=stop)
        elif run is not None:
            st.button(
                t("answer.again"),
                key="again",
                icon=":material/refresh:",
                on_click=ask,
                args=(client, model),
                disabled=model is None,
            )
            share(cascade(state, run))
        start_over_button()
    if run is not None and run.ended:
        small = model is not None and model.engine == ENGINE_OF_OURS
        st.caption(" ".join([t("cascade.times_note"), *([t("cascade.caution")] if small else [])]))
    return [view for view in views if not view.ended]


class AnswerColumn(AnswerPlace):
    """One of the two answers."""

    def __init__(self, name: str, title: str, who: str, stage: Stage, run: Run) -> None:
        self._run = run
        self._second_stage = stage is run.cascade
        st.html(f'<h3 class="m-way">{html.escape(title)}</h3><p class="m-note">{html.escape(who)}</p>')
        super().__init__(stage.answer, f"cascade_{'text' if stage.ended else 'coming'}_{name}")
        if self.ended:
            ending(self._drawn)

    def thinks(self, progress: Progress) -> bool:
        """Say whether the hearing, a stage of its own, is over."""
        hearing = self._run.hearing
        return super().thinks(progress) or (self._second_stage and (hearing is None or hearing.stage.ended))


def _two(run: Run) -> Figures:
    """Return the times and the cost of the cascade: its first and last word come after the hearing."""
    meter, hearing = run.cascade.meter, run.hearing
    heard_s = hearing.stage.meter.done_s if hearing is not None else None
    rows = [(t("cascade.row_heard"), _time(heard_s) if hearing is not None else t("cascade.by_hand"))]
    if hearing is not None and _is_kept(hearing.stage.answer.progress):
        rows = [(t("cascade.row_heard"), t("cascade.known"))]
    rows += [
        (t("cascade.row_first"), _time(meter.first_s, heard_s or 0.0)),
        (t("cascade.row_done"), _time(meter.done_s, heard_s or 0.0)),
    ]
    thinking = cost_line(run.thinking, meter)
    if hearing is not None:
        heard = cost_line(run.listening, hearing.stage.meter, run.clip.seconds)
        rows.append((t("cascade.cost_hearing"), heard))
    if meter.usage is not None and not run.thinking.price.free:
        tokens = t("cascade.tokens", read=f"{meter.usage.read:,}", written=f"{meter.usage.written:,}")
        thinking = f"{thinking} ({tokens})"
    return [*rows, (t("cascade.cost_thinking"), thinking)]


def _one(run: Run) -> Figures:
    """Return the times and the cost of the answer all in one."""
    meter, progress = run.whole.meter, run.whole.answer.progress
    rows: list[tuple[str, str]] = []
    asr_ms = progress.timing.asr_ms if progress.timing is not None else None
    if _is_kept(progress) or (asr_ms is not None and asr_ms < REMEMBERED_MS):
        rows.append((t("cascade.row_heard"), t("cascade.known")))
    elif asr_ms is not None:
        rows.append((t("cascade.row_heard"), seconds(asr_ms / 1000)))
    else:
        rows.append((t("cascade.row_heard"), t("cascade.as_it_goes")))
    return [
        *rows,
        (t("cascade.row_first"), _time(meter.first_s)),
        (t("cascade.row_done"), _time(meter.done_s)),
        (t("cascade.cost_all"), cost_line(run.listening, meter, run.clip.seconds)),
    ]


def _figures(key: str, rows: Figures) -> None:
    cells = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in rows)
    with st.container(key=key):
        st.html(f'<dl class="m-figures">{cells}</dl>')


def _time(value: float | None, before: float = 0.0) -> str:
    return "–" if value is None else seconds(before + value)


def _is_kept(progress: Progress) -> bool:
    """Whether the controller had the answer from before, so that its time says nothing of the model."""
    return progress.timing is not None and progress.timing.cache == "hit"
