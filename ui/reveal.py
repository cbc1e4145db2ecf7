"""Brings the next step into view on a phone, where the steps stand below one another."""

from __future__ import annotations

import streamlit as st

_SCROLL = """
export default function({ data }) {
  const page = window
  if (!data.taken || page.meralionStep === data.taken) return
  page.meralionStep = data.taken
  if (page.innerWidth > 760) return
  const part = document.querySelector(`.st-key-${data.step}`)
  if (part) part.scrollIntoView({ block: "start" })
}
"""


def bring_into_view(step: str, taken: int) -> None:
    """Scroll to the container of that key once for each count of `taken`; call it before a slow part."""
    st.components.v2.component("bring_into_view", js=_SCROLL)(
        key="bring_into_view", data={"step": step, "taken": taken}
    )
