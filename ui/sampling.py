"""How an answer is drawn, for those who want to know: tucked away, in plain words."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from ui.language import t
from ui.playground_state import Playground, usual_sampling
from ui.session import session
from ui.settings import settings

SHORTEST = 16  # tokens


def sampling_controls(here: Playground) -> None:
    """Show the controls; what they say holds for the next question."""
    with st.expander(t("question.how"), icon=":material/tune:", key="sampling", type="compact"):
        chosen = here.sampling
        for name, value in (
            ("temperature", chosen.temperature),
            ("top_p", chosen.top_p),
            ("max_tokens", chosen.max_tokens),
        ):
            st.session_state[f"sampling_{name}"] = value
        st.slider(
            t("question.temperature"),
            0.0,
            2.0,
            step=0.1,
            key="sampling_temperature",
            help=t("question.temperature_help"),
            on_change=_take,
        )
        st.slider(
            t("question.top_p"),
            0.05,
            1.0,
            step=0.05,
            key="sampling_top_p",
            help=t("question.top_p_help"),
            disabled=chosen.temperature == 0,
            on_change=_take,
        )
        most = max(settings().max_tokens, SHORTEST + 1)
        st.slider(
            t("question.longest"),
            SHORTEST,
            most,
            key="sampling_max_tokens",
            help=t("question.longest_help"),
            on_change=_take,
        )
        if chosen != usual_sampling():
            st.button(t("question.as_usual"), key="sampling_reset", icon=":material/undo:", on_click=_reset)


def _take() -> None:
    here = session().part(Playground)
    here.sampling = replace(
        here.sampling,
        temperature=float(st.session_state["sampling_temperature"]),
        top_p=float(st.session_state["sampling_top_p"]),
        max_tokens=int(st.session_state["sampling_max_tokens"]),
    )


def _reset() -> None:
    session().part(Playground).sampling = usual_sampling()
