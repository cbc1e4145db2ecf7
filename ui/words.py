"""Figures in plain words."""

from __future__ import annotations

from ui.wire import Timing

LISTENED_ONLY_MS = 300  # an answer done this soon after the listening was the listening itself
REMEMBERED_MS = 50  # nobody listens to a clip in less: the words were known from the question before


def seconds(value: float) -> str:
    """Return a duration as a person would say it: "0.8 s", "12 s", "2 min 5 s"."""
    if value < 9.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes == 0:
        return f"{rest} s"
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def timing_line(timing: Timing, clip_seconds: float) -> str:
    """Say how long each part of an answer took."""
    if timing.cache == "hit":
        return "The same question was asked before, so the answer was at hand."
    parts = []
    if timing.queue_ms is not None and timing.queue_ms >= 100:
        parts.append(f"waited {seconds(timing.queue_ms / 1000)} for its turn")
    if timing.asr_ms is not None and timing.asr_ms < REMEMBERED_MS:
        parts.append(f"remembered your {seconds(clip_seconds)} clip")
    elif timing.asr_ms is not None:
        parts.append(f"heard your {seconds(clip_seconds)} clip in {seconds(timing.asr_ms / 1000)}")
    if timing.ttft_ms is not None:
        parts.append(f"first word after {seconds(timing.ttft_ms / 1000)}")
    if timing.total_ms is not None and not _only_listened(timing):
        parts.append(f"done in {seconds(timing.total_ms / 1000)}")
    if not parts:
        return ""
    line = ", ".join(parts)
    shared = (
        " Someone else was asking the same, so the answer was shared." if timing.cache == "shared" else ""
    )
    return f"{line[0].upper()}{line[1:]}.{shared}"


def _only_listened(timing: Timing) -> bool:
    """Whether the answer was what was heard, so that its whole time has been told already."""
    if timing.asr_ms is None or timing.total_ms is None or timing.asr_ms < REMEMBERED_MS:
        return False
    return timing.total_ms - timing.asr_ms < LISTENED_ONLY_MS
