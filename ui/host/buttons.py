"""The host's two large buttons, each of which asks before it does anything."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from ui.connection import desk
from ui.host.desk import Card, Desk
from ui.host.held import HELD
from ui.host.state import HostState
from ui.language import t, tell
from ui.session import session
from ui.wire import ClientError


def buttons(state: HostState) -> None:
    """Show the buttons, or the question whether it is meant."""
    with st.container(key="host_buttons", gap="small"):
        if state.sure:
            _ask(state)
            return
        with st.container(key="host_actions", horizontal=True, gap="small"):
            if state.drawn_paused:
                st.button(
                    t("host.resume"),
                    key="host_resume",
                    icon=":material/play_arrow:",
                    type="primary",
                    on_click=_resume,
                    width="stretch",
                )
            else:
                _asking_button("pause", t("host.pause"), ":material/pause:")
            _asking_button("start_over", t("host.start_over"), ":material/restart_alt:")
        if state.problem:
            st.error(state.problem, icon=":material/error:")
        elif state.done:
            st.success(state.done, icon=":material/check_circle:")


def restart(name: str) -> None:
    """Start an engine again."""
    _do(lambda desk: desk.restart(name), t("host.restarting", name=name))


def _ask(state: HostState) -> None:
    st.warning(t(f"host.sure_{state.sure}"), icon=":material/help:")
    with st.container(key="host_sure", horizontal=True, gap="small"):
        do = _pause if state.sure == "pause" else _start_over
        words = t(f"host.yes_{state.sure}")
        st.button(words, key="host_yes", type="primary", on_click=do, width="stretch")
        st.button(t("host.no"), key="host_no", on_click=_leave, width="stretch")


def _asking_button(what: str, words: str, icon: str) -> None:
    st.button(words, key=f"host_{what}", icon=icon, on_click=_sure, args=(what,), width="stretch")


def _sure(what: str) -> None:
    state = session().part(HostState)
    state.sure = "pause" if what == "pause" else "start_over"
    state.problem = state.done = ""


def _leave() -> None:
    session().part(HostState).sure = ""


def _pause() -> None:
    _do(lambda desk: desk.pause(True), t("host.paused_done"))


def _resume() -> None:
    _do(lambda desk: desk.pause(False), t("host.resumed_done"))


def _start_over() -> None:
    _do(lambda desk: desk.start_over(), t("host.over_done"))


def _do(what: Callable[[Desk], Card], done: str) -> None:
    """Do it, and say what came of it."""
    state = session().part(HostState)
    state.sure = ""
    key = HELD.get(state.ticket)
    if key is None:
        return
    try:
        state.drawn_paused = what(desk(key)).paused
        state.problem, state.done = "", done
    except ClientError as error:
        state.problem, state.done = tell(error), ""
