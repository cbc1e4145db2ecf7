"""Texts that end an answer: they are never shown, so what may be the beginning of one is held back."""

from __future__ import annotations

from collections.abc import Sequence


class Stops:
    """Looks for the texts in an answer as it comes."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = [text for text in texts if text]
        self._held = ""
        self.found = False

    def add(self, piece: str) -> str:
        """What of the answer can be shown now."""
        held = self._held + piece
        if places := [place for text in self._texts if (place := held.find(text)) >= 0]:
            self.found, self._held = True, ""
            return held[: min(places)]
        # The longest end of it that one of the texts begins with.
        open_ = max((self._begun(text, held) for text in self._texts), default=0)
        shown = held[: len(held) - open_]
        self._held = held[len(shown) :]
        return shown

    def rest(self) -> str:
        """What was held back, at the end of the answer."""
        rest, self._held = self._held, ""
        return rest

    @staticmethod
    def _begun(text: str, held: str) -> int:
        return next((size for size in range(len(text) - 1, 0, -1) if held.endswith(text[:size])), 0)
