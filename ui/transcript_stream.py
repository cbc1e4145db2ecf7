"""A transcript with times on its way, from `/v1/audio/transcriptions`, which takes two hours of sound."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from ui.stream import EventStream
from ui.wire import ClientError, Heard, ReadUntil, Segment, TranscriptEvent, Written, payloads

CUT_OFF = "The recording was not read to its end. What was written down until then is kept: try again."


class TranscriptStream(EventStream[TranscriptEvent]):
    """A transcript on its way. Iterate it once; `close` from any thread hangs up and frees the engine."""

    def __init__(
        self,
        address: tuple[str, str],
        headers: Mapping[str, str],
        fields: Mapping[str, str],
        recording: bytes,
        timeout_s: float,
        gone: str,
    ) -> None:
        """Send `recording`, any format that the controller decodes, with the form's other fields."""
        # As a file it is sent in pieces; httpx copies the rest of one long bytes at each send.
        files = {"file": ("recording", io.BytesIO(recording), "application/octet-stream")}
        content = {"data": {**fields, "stream": "true", "response_format": "verbose_json"}, "files": files}
        model = fields.get("model", "")
        super().__init__(address, headers, content, model, transcript_events, timeout_s, gone)


def transcript_events(lines: Iterator[str]) -> Iterator[TranscriptEvent]:
    """Read the server-sent events of a streamed transcript to its end, which `Written` is.

    Raises ClientError, also where the stream ends before the whole text.
    """
    is_whole = False
    try:
        for payload in payloads(lines):
            if payload is None:
                break
            for event in _events(payload):
                is_whole = is_whole or isinstance(event, Written)
                yield event
    except json.JSONDecodeError:  # an engine broke off within an event, and the controller's error follows it
        is_whole = False
    if not is_whole:
        raise ClientError(CUT_OFF, "cut_off", retryable=True)


def _events(payload: Mapping[str, Any]) -> Iterator[TranscriptEvent]:
    match payload.get("type"):
        case "transcript.text.delta":
            yield Heard(str(payload["delta"]))
        case "transcript.text.segment":
            yield Segment(_seconds(payload["start"]), _seconds(payload["end"]), str(payload["text"]))
        case "meralion.progress":
            yield ReadUntil(_seconds(payload["read_until"]), _seconds(payload["seconds"]))
        case "transcript.text.done":
            yield Written(str(payload["text"]))


def _seconds(value: Any) -> float:
    """Return a time. Raises ValueError or TypeError for what is none; JSON in Python may hold NaN."""
    seconds = float(value)
    if not 0 <= seconds < math.inf:
        raise ValueError("no time")
    return seconds
