"""A card a model: what it is, where it runs, whether it is up, how fast it is today.

The cards look again by themselves, so that what they say stays true while a visitor reads.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence

import streamlit as st

from ui.answer_place import say_problem
from ui.connection import all_models
from ui.frame import choose_model
from ui.language import FIRST, language, t, table
from ui.session import run_that_is_owed, session
from ui.speed import SPEEDS
from ui.wire import ClientError, ModelCard
from ui.words import seconds

LOOK_AGAIN_S = 3.0
FIRST_LANGUAGES = 6  # named on the card itself; the rest behind a click
ENGINES = ("embedded", "vllm", "openai")
TASKS = ("transcribe", "translate", "summarise", "answer", "chat", "speaker", "sound", "speech")


@st.fragment(run_every=LOOK_AGAIN_S)
def model_cards() -> None:
    """Show a card for each model and keep it true: those that answer first, then those that read aloud."""
    run_that_is_owed()
    try:
        cards = all_models()
    except ClientError as error:
        say_problem(error)
        return
    chat = [card for card in cards if card.kind == "chat"]
    with st.container(key="model_cards"):
        chosen = _answering(chat)
        for card in chat:
            _card(card, chosen=card.id == chosen)
    speech = [card for card in cards if card.kind != "chat"]
    if speech:
        st.html(f'<h2 class="m-quiet-title">{t("models.speech_title")}</h2>')
        with st.container(key="speech_cards"):
            for card in speech:
                _card(card, chosen=None)


def _answering(chat: Sequence[ModelCard]) -> str:
    """Return the id of the model that answers on all pages."""
    ids = [card.id for card in chat]
    return session().model if session().model in ids else next(iter(ids), "")


def _card(card: ModelCard, chosen: bool | None) -> None:
    """Draw one; `chosen` is None for a model that nobody can ask."""
    with st.container(key=f"pick_{card.id}", gap=None):
        # Two parts, so that what is open in the second stays open when the first changes.
        st.html(_live(card, bool(chosen)))
        st.html(_about(card))
        if chosen is None:
            return
        # Never of another type: that would be another button to the browser, and the focus lost.
        pressed = st.button(
            t("models.chosen" if chosen else "models.choose"),
            key=f"choose_{card.id}",
            icon=":material/check:" if chosen else None,
            width="stretch",
        )
    if pressed and not chosen:
        choose_model(card.id)
        st.rerun()


def _live(card: ModelCard, chosen: bool) -> str:
    """Return what changes: the state and, where it is not up, why; the speed."""
    state = card.state if card.state in ("up", "starting", "down") else "down"
    why = f'<p class="m-why">{html.escape(card.detail)}</p>' if card.detail and state != "up" else ""
    head = (
        f'<div class="m-card-head{" m-chosen" if chosen else ""}"><h3>{html.escape(card.title)}</h3>'
        f'<span class="m-state m-{state}"><i></i>{t(f"models.state_{state}")}</span></div>'
    )
    speed = f'<p class="m-speed">{_speed(card)}</p>' if card.kind == "chat" else ""
    return f"{head}{why}{speed}"


def _speed(card: ModelCard) -> str:
    speed = SPEEDS.of(card.id)
    if speed is None:
        return html.escape(t("models.speed_unknown"))
    first = t("models.speed_first", seconds=seconds(speed.first_word_s))
    pace = t("models.speed_words", words=_round(speed.words_per_s)) if speed.words_per_s else ""
    count = t("models.speed_from" if speed.answers > 1 else "models.speed_from_one", answers=speed.answers)
    return f"<b>{html.escape(first)}</b> {html.escape(pace)} <small>{html.escape(count)}</small>"


def _round(words_per_s: float) -> str:
    return f"{words_per_s:.0f}" if words_per_s >= 3 else f"{words_per_s:.1f}"


def _about(card: ModelCard) -> str:
    """Return what stays: what it is, its facts, and behind a click what it can do and cannot."""
    facts = "".join(f"<dt>{name}</dt><dd>{html.escape(value)}</dd>" for name, value in _facts(card))
    return (
        f'<p class="m-sentence">{html.escape(card.sentence)}</p><dl class="m-facts">{facts}</dl>'
        f'<details class="m-more"><summary>{t("models.more")}</summary>{_abilities(card)}</details>'
    )


def _facts(card: ModelCard) -> Iterator[tuple[str, str]]:
    if card.languages:
        yield t("models.languages"), _languages(card.languages, FIRST_LANGUAGES)
    if card.max_audio_seconds and card.kind == "chat":
        yield t("models.longest"), seconds(card.max_audio_seconds)
    if card.engine in ENGINES:
        elsewhere = card.engine == "openai" and card.kind != "chat"
        yield t("models.where"), t("models.where_text" if elsewhere else f"models.where_{card.engine}")
    if card.licence:
        yield t("models.licence"), card.licence


def _languages(codes: Sequence[str], most: int) -> str:
    """Name languages in the visitor's own, at most so many."""
    names = [language_name(code) for code in codes]
    if len(names) <= most + 1:
        return ", ".join(names)
    return t("models.and_more", names=", ".join(names[:most]), count=len(names) - most)


def language_name(code: str) -> str:
    """Return a language's name in the visitor's language, or its code where no table has it."""
    key = f"languages.{code.casefold()}"
    return table(language()).get(key) or table(FIRST).get(key) or code


def _abilities(card: ModelCard) -> str:
    told = [task for task in TASKS if task in card.capabilities]
    can = [t(f"models.can_{task}") for task in told if card.can(task).supported]
    cannot: dict[str, list[str]] = {}
    for task in told:
        if not card.can(task).supported:
            cannot.setdefault(card.can(task).reason, []).append(t(f"models.can_{task}"))
    parts = []
    if can:
        parts.append(f"<p><b>{t('models.can')}</b> {html.escape(', '.join(can))}</p>")
    for reason, names in cannot.items():
        parts.append(
            f"<p><b>{t('models.cannot')}</b> {html.escape(', '.join(names))}. {html.escape(reason)}</p>"
        )
    if len(card.languages) > FIRST_LANGUAGES + 1:
        every = _languages(card.languages, len(card.languages))
        parts.append(f"<p><b>{t('models.languages')}</b> {html.escape(every)}</p>")
    parts.append(f"<p><b>{t('models.name_in_api')}</b> <code>{html.escape(card.id)}</code></p>")
    if card.hub_id:
        parts.append(f"<p><b>{t('models.made_of')}</b> <code>{html.escape(card.hub_id)}</code></p>")
    return "".join(parts)
