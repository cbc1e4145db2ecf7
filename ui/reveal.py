"""Brings the next step into view where a page is longer than the screen, as all are on a phone."""

from __future__ import annotations

import streamlit as st

_SCROLL = """
export default function({ data }) {
  const page = window
  if (!data.taken || page.meralionStep === data.taken) return
  page.meralionStep = data.taken
  const wide = page.innerWidth > 760
  // The steps stand side by side on a desk; this alone comes below them, or above where one has got to.
  const far = { asked: "nearest", compare_parts: "nearest" }
  for (const step of ["compared", "head", "step_answers"]) far[step] = "start"
  const part = document.querySelector(`.st-key-${data.step}`)
  if (!part) return
  const gone = part.getBoundingClientRect().top < 0 // scrolled out at the top
  const block = wide && !gone ? far[data.step] : "start"
  if (block) part.scrollIntoView({ block })
}
"""


def bring_into_view(step: str, taken: int) -> None:
    """Scroll to the container of that key, drawn before, once for each count of `taken`."""
    st.components.v2.component("bring_into_view", js=_SCROLL)(
        key="bring_into_view", data={"step": step, "taken": taken}
    )
