"""The samples by group: a button beside each plays it, and the card itself chooses it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import streamlit as st
from streamlit import runtime

from ui import samples
from ui.beside import beside
from ui.clip import Clip
from ui.language import t
from ui.settings import settings
from ui.words import seconds

_STYLE = """
.sounds { display: flex; flex-direction: column; }
.sounds button {
  flex: none; width: 2.1rem; height: 2.1rem; padding: 0; border: 0; border-radius: 0.5rem; background: none;
  color: var(--m-accent); display: grid; place-items: center; cursor: pointer;
}
.sounds button:hover, .sounds button.playing { background: var(--m-soft); }
.sounds button:focus-visible { outline: 3px solid var(--m-accent); outline-offset: -2px; }
.sounds svg { width: 1.25rem; height: 1.25rem; fill: currentColor; }
@media (max-width: 40rem), (pointer: coarse) { .sounds button { width: 2.75rem; height: 2.75rem; } }
"""


def sample_cards(chosen: Clip | None, take: Callable[[samples.Sample], None]) -> None:
    """Show all samples; `take` is called with the one that is chosen."""
    collection = samples.load(settings().samples_dir)
    if not collection.samples:
        st.info(t("ways.no_samples"))
        return
    names = [t(f"ways.group_{group}") for group in samples.GROUPS]
    for tab, group in zip(st.tabs(names), samples.GROUPS, strict=True):
        found = collection.group(group)
        with tab, st.container(key=f"samples_{group}", horizontal=True, gap=None):
            _sounds(group, found)
            with st.container(key=f"cards_{group}", gap=None):
                for sample in found:
                    is_chosen = chosen is not None and chosen.sample_id == sample.id
                    st.button(
                        f"{sample.title} :small[{seconds(sample.seconds)}]",
                        key=f"sample_{sample.id}",
                        type="primary" if is_chosen else "secondary",
                        width="stretch",
                        on_click=take,
                        args=(sample,),
                    )
    st.caption(t("ways.synthetic"), help=collection.note or None)


def _sounds(group: str, found: Sequence[samples.Sample]) -> None:
    """Show the buttons that play; the browser asks for a sound when somebody wants to hear it."""
    sounds = [{"title": sample.title, "url": _url(sample)} for sample in found]
    # Registered at each run, since the registry belongs to the server and not to this module.
    script = beside(__file__, "sample_player.js")
    draw = st.components.v2.component(
        "sample_player", html='<div class="sounds"></div>', css=_STYLE, js=script
    )
    draw(
        key=f"sounds_{group}",
        data={"sounds": sounds, "play": t("ways.play"), "pause": t("ways.pause")},
        width="content",
    )


def _url(sample: samples.Sample) -> str:
    """Return where this server gives a sample's sound to browsers, as it does for `st.audio`."""
    if not runtime.exists():
        return ""
    manager = runtime.get_instance().media_file_mgr
    return manager.add(_sound(sample.path), "audio/mpeg", f"sample.{sample.id}")


@cache
def _sound(path: Path) -> bytes:
    return path.read_bytes()
