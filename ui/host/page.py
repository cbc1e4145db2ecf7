"""The host's page: what goes on in the demo, and what to do. It is in no menu; the host knows its address."""

from __future__ import annotations

import streamlit as st

from ui.cascade.secret import Secret
from ui.connection import desk
from ui.host.buttons import buttons
from ui.host.card import card_view
from ui.host.held import HELD
from ui.host.state import HostState
from ui.language import choose_language, speak_language, t, tell
from ui.session import run_that_is_owed, session
from ui.style import style
from ui.wire import ClientError

LOOK_S = 2.0
_LOCKED_OUT = ("host_key_wrong", "host_key_busy")


def host_page() -> None:
    """Draw the page."""
    visit = session()
    visit.owes_a_run = False
    style()
    speak_language()
    with st.container(key="head"):
        st.html(f'<h1>{t("host.title")}</h1><p class="m-tagline">{t("host.tagline")}</p>')
        choose_language()
    state = visit.part(HostState)
    if HELD.get(state.ticket) is None:
        _door(state)
        return
    with st.container(key="host_desk"):
        buttons(state)
        st.fragment(_look, run_every=LOOK_S)()
        st.button(
            t("host.lock"), key="host_lock", icon=":material/lock:", on_click=state.lock, type="tertiary"
        )


def _look() -> None:
    """Draw the card, over and over."""
    run_that_is_owed()
    state = session().part(HostState)
    key = HELD.get(state.ticket)
    if key is None:
        st.rerun()
    try:
        card = desk(key).card()
    except ClientError as error:
        if error.code in _LOCKED_OUT:  # the controller has another key now
            state.lock()
            state.problem = tell(error)
            st.rerun()
        st.error(t("host.away") if error.code in ("backend_gone", "timeout") else tell(error))
        return
    if card.paused != state.drawn_paused:
        state.drawn_paused = card.paused
        st.rerun()
    card_view(card, state)


def _door(state: HostState) -> None:
    """Ask for the key."""
    with st.container(key="host_door"):
        st.text_input(
            t("host.key"),
            key=_field(state),
            type="password",
            autocomplete="off",
            help=t("host.key_help"),
            on_change=_take_key,
        )
        st.button(t("host.enter"), key="host_enter", type="primary", on_click=_take_key)
        if state.problem:
            st.error(state.problem, icon=":material/error:")


def _take_key() -> None:
    """Take the key out of its field, try it, and hold it apart; the field starts empty again."""
    state = session().part(HostState)
    typed = str(st.session_state.pop(_field(state), "") or "").strip()
    if not typed:
        return
    state.fields += 1
    try:
        key = Secret(typed)
    except ValueError:
        state.problem = t("host.bad_key")
        return
    try:
        state.drawn_paused = desk(key).card().paused
    except ClientError as error:
        # The path is not there where the controller has no host's key.
        state.problem = t("host.no_host") if error.code == "not_found" else tell(error)
        return
    state.problem, state.ticket = "", HELD.put(key)


def _field(state: HostState) -> str:
    return f"host_key_{state.fields}"
