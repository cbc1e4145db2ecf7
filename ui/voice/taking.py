"""A talk as what visitors take away: what they said, in words and as it sounded, and the answers."""

from __future__ import annotations

from ui.export import Export, ExportClip, ExportTurn
from ui.language import language, t
from ui.voice.state import VoiceChat
from ui.voice.timing import timing_line
from ui.words import seconds


def talk(chat: VoiceChat, model: str) -> Export:
    """Return the turns that were answered; `model` is the title of the model that answers now."""
    clips: list[ExportClip] = []
    turns: list[ExportTurn] = []
    for number, turn in enumerate((one for one in chat.turns if one.text), start=1):
        length = t("voice.spoken", seconds=seconds(turn.said.seconds))
        places: tuple[int, ...] = ()
        if turn.said.wav:  # the sound of older turns is forgotten
            places = (len(clips),)
            clips.append(ExportClip(f"{t('voice.you')} {number}", turn.said.seconds, turn.said.wav))
        turns.append(
            ExportTurn(question=turn.heard or length, answer=turn.text, times=timing_line(turn), clips=places)
        )
    return Export(t("voice.title"), model, tuple(turns), tuple(clips), language())
