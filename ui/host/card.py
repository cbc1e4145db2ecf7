"""The card as the host reads it: four figures, who waits, the engines, and what went wrong."""

from __future__ import annotations

import html
from collections.abc import Sequence

import streamlit as st

from ui.host.buttons import restart
from ui.host.desk import Card, Engine, Failure, Waiting
from ui.host.state import HostState
from ui.language import FIRST, language, t, table
from ui.words import seconds

_MOST = 8  # who wait, told one by one
_WELL, _TROUBLE = ("ready", "full"), ("down", "resting")
_HARMLESS = ("paused", "started_over", "rate_limited", "queue_yours_full", "host_key_wrong")


def card_view(card: Card, state: HostState) -> None:
    """Draw it."""
    _headline(card)
    _figures(card)
    left, right = st.columns(2, gap="small")
    with left, st.container(key="host_engines", gap="small"):
        _title("host.engines")
        if not card.engines:
            st.text(t("host.no_engine"))
        for number, engine in enumerate(card.engines):
            _engine(engine, number)
    with right, st.container(key="host_waiting", gap="small"):
        _title("host.who_waits")
        _waiting(card.waiting)
        _title("host.what_failed")
        _failures(card.failures)


def _headline(card: Card) -> None:
    troubled = any(one.condition in _TROUBLE for one in card.engines)
    troubled |= any(one.code not in _HARMLESS and not one.code.startswith("audio_") for one in card.failures)
    if card.paused:
        st.warning(t("host.is_paused"), icon=":material/pause_circle:")
    elif troubled:
        st.error(t("host.trouble"), icon=":material/error:")
    else:
        st.success(t("host.well"), icon=":material/check_circle:")


def _figures(card: Card) -> None:
    rate = "–"
    if card.hit_rate is not None:
        rate = t("host.per_cent", number=round(100 * card.hit_rate))
    figures = (
        (t("host.answering"), str(card.answering)),
        (t("host.waiting"), str(len(card.waiting))),
        (t("host.hits"), rate),
        (t("host.errors"), str(sum(one.count for one in card.failures))),
    )
    cells = "".join(f"<div><dt>{name}</dt><dd>{html.escape(value)}</dd></div>" for name, value in figures)
    st.html(f'<dl class="m-tiles">{cells}</dl>')


def _waiting(waiting: Sequence[Waiting]) -> None:
    if not waiting:
        st.caption(t("host.nobody"))
        return
    for one in waiting[:_MOST]:
        st.text(t("host.place", place=one.place, time=seconds(one.seconds), model=one.model))
    if len(waiting) > _MOST:
        st.caption(t("host.more", number=len(waiting) - _MOST))


def _engine(engine: Engine, number: int) -> None:
    with st.container(key=f"host_engine_{number}", gap="small"):
        state = "m-down" if engine.condition in _TROUBLE else ""
        state = "m-up" if engine.condition in _WELL else state
        condition = t(f"host.condition_{engine.condition}")
        models = html.escape(", ".join(engine.models))
        st.html(
            f'<div class="m-card-head"><h3>{html.escape(engine.name)}</h3>'
            f'<span class="m-state {state}"><i></i>{condition}</span></div>'
            f'<p class="m-note">{models}</p>'
        )
        st.text(t("host.busy", busy=engine.busy, places=engine.places))
        if engine.condition not in _WELL:
            st.caption(html.escape(engine.sentence))
        if engine.can_restart:
            st.button(
                t("host.restart"),
                key=f"host_restart_{number}",
                icon=":material/refresh:",
                on_click=restart,
                args=(engine.name,),
            )
        else:
            st.html(f'<p class="m-note">{t("host.elsewhere")}</p>')


def _failures(failures: Sequence[Failure]) -> None:
    if not failures:
        st.caption(t("host.nothing_failed"))
        return
    rows = "".join(
        f"<li><b>{t('host.failure', count=one.count)}</b> "
        f"<small>{t('host.ago', time=seconds(one.seconds))}</small><br>{html.escape(_sentence(one))}</li>"
        for one in failures
    )
    st.html(f'<ul class="m-failures">{rows}</ul>')


def _sentence(failure: Failure) -> str:
    """Return the host's sentence; in other languages than English what the visitors were told."""
    key = f"errors.{failure.code}"
    if language() == FIRST or key not in table(FIRST):
        return failure.sentence
    return t("host.told", sentence=t(key))


def _title(key: str) -> None:
    st.html(f'<h2 class="m-quiet-title">{t(key)}</h2>')
