"""The microphone. Two recorders behind one function, so that either can be dropped in a minute.

`audio_recorder` stops by itself at a pause but is silent when it fails; `st.audio_input` is the steady one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, cast
from urllib.parse import urlsplit

import streamlit as st
from audio_recorder_streamlit import audio_recorder

from ui.language import t
from ui.session import Session

SAMPLE_RATE = 16_000
ENERGY_THRESHOLD = 0.01  # root mean square; a quiet room is well below, a voice near the device well above
IDLE_COLOUR, RECORDING_COLOUR = "#1b8f7b", "#d9482f"  # seen well by day and by night
Microphone = Literal["ready", "none", "denied", "insecure"]

_LOOK_FOR_MICROPHONE = """
export default function ({ setStateValue, parentElement }) {
  const say = (state) => {
    if (parentElement.said === state) return
    parentElement.said = state
    if (state !== "ready") setStateValue("microphone", state)
  }
  const look = async () => {
    if (!window.isSecureContext || !navigator.mediaDevices) return say("insecure")
    const devices = await navigator.mediaDevices.enumerateDevices()
    if (!devices.some((device) => device.kind === "audioinput")) return say("none")
    try {
      const permission = await navigator.permissions.query({ name: "microphone" })
      if (permission.state === "denied") return say("denied")
    } catch { /* a browser that does not tell: the recorder will ask */ }
    say("ready")
  }
  look()
}
"""


def microphone_problem() -> str:
    """Return the sentence for a microphone that cannot work here, or ""; call it once a run."""
    if is_insecure(st.context.url):
        return t("ways.microphone_insecure")
    # Registered at each run, since the registry belongs to the server and not to this module.
    probe = st.components.v2.component("microphone_probe", js=_LOOK_FOR_MICROPHONE)
    found = probe(key="microphone_probe")
    state = cast(Microphone, getattr(found, "microphone", None) or "ready")
    return "" if state == "ready" else t(f"ways.microphone_{state}")


def recorder(visit: Session, simple: bool, pause_s: float, on_clip: Callable[[bytes], None]) -> None:
    """Show a recorder; hand each new clip on once."""
    key = visit.widget_key("recording")
    if simple:

        def take() -> None:
            recording = st.session_state.get(key)
            if recording is not None:
                on_clip(recording.getvalue())

        st.audio_input(
            t("ways.record"), sample_rate=SAMPLE_RATE, key=key, on_change=take, label_visibility="collapsed"
        )
        return
    wav = audio_recorder(
        text="",
        icon_size="3x",
        energy_threshold=ENERGY_THRESHOLD,
        pause_threshold=pause_s,
        sample_rate=_recorder_rate(),
        neutral_color=IDLE_COLOUR,
        recording_color=RECORDING_COLOUR,
        key=f"auto_{key}",
    )
    st.html(f'<p class="m-note">{t("ways.tap_and_speak")}</p>')
    if wav:
        on_clip(wav)
        st.rerun()


def is_insecure(url: str | None) -> bool:
    """Say whether browsers refuse the microphone to a page at this address."""
    parts = urlsplit(url or "")
    local = parts.hostname in ("localhost", "127.0.0.1", "::1") or (parts.hostname or "").endswith(
        ".localhost"
    )
    return parts.scheme == "http" and not local


def _recorder_rate() -> int | None:
    """Return the rate to record at: Firefox cannot record at any but the device's own."""
    agent = st.context.headers.get("User-Agent", "")
    return None if "Firefox" in agent else SAMPLE_RATE
