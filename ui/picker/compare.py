"""Compare: the same clip and question for several models, and their answers side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from ui import samples
from ui.answer_place import AnswerPlace, plain
from ui.client import Client
from ui.clip_choice import clip_choice
from ui.connection import client
from ui.frame import start_over_button
from ui.language import t
from ui.picker.link import link_to
from ui.picker.results import results
from ui.picker.share import copy_link
from ui.picker.state import MOST, Contender, PickerState, compare, contender, offered
from ui.picker.taking import compared
from ui.samples import Sample
from ui.session import Session, session
from ui.settings import settings
from ui.share import share
from ui.tasks import FIRST, MAX_PROMPT_CHARACTERS, TASKS
from ui.wire import ModelCard

DOUBLE_CLICK_S = 1.0
CHIPS = ("transcribe", "translate", "summarise", "answer")
FEWEST = 2
ASKER = "picker_asker"  # in session state: the visitor whose question stands in the box


def comparison(visit: Session, chat: Sequence[ModelCard]) -> list[AnswerPlace]:
    """Show everything that makes a comparison, then the answers; return those that are on their way."""
    state = visit.part(PickerState)
    names = titles(chat)
    with st.container(key="compare"):
        st.html(f"<h2>{t('models.compare')}</h2><p>{t('models.compare_about', most=MOST)}</p>")
        with st.container(key="compare_parts"):
            left, right = st.columns([1, 1.15], gap="medium")
        with left:
            clip_choice(visit, client())
        with right:
            prompt = _question(visit, state)
            picked = _who(state, chat, names)
            _actions(state, prompt, picked)
            _link(visit, prompt, picked)
        views = results(visit, state, names)
        if state.comparison is not None:
            share(compared(state.comparison, names, visit.clip))
    return views


def titles(chat: Sequence[ModelCard]) -> Mapping[str, str]:
    """Return what each contender is called, by its id."""
    named = {card.id: card.title for card in chat}
    freely = {Contender(card.id, freely=True).id: t("models.freely", title=card.title) for card in chat}
    return named | freely


def _question(visit: Session, state: PickerState) -> str:
    if st.session_state.get(ASKER, visit.visitor) != visit.visitor:  # started over: the box as well
        st.session_state.pop("prompt", None)
    st.session_state[ASKER] = visit.visitor
    with st.container(key="task", horizontal=True, gap="small"):
        for task in TASKS:
            if task.name in CHIPS:
                st.button(
                    t(f"models.can_{task.name}"),
                    key=f"task_{task.name}",
                    icon=task.icon,
                    on_click=_set_prompt,
                    args=(task.prompt,),
                )
    # Given as the default as well, and at each run: a browser that is still loading the box when the next run
    # comes would else show it empty.
    now = str(st.session_state.get("prompt", state.prompt or FIRST.prompt))
    state.prompt = st.text_area(t("models.question"), now, key="prompt", height=68)
    return state.prompt


def _set_prompt(prompt: str) -> None:
    st.session_state["prompt"] = prompt


def _who(state: PickerState, chat: Sequence[ModelCard], names: Mapping[str, str]) -> list[str]:
    """Let the visitor tick who answers; return their ids."""
    every = offered(chat, state.picked or ())
    if not every:
        return []
    up = {card.id for card in chat if card.state == "up"}
    first = sorted((one.id for one in every), key=lambda name: contender(name).model not in up)[:FEWEST]
    ticked = [one.id for one in every if one.id in (first if state.picked is None else state.picked)]
    with st.container(key="compare_who", gap=None):
        st.html(f'<p class="m-label">{t("models.who")}</p>')
        if len(chat) == 1:
            st.html(f'<p class="m-note">{t("models.only_one")}</p>')
        for one in every:
            key = f"compare_{one.id}"
            st.session_state[key] = one.id in ticked
            note = "" if one.model in up else f" ({t('models.not_up')})"
            st.checkbox(plain(names[one.id]) + note, key=key, on_change=_tick, args=(one.id, tuple(ticked)))
    return ticked


def _tick(identifier: str, before: tuple[str, ...]) -> None:
    """Take up a tick or its removal; a fifth is not taken."""
    state = session().part(PickerState)
    state.problem = ""
    if identifier in before:
        state.picked = [one for one in before if one != identifier]
    elif len(before) >= MOST:
        state.problem = t("models.most", most=MOST)
    else:
        state.picked = [*before, identifier]


def _actions(state: PickerState, prompt: str, picked: Sequence[str]) -> None:
    if state.problem:
        st.error(state.problem, icon=":material/info:")
    with st.container(key="compare_actions", horizontal=True, gap="small"):
        if state.busy:
            st.button(
                t("models.stop"), key="stop", icon=":material/stop_circle:", width="stretch", on_click=_stop
            )
        else:
            st.button(
                t("models.compare_now"),
                key="ask",
                type="primary",
                icon=":material/compare_arrows:",
                width="stretch",
                disabled=not picked,
                on_click=_ask,
                args=(client(), tuple(picked)),
            )
        start_over_button()


def _ask(client: Client, picked: tuple[str, ...]) -> None:
    """Ask all, or say what is missing. The second click of a double click asks nothing."""
    visit = session()
    state = visit.part(PickerState)
    last = state.comparison
    if state.busy or (last and last.columns[0].answer.seconds < DOUBLE_CLICK_S):
        return
    prompt = str(st.session_state.get("prompt", "")).strip()
    clip = visit.clip
    state.problem = _problem(clip is None, prompt, len(picked))
    if clip is None or state.problem:
        return
    sample = _sample(clip.sample_id)
    truth = sample.transcript if sample else ""
    state.comparison = compare(client, clip, truth, prompt, [contender(one) for one in picked])
    visit.go_to("compared")


def _problem(no_clip: bool, prompt: str, picked: int) -> str:
    if no_clip:
        return t("models.no_clip")
    if not prompt:
        return t("models.no_question")
    if len(prompt) > MAX_PROMPT_CHARACTERS:
        return t("models.long_question", count=f"{len(prompt):,}", most=f"{MAX_PROMPT_CHARACTERS:,}")
    return t("models.too_few") if picked < FEWEST else ""


def _stop() -> None:
    last = session().part(PickerState).comparison
    if last is not None:
        last.stop()


def _link(visit: Session, prompt: str, picked: Sequence[str]) -> None:
    """Offer the link to what is shown; it leaves a visitor's own clip out, and says so."""
    with st.container(key="compare_link", gap=None):
        copy_link(link_to(visit.clip, prompt, tuple(picked)).query)
        own = visit.clip is not None and not visit.clip.sample_id
        st.caption(t("models.link_own" if own else "models.link_about"))


def _sample(sample_id: str) -> Sample | None:
    return samples.load(settings().samples_dir).find(sample_id) if sample_id else None
