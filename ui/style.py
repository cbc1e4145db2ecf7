"""The style sheet, put on the page once a run."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import streamlit as st


def style() -> None:
    """Apply ui/style.css to the page."""
    st.html(f"<style>{_sheet()}</style>")


@cache
def _sheet() -> str:
    return Path(__file__).with_name("style.css").read_text(encoding="utf-8")
