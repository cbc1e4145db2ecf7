"""The answers of a comparison side by side, as they come; then where they agree, and what is wrong."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import streamlit as st

from ui.answer import Progress
from ui.answer_place import AnswerPlace, ending, plain
from ui.feedback import after_answer
from ui.language import t
from ui.picker.agreement import Piece, WordErrors
from ui.picker.state import NOT_UP, Column, Comparison, PickerState
from ui.reveal import bring_into_view
from ui.session import Session
from ui.words import seconds, timing_line


def results(visit: Session, state: PickerState, names: Mapping[str, str]) -> list[AnswerPlace]:
    """Show the answers; return those that are on their way, to be followed."""
    shown = state.comparison
    if shown is None:
        _reveal(visit)
        st.html(f'<div class="m-empty">{t("models.nothing_yet")}</div>')
        return []
    with st.container(key="compared", gap=None):
        st.text(shown.prompt)
        about = t("models.about_clip", title=shown.clip_title, seconds=seconds(shown.clip_seconds))
        st.html(f'<p class="m-note">{html.escape(about)}</p>')
    _reveal(visit)
    by_words = shown.ended and _by_words(shown)
    pieces: Sequence[Sequence[Piece]] = shown.pieces() if by_words else [()] * len(shown.columns)
    errors = shown.errors() if by_words else [None] * len(shown.columns)
    if by_words:
        _agreed(shown)
    views: list[AnswerPlace] = []
    with st.container(key="answers"):
        for number, column in enumerate(shown.columns, start=1):
            with st.container(key=f"answer_{number}", gap=None):
                title = names.get(column.contender.id, column.contender.model)
                st.html(f"<h3>{html.escape(title)}</h3>")
                view = _View(number, column, pieces[number - 1])
                if view.ended:
                    _ending(column.answer.progress, shown.clip_seconds, errors[number - 1])
                    after_answer(visit, column.answer, column.contender.id)
                views.append(view)
    if by_words and shown.truth:
        with st.expander(t("models.truth"), icon=":material/fact_check:"):
            st.text(shown.truth)
    return [view for view in views if not view.ended]


def _reveal(visit: Session) -> None:
    """Bring into view what is next. What the Playground calls step 2 is here the clip and the question."""
    bring_into_view("compare_parts" if visit.next_step == "step_2" else visit.next_step, visit.steps_taken)


def _by_words(shown: Comparison) -> bool:
    """Let the visitor hold answers against one another word by word; transcripts are at first."""
    st.session_state["compare_words"] = shown.by_words
    return st.checkbox(t("models.by_words"), key="compare_words", on_change=_set_by_words, args=(shown,))


def _set_by_words(shown: Comparison) -> None:
    shown.by_words = bool(st.session_state["compare_words"])


def _agreed(shown: Comparison) -> None:
    """Say how far all agree, and what the marks mean."""
    laid = shown.agreement()
    if laid is None:
        few = sum(bool(text) for text in shown.texts) < 2
        said = f"<p>{t('models.nobody_to_compare' if few else 'models.too_long')}</p>"
    elif laid.agreed == laid.places:
        said = f"<p><b>{t('models.agree_all', places=laid.places)}</b></p>"
    else:
        agree = t("models.agree", agreed=laid.agreed, places=laid.places)
        differs, gap = _mark(Piece("differs", t("models.mark_differs"))), _mark(Piece("gap"))
        said = f"<p><b>{agree}</b> {differs} {gap} {t('models.mark_gap')}</p>"
    with st.container(key="agreed"):
        st.html(said)


def _mark(piece: Piece) -> str:
    """Return a piece as markup: what differs stands out by line and colour, and by a word to the ear."""
    if piece.kind == "same":
        return html.escape(piece.text)
    if piece.kind == "gap":
        return f'<mark class="m-gap"><span class="m-aloud">{t("models.aloud_gap")}</span></mark>'
    aloud = f'<span class="m-aloud">{t("models.aloud_differs")}: </span>'
    return f"<mark>{aloud}{html.escape(piece.text)}</mark>"


class _View(AnswerPlace):
    """The words of one answer, or at the end its pieces beside those of the others."""

    def __init__(self, number: int, column: Column, pieces: Sequence[Piece]) -> None:
        self._is_laid = bool(pieces)
        super().__init__(column.answer, f"words_{number}")
        if pieces:
            self._text.html(f'<p class="m-laid">{"".join(map(_mark, pieces))}</p>')

    def words(self, progress: Progress) -> str:
        """Return the words to be shown: what was heard, until the answer begins."""
        return "" if self._is_laid else (progress.text or progress.heard).strip()


def _ending(progress: Progress, clip_seconds: float, errors: WordErrors | None) -> None:
    """Say how an answer ended: how long it took and what is wrong in it, or what to do where it failed."""
    if progress.error is not None and progress.error.code == NOT_UP:
        st.error(plain(f"{t('models.away')} {progress.error.message}".strip()), icon=":material/error:")
    else:
        ending(progress)
    if errors is not None:
        st.html(f'<p class="m-errors">{_errors_line(errors)}</p>')
    if progress.timing is not None and (line := timing_line(progress.timing, clip_seconds)):
        st.caption(line)


def _errors_line(errors: WordErrors) -> str:
    rate = f"{errors.rate * 100:.0f}"
    if not errors.total:
        return f"<b>{t('models.errors_none', words=errors.words)}</b>"
    parts = t("models.errors_parts", wrong=errors.wrong, missing=errors.missing, added=errors.added)
    return f"<b>{t('models.errors', total=errors.total, words=errors.words, rate=rate)}</b> {parts}"
