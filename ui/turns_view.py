"""What was asked and answered before the question that is talked about now."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from ui.asking import edit
from ui.conversation import Turn
from ui.language import t

SHOWN = 2  # the latest of them; the others are behind one click


def earlier_turns(turns: Sequence[Turn], answering: bool) -> None:
    """Show turns in order, each with the way to ask it differently."""
    if not turns:
        return
    hidden = max(0, len(turns) - SHOWN)
    with st.container(key="turns", gap="small"):
        if hidden:
            with st.expander(t("answer.earlier", number=hidden), icon=":material/history:", key="older"):
                _turns(turns[:hidden], 0, answering)
        _turns(turns[hidden:], hidden, answering)


def _turns(turns: Sequence[Turn], first: int, answering: bool) -> None:
    for number, turn in enumerate(turns, first):
        progress = turn.answer.progress
        with st.container(key=f"turn_{number}", gap=None):
            with st.container(horizontal=True, gap="small", vertical_alignment="top"):
                with st.container(key=f"turn_asked_{number}"):
                    st.text(turn.question)
                st.button(
                    "",
                    key=f"edit_{number}",
                    icon=":material/edit:",
                    type="tertiary",
                    help=t("answer.edit_earlier"),
                    disabled=answering,
                    on_click=edit,
                    args=(number,),
                )
            if progress.text.strip():
                st.text(progress.text.strip())
            if progress.phase != "done" or not progress.text.strip():
                st.caption(t("answer.unfinished"))
