"""Replies that are on their way while a page stands: followed together, until one of them has ended."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

import streamlit as st

TICK_S = 0.5  # how often a waiting line counts on
REDRAW_S = 0.05  # words that come faster than this are drawn together


class Live(Protocol):
    """A view of a reply on its way."""

    @property
    def ended(self) -> bool:
        """Whether all of it is drawn and nothing more will come."""
        ...

    def follow(self, timeout_s: float) -> None:
        """Wait for more, this long at most, and draw it."""
        ...


def follow(views: Sequence[Live], *, was_busy: bool) -> None:
    """Draw what comes until one of the views has ended, then draw the page anew, whose buttons change.

    `was_busy` tells whether anything was on its way when the page began to be drawn: what has ended since is
    in no view, and buttons may stand there that are for it. It comes last on a page. A click ends it with the
    page's run, and the next run follows on.
    """
    if not (views or was_busy):
        return
    # Streamlit ends a run that nobody sees any more where it draws, and nowhere else: this draws nothing.
    beat = st.empty()
    patience_s = TICK_S if len(views) == 1 else 0.0  # nobody's words wait for another's
    while views and not any(view.ended for view in views):
        for view in views:
            view.follow(patience_s)
        beat.empty()
        time.sleep(REDRAW_S)
    st.rerun()
