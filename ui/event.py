"""What the host of an event has decided, as the pages hold to it: a pause is told, all start over at once.

A page that nobody touches runs no code of ours. So one thread a server looks at the controller, and at a
change has Streamlit draw every open page anew. (A fragment on every page that looks by itself would be in the
way of clicks: see `run_that_is_owed` in session.py.)
"""

from __future__ import annotations

import contextlib
import threading
import time

import streamlit as st
from streamlit.runtime import Runtime
from streamlit.runtime.app_session import AppSessionState

from ui.client import Client
from ui.connection import client
from ui.kiosk import forget_everything, is_kiosk
from ui.language import t
from ui.session import session
from ui.wire import ClientError, Decisions

LOOK_S = 1.5
MEMORY_S = 1  # for which one look serves all pages


def attend() -> None:
    """Start this visit over if the host has started all over, and tell of a pause; call it once a run."""
    _watch()
    said = _said()
    if said is None:
        return
    visit = session()
    if visit.epoch < 0:
        visit.epoch = said.epoch
    elif said.epoch > visit.epoch:
        if is_kiosk():
            forget_everything()
        else:
            visit.start_over(client())
        session().epoch = said.epoch
        st.rerun()
    if said.paused:
        st.warning(t("frame.paused"), icon=":material/pause_circle:")


def _said() -> Decisions | None:
    """Return what the host has decided, or nothing while the controller does not answer."""
    with contextlib.suppress(ClientError):
        return _decisions(client())
    return None


@st.cache_data(ttl=MEMORY_S, max_entries=1, show_spinner=False)
def _decisions(_client: Client) -> Decisions:
    return _client.decisions()


@st.cache_resource(show_spinner=False)
def _watch() -> threading.Thread | None:
    """Begin to look, once a server; nothing is looked for where there are no open pages, as in tests."""
    if not Runtime.exists():
        return None
    watching = threading.Thread(target=_look_for_ever, args=(client(), Runtime.instance()), daemon=True)
    watching.name = "event"
    watching.start()
    return watching


def _look_for_ever(client: Client, runtime: Runtime) -> None:
    before: Decisions | None = None
    behind: set[str] = set()  # sessions whose pages are to be drawn anew
    while True:
        with contextlib.suppress(ClientError):
            now = client.decisions()
            if before is not None and now != before:
                _decisions.clear()
                behind |= {info.session.id for info in runtime._session_mgr.list_active_sessions()}
            before = now
        if behind:
            runtime._get_async_objs().eventloop.call_soon_threadsafe(_draw, runtime, behind)
        time.sleep(LOOK_S)


def _draw(runtime: Runtime, behind: set[str]) -> None:
    """Have pages drawn anew, as Streamlit (1.60) does when a file of the code has changed.

    One that is being drawn has its turn later: a click that is being taken in would be lost, and one that
    follows an answer draws itself when that has ended.
    """
    for info in runtime._session_mgr.list_active_sessions():
        session = info.session
        if session.id in behind and session._state is AppSessionState.APP_NOT_RUNNING:
            behind.discard(session.id)
            session.request_rerun(session._client_state)
