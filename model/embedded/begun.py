"""An answer that was begun elsewhere: what of it each part of the cascade has said already.

Transcripts, quotes and refusals come out the same each time, so they are made again and what was said of them
is left out. The text model goes on from its own part.
"""

PART = "\n\n"  # between the parts of an answer to a request for several things


class ForeignBeginning(ValueError):
    """The text is not what this model begins its answer with."""


class Begun:
    """The beginning of an answer, used up from the front."""

    def __init__(self, text: str = "") -> None:
        """Blanks at the end do not count: templates trim them."""
        self.at_last_part = True
        self._text = text.rstrip()

    def beyond(self, piece: str) -> str:
        """What of a piece that is always the same has not been said. Raises ForeignBeginning."""
        said = self._text[: len(piece)]
        if not piece.startswith(said):
            raise ForeignBeginning
        self._text = self._text[len(said) :]
        return piece[len(said) :]

    def written(self) -> tuple[str, bool]:
        """What the text model has said of this part, and whether that is all of it."""
        text, between, rest = (self._text, "", "") if self.at_last_part else self._text.partition(PART)
        self._text = between + rest
        return text, bool(between)
