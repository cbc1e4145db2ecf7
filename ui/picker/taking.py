"""A comparison as what visitors take away: the question with each model's answer."""

from __future__ import annotations

from collections.abc import Mapping

from ui.clip import Clip
from ui.export import Export, ExportClip, ExportTurn
from ui.language import language, t
from ui.picker.state import Column, Comparison
from ui.words import timing_line


def compared(shown: Comparison, names: Mapping[str, str], clip: Clip | None) -> Export:
    """Return the answers; `clip` goes with them where it is still the one that was asked about."""
    is_same = clip is not None and (clip.title, clip.seconds) == (shown.clip_title, shown.clip_seconds)
    clips = (ExportClip(clip.title, clip.seconds, clip.wav),) if clip is not None and is_same else ()
    turns = tuple(_turn(column, shown, names, len(clips)) for column in shown.columns)
    models = ", ".join(turn.model for turn in turns)
    return Export(t("models.title"), models, turns, clips, language())


def _turn(column: Column, shown: Comparison, names: Mapping[str, str], clips: int) -> ExportTurn:
    progress = column.answer.progress
    return ExportTurn(
        question=shown.prompt,
        answer=progress.text.strip(),
        heard=progress.heard.strip(),
        model=names.get(column.contender.id, column.contender.model),
        times=timing_line(progress.timing, shown.clip_seconds) if progress.timing else "",
        clips=tuple(range(clips)),
    )
