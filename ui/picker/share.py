"""A button that copies the link to what the page shows; where that is not allowed, the link itself."""

from __future__ import annotations

import streamlit as st

from ui.language import t

_HTML = """
<button type="button"></button>
<input type="text" readonly hidden>
<span role="status"></span>
"""
_CSS = """
:host { font: 400 1rem/1.5 var(--st-font); color: var(--st-text-color); }
div { display: contents; }
button {
  font: inherit; color: inherit; cursor: pointer; min-height: 2.75rem; padding: 0.25rem 0.9rem;
  background: var(--st-background-color); border: 1px solid var(--st-border-color);
  border-radius: var(--st-button-radius);
}
button:hover { border-color: var(--st-primary-color); color: var(--st-primary-color); }
:is(button, input):focus-visible { outline: 3px solid var(--st-primary-color); outline-offset: 2px; }
input {
  box-sizing: border-box; width: 100%; margin-top: 0.5rem; padding: 0.5rem; font: inherit; color: inherit;
  background: var(--st-secondary-background-color); border: 1px solid var(--st-border-color);
  border-radius: 0.5rem;
}
span { display: block; min-height: 1.5rem; font-size: 0.88rem; }
"""
_JS = """
export default function ({ data, parentElement }) {
  const button = parentElement.querySelector("button")
  const box = parentElement.querySelector("input")
  const said = parentElement.querySelector("span")
  const link = `${window.location.origin}${window.location.pathname}${data.query ? "?" + data.query : ""}`
  button.textContent = data.copy
  box.setAttribute("aria-label", data.link)
  if (box.value !== link) {
    box.value = link
    box.hidden = true
    said.textContent = ""
  }
  button.onclick = async () => {
    try {
      await navigator.clipboard.writeText(link)
      box.hidden = true
      said.textContent = data.copied
    } catch { // no permission, or a page over plain http
      box.hidden = false
      box.focus()
      box.select()
      said.textContent = data.by_hand
    }
  }
}
"""


def copy_link(query: str) -> None:
    """Show the button; `query` is what follows the question mark. The address is the one the visitor sees."""
    # Registered at each run, since the registry belongs to the server and not to this module.
    component = st.components.v2.component("copy_link", html=_HTML, css=_CSS, js=_JS)
    words = {name: t(f"models.link_{name}") for name in ("copy", "copied", "by_hand", "link")}
    component(key="copy_link", data={"query": query, **words})
