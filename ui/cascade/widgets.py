"""Fields whose content outlives a change of page."""

from __future__ import annotations

import streamlit as st


def keep(key: str, value: str) -> str:
    """Let the field of that key show `value`; return it, to be the field's default as well, at each run.

    Set only where it differs: a value that is set replaces what somebody is typing at that moment. Without
    the default, a browser that is still loading the field when the next run comes would show it empty.
    """
    if st.session_state.get(key) != value:
        st.session_state[key] = value
    return value
