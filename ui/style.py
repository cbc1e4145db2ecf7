"""The style sheet, put on the page once a run."""

from __future__ import annotations

import streamlit as st

from ui.beside import beside


def style() -> None:
    """Apply ui/style.css to the page."""
    st.html(f"<style>{beside(__file__, 'style.css')}</style>")
