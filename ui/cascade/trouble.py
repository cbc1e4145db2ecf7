"""Failures of the text model, which have their sentences in the tables of words."""

from __future__ import annotations

from ui.language import FIRST, words
from ui.wire import ClientError


def failure(code: str, retryable: bool = False) -> ClientError:
    """Return a failure of the text model; its sentence is in the tables of words, at errors.<code>."""
    return ClientError(words(FIRST, f"errors.{code}"), code, retryable)
