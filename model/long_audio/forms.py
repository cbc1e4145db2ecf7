"""The fields beside the recording in `/v1/audio/transcriptions` and `/translations`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from model.errors import BadRequest

Task = Literal["transcribe", "translate"]
FORMATS = ("json", "text", "verbose_json", "srt", "vtt")
TIMED = ("verbose_json", "srt", "vtt")


@dataclass(frozen=True)
class Form:
    """How the caller wants the transcript."""

    model: str | None
    format: str
    language: str | None  # a code such as "en"; None when the model is to find out
    stream: bool
    with_words: bool

    @property
    def is_timed(self) -> bool:
        """Whether times are told, in a reply or in the events of a stream."""
        return self.format in TIMED


def form(fields: Mapping[str, str]) -> Form:
    """Read the text fields of a form. Raises BadRequest."""
    wanted = fields.get("response_format") or "json"
    if wanted not in FORMATS:
        raise BadRequest(
            "invalid_value", f"response_format must be one of: {', '.join(FORMATS)}.", "response_format"
        )
    return Form(
        fields.get("model") or None,
        wanted,
        fields.get("language") or None,
        fields.get("stream", "").lower() in ("true", "1"),
        "word" in fields.get("timestamp_granularities[]", "").split(","),
    )
