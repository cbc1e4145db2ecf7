"""Both answers as what visitors take away: what was heard, and who made what of it."""

from __future__ import annotations

from ui.cascade.state import CascadeState, Run
from ui.export import Export, ExportClip, ExportTurn
from ui.language import language, t


def cascade(state: CascadeState, run: Run) -> Export:
    """Return the question with both answers; the words are as the visitor left them."""
    clip = run.clip
    both = (
        (f"{run.listener} → {run.thinker}", run.cascade.text, state.transcript),
        (run.listener, run.whole.text, run.whole.answer.progress.heard.strip()),
    )
    turns = tuple(
        ExportTurn(run.cascade.answer.question, answer, heard, model, clips=(0,))
        for model, answer, heard in both
    )
    return Export(
        title=t("cascade.title"),
        model=", ".join(model for model, _, _ in both),
        turns=turns,
        clips=(ExportClip(clip.title, clip.seconds, clip.wav),),
        language=language(),
    )
