"""Figures in plain words, in the visitor's language."""

from __future__ import annotations

from ui.language import t
from ui.wire import Queued, Timing

LISTENED_ONLY_MS = 300  # an answer done this soon after the listening was the listening itself
REMEMBERED_MS = 50  # nobody listens to a clip in less: the words were known from the question before
WORTH_TELLING_MS = 100  # of a wait in the queue
SOON_S = 10


def seconds(value: float) -> str:
    """Return a duration as a person would say it: "0.8 s", "12 s", "2 min 5 s"."""
    if value < 9.95:
        return t("time.seconds", seconds=f"{value:.1f}")
    minutes, rest = divmod(round(value), 60)
    if minutes == 0:
        return t("time.seconds", seconds=rest)
    if rest == 0:
        return t("time.minutes", minutes=minutes)
    return t("time.minutes_seconds", minutes=minutes, seconds=rest)


def queue_line(queued: Queued) -> str:
    """Say where in the queue a question is."""
    return t("time.next") if queued.position == 1 else t("time.place", place=queued.position)


def again_line(after_s: int) -> str:
    """Say when something may work again, as a sentence that follows another; nothing where nobody knows."""
    if not after_s:
        return ""
    return " " + (t("time.again_soon") if after_s < SOON_S else t("time.again_in", after=seconds(after_s)))


def timing_line(timing: Timing, clip_seconds: float) -> str:
    """Say how long each part of an answer took."""
    if timing.cache == "hit":
        return t("time.kept")
    clip = seconds(clip_seconds)
    parts = []
    if timing.queue_ms is not None and timing.queue_ms >= WORTH_TELLING_MS:
        parts.append(t("time.waited", time=seconds(timing.queue_ms / 1000)))
    if timing.asr_ms is not None and timing.asr_ms < REMEMBERED_MS:
        parts.append(t("time.remembered", clip=clip))
    elif timing.asr_ms is not None:
        parts.append(t("time.heard", clip=clip, time=seconds(timing.asr_ms / 1000)))
    if timing.ttft_ms is not None:
        parts.append(t("time.first_word", time=seconds(timing.ttft_ms / 1000)))
    if timing.total_ms is not None and not _only_listened(timing):
        parts.append(t("time.done", time=seconds(timing.total_ms / 1000)))
    if not parts:
        return ""
    line = t("time.comma").join(parts)
    shared = f" {t('time.shared')}" if timing.cache == "shared" else ""
    return f"{line[0].upper()}{line[1:]}{t('time.stop')}{shared}"


def details(timing: Timing, model_id: str) -> list[str]:
    """Return what a researcher asks next: the model, its speed, and which instance answered."""
    lines = [t("time.model", model=model_id)]
    if timing.tokens_per_s:
        lines.append(t("time.speed", speed=f"{timing.tokens_per_s:.1f}"))
    if timing.ttft_ms is not None:
        lines.append(t("time.ttft", time=f"{timing.ttft_ms:.0f}"))
    if timing.queue_ms is not None:
        lines.append(t("time.queue", time=f"{timing.queue_ms:.0f}"))
    if timing.instance:
        lines.append(t("time.instance", instance=timing.instance))
    if timing.cache:
        lines.append(t("time.cache", cache=timing.cache))
    return lines


def _only_listened(timing: Timing) -> bool:
    """Whether the answer was what was heard, so that its whole time has been told already."""
    if timing.asr_ms is None or timing.total_ms is None or timing.asr_ms < REMEMBERED_MS:
        return False
    return timing.total_ms - timing.asr_ms < LISTENED_ONLY_MS
