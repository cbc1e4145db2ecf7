"""What a visitor can ask with one click: a chip for each task, and the questions that come with a clip."""

from __future__ import annotations

import html
from contextlib import suppress

import streamlit as st

from ui import samples
from ui.connection import chat_models
from ui.frame import choose_model
from ui.kiosk import is_kiosk
from ui.language import FIRST as ENGLISH
from ui.language import language, t
from ui.playground_state import Playground
from ui.session import session
from ui.settings import settings
from ui.tasks import BY_NAME, COMPARISONS, LANGUAGES, TASKS, Task, prompt_of, targets
from ui.wire import Capability, ClientError, ModelCard

READY_QUESTIONS = 3
ASKED_BY_CHIP = ("transcribe", "translate", "summarise")  # the same for every clip: a chip says it already


def chips(here: Playground, model: ModelCard | None) -> None:
    """Show a chip for each task; Streamlit's own pills cannot grey a single one, so they are buttons."""
    cannot: dict[str, list[str]] = {}
    refused: list[Task] = []
    with st.container(key="task", horizontal=True, gap="small"):
        for task in TASKS:
            can = model.can(task.capability) if model else Capability(supported=True)
            reason = "" if can.supported else _reason(can)
            label = t(f"tasks.{task.name}")
            if reason:
                cannot.setdefault(reason, []).append(label)
                refused.append(task)
            st.button(
                label,
                key=f"task_{task.name}",
                icon=task.icon,
                type="primary" if can.supported and here.task == task.name else "secondary",
                disabled=not can.supported,
                help=reason or None,
                on_click=_choose_task,
                args=(task.name,),
            )
    if cannot:
        lines = (
            f"<b>{html.escape(t('tasks.comma').join(labels))}</b> {html.escape(reason)}"
            for reason, labels in cannot.items()
        )
        why = html.escape(t("tasks.why"))
        st.html(f'<details class="m-note"><summary>{why}</summary>{"<br>".join(lines)}</details>')
    if model and refused and not is_kiosk():
        _who_can(model, refused)
    if here.task == "translate":
        _target(here, targets(model))


def _who_can(model: ModelCard, tasks: list[Task]) -> None:
    """For each other model, offer it for what the chosen one cannot do."""
    left = list(tasks)
    others: list[ModelCard] = []
    with suppress(ClientError):  # the page says elsewhere that no model can be reached
        others = [card for card in chat_models() if card.id != model.id and card.state == "up"]
    for other in others:
        able = [task for task in left if other.can(task.capability).supported]
        if not able:
            continue
        left = [task for task in left if task not in able]
        names = t("tasks.comma").join(t(f"tasks.{task.name}") for task in able)
        st.button(
            t("tasks.other", model=other.title, tasks=names),
            key=f"other_{other.id}",
            type="tertiary",
            icon=":material/swap_horiz:",
            on_click=_turn_to,
            args=(other, able[0].name),
        )


def _turn_to(model: ModelCard, task: str) -> None:
    choose_model(model.id)
    here = session().part(Playground)
    if here.into not in targets(model):  # the prompt names it before the page asks for it
        here.into = targets(model)[0]
    _choose_task(task)


def ready_questions(here: Playground, model: ModelCard | None) -> None:
    """Show the questions that come with a sample, or with two clips, and that the model can take."""
    ready = [("answer", text) for text in COMPARISONS] if len(here.clips) > 1 else _of_sample(here, model)
    if not ready:
        return
    with st.container(key="ready", gap=None):
        for number, (task, text) in enumerate(ready):
            st.button(
                text,
                key=f"ready_{number}",
                type="tertiary",
                icon=":material/subdirectory_arrow_right:",
                on_click=_choose,
                args=(task, text),
            )


def _of_sample(here: Playground, model: ModelCard | None) -> list[tuple[str, str]]:
    clip = here.clips[-1] if here.clips else None
    sample = samples.load(settings().samples_dir).find(clip.sample_id) if clip and clip.sample_id else None
    return [
        (question.task, question.text)
        for question in (sample.questions if sample else ())
        if question.task not in ASKED_BY_CHIP and (model is None or model.can(question.task).supported)
    ][:READY_QUESTIONS]


def _reason(can: Capability) -> str:
    """Say why a model cannot do a task: as its host wrote it, who wrote in English, or else in our words."""
    return can.reason if language() == ENGLISH and can.reason else t("tasks.cannot")


def _target(here: Playground, codes: list[str]) -> None:
    """Let the visitor choose the language to translate into, where the model offers more than one."""
    if here.into not in codes:
        here.into = codes[0]
    if len(codes) == 1:
        return
    st.session_state["into"] = here.into
    st.selectbox(
        t("tasks.into"),
        codes,
        format_func=lambda code: LANGUAGES[code].name,
        key="into",
        on_change=_choose_target,
    )


def _choose_target() -> None:
    session().part(Playground).into = str(st.session_state["into"])
    _choose_task("translate")


def _choose_task(name: str) -> None:
    _choose(name, prompt_of(BY_NAME[name], session().part(Playground).into))


def _choose(task: str, prompt: str) -> None:
    here = session().part(Playground)
    here.task = task if task in BY_NAME else "answer"
    here.problem = ""
    st.session_state["prompt"] = prompt
