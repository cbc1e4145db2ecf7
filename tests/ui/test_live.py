"""Following what is on its way to its end, and no further."""

from __future__ import annotations

from streamlit.testing.v1 import AppTest


def page() -> None:
    """Buttons are drawn for something on its way, which has ended before its place is drawn."""
    import streamlit as st

    from ui.live import follow

    going = st.session_state.setdefault("going", [True, True])
    was_busy = going.pop(0) if going else False
    st.text("Stop" if was_busy else "Ask again")
    follow([], was_busy=was_busy)


def test_what_ends_while_the_page_is_drawn_leaves_no_button_behind() -> None:
    test = AppTest.from_function(page).run()
    assert not test.exception
    assert [text.value for text in test.text] == ["Ask again"]
