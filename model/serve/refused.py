"""Why a model is not started."""

from __future__ import annotations


class Refused(ValueError):
    """The model cannot be served as things are; the message says why, with figures, and what to do."""
