"""The Model Picker: meet the models, choose one for all pages, or hear several answer the same question."""

from __future__ import annotations

from ui.connection import chat_models
from ui.frame import frame
from ui.live import follow
from ui.picker.cards import model_cards
from ui.picker.compare import comparison
from ui.picker.link import link_problems, open_link
from ui.picker.state import PickerState
from ui.session import session
from ui.wire import ClientError, ModelCard


def model_picker() -> None:
    """Draw the page."""
    visit = session()
    frame("models")
    open_link(visit)
    link_problems(visit)
    model_cards()
    was_busy = visit.part(PickerState).busy
    follow(comparison(visit, _chat()), was_busy=was_busy)


def _chat() -> list[ModelCard]:
    """Return the models that can be compared; none while nobody answers, which the page has said already."""
    try:
        return chat_models()
    except ClientError:
        return []
