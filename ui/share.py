"""Taking a conversation away: three downloads, made when they are clicked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date

import streamlit as st

from ui.clip import Clip
from ui.conversation import Turn
from ui.export import Export, ExportClip, ExportTurn, Words, as_html, as_json, as_markdown, file_name
from ui.language import language, t
from ui.words import timing_line


def share(export: Export, key: str = "share") -> None:
    """Offer the conversation as a file behind a button; nothing is offered while there is nothing to take."""
    if not any(turn.answer.strip() or turn.heard.strip() for turn in export.turns):
        return
    words = _words(export)
    with st.container(key=key, width="content"), st.popover(t("share.title"), icon=":material/download:"):
        with_sound = False
        if export.clips:
            with_sound = st.checkbox(t("share.sound"), key=f"{key}_sound", help=t("share.sound_note"))
        _button("html", lambda: as_html(export, words, with_sound=with_sound), "text/html", key)
        _button("markdown", lambda: as_markdown(export, words), "text/markdown", key)
        _button("json", lambda: as_json(export, with_sound=with_sound), "application/json", key)


def conversation(title: str, turns: Sequence[Turn], clips: Sequence[Clip] = ()) -> Export:
    """Return turns as what `share` takes."""
    places = {clip.file_id: place for place, clip in enumerate(clips)}
    return Export(
        title=title,
        model=turns[-1].model if turns else "",
        language=language(),
        clips=tuple(ExportClip(clip.title, clip.seconds, clip.wav) for clip in clips),
        turns=tuple(_turn(turn, places, sum(clip.seconds for clip in clips)) for turn in turns),
    )


def _turn(turn: Turn, places: dict[str, int], seconds: float) -> ExportTurn:
    progress = turn.answer.progress
    return ExportTurn(
        question=turn.question,
        answer=progress.text.strip(),
        heard=progress.heard.strip(),
        model=turn.model,
        times=timing_line(progress.timing, seconds) if progress.timing else "",
        clips=tuple(places[file_id] for file_id in turn.files if file_id in places),
    )


def _words(export: Export) -> Words:
    return Words(
        question=t("share.question"),
        heard=t("share.heard"),
        answer=t("share.answer"),
        nothing=t("share.nothing"),
        model=t("share.model", model=export.model),
        made=t("share.made", date=date.today().isoformat()),
    )


def _button(kind: str, make: Callable[[], str], mime: str, key: str) -> None:
    """Show a download that is made at the click, and that disturbs no answer on its way."""
    st.download_button(
        t(f"share.{kind}"),
        make,
        file_name=file_name({"markdown": "md"}.get(kind, kind)),
        mime=mime,
        key=f"{key}_{kind}",
        on_click="ignore",
        width="stretch",
    )
