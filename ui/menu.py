"""The way to the other pages on a phone, where Streamlit hides its own menu behind a sign."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from streamlit.navigation.page import StreamlitPage


def phone_menu(pages: Sequence[StreamlitPage]) -> None:
    """Show a link to each page in a row; the style sheet shows it where there is no room for the menu."""
    with st.container(key="phone_menu", horizontal=True, gap=None):
        for page in pages:
            st.page_link(page, width="stretch")
