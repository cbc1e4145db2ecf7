"""What the first run of a fresh server needs.

Until `st.navigation` has run once, Streamlit takes the files in `pages/` for the pages, by their names. Who
comes first, and by a link to `/models` or `/voice`, would read "Page not found" above the page they wanted.
"""

from __future__ import annotations

import streamlit as st
from streamlit.navigation.page import StreamlitPage
from streamlit.runtime.pages_manager import PagesManager


def pages_by_file_name() -> bool:
    """Say whether Streamlit has just looked for the page by the files' names; ask before `st.navigation`."""
    return bool(PagesManager.uses_pages_directory)


def load_again_if(sought: bool, page: StreamlitPage, pages: list[StreamlitPage]) -> None:
    """Have the browser load the page anew where it was sought in vain; call it after `st.navigation`."""
    if sought and page is not pages[0] and st.context.url:
        st.html("<script>window.location.reload()</script>", unsafe_allow_javascript=True)
        st.stop()
