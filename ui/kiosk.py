"""Kiosk mode: a screen that strangers share, one after another. It starts over when one has left."""

from __future__ import annotations

import hashlib

import streamlit as st

from ui.beside import beside
from ui.connection import client
from ui.language import t
from ui.recorder import RECORDING_COLOUR
from ui.session import SESSION_KEY, Session, session
from ui.settings import settings

COUNTDOWN_S = 20.0  # of the idle time, the last part, which is counted down for all to see


def is_kiosk() -> bool:
    """Say whether strangers share this screen: fewer choices, none that cost or keep a secret."""
    return settings().kiosk


def kiosk() -> None:
    """Watch over the visit, where this is a kiosk; call it once a run, before anything slow."""
    if not is_kiosk():
        return
    visit, host = session(), settings()
    base = str(st.get_option("server.baseUrlPath") or "").strip("/")
    st.html(f"<style>{beside(__file__, 'kiosk.css')}</style>")
    st.components.v2.component("kiosk", js=beside(__file__, "kiosk.js"))(
        key="kiosk",
        data={
            "idle_s": host.idle_s,
            "countdown_s": min(COUNTDOWN_S, host.idle_s / 2),
            # Changes when the visit is another one. Hashed: the name itself opens a visitor's files.
            "visit": hashlib.sha256(visit.visitor.encode()).hexdigest()[:16],
            "busy": visit.busy,
            "recording": _rgb(RECORDING_COLOUR),
            "home": f"/{base}/" if base else "/",
            "epoch": visit.epoch,
            "words": {name: t(f"kiosk.{name}") for name in ("leaving", "here", "cut", "over", "fine")},
        },
        on_over_change=_over,
    )


def forget_everything() -> None:
    """Leave nothing of the visit on this server but an empty one, in the browser's own language."""
    session().start_over(client())
    for key in list(st.session_state):
        del st.session_state[key]
    st.session_state[SESSION_KEY] = Session()


def _over() -> None:
    """Start over unless something goes on after all, which the browser cannot see from every page."""
    if not session().busy:
        forget_everything()


def _rgb(colour: str) -> str:
    """Return "#d9482f" as browsers write it in a style."""
    return f"rgb({', '.join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))})"
