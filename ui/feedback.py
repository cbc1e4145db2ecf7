"""Thumbs and a comment on an answer: kept on this machine when they are pressed, and never otherwise."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import streamlit as st

from ui import records
from ui.answer import Answer
from ui.language import language, t
from ui.records import NotKept, append
from ui.session import Part, Session, session
from ui.settings import settings

Rating = Literal["", "up", "down"]

MAX_COMMENT = 500  # characters
MAX_BYTES = 64 * 2**20  # of the file with everybody's words
MAX_PRESSES = 200  # in one visit
THUMBS: dict[Rating, str] = {"up": ":material/thumb_up:", "down": ":material/thumb_down:"}


@dataclass
class Opinion:
    """What a visitor thinks of one answer. `name` is random, the same for every press about it."""

    name: str = field(default_factory=lambda: secrets.token_hex(8))
    rating: Rating = ""
    has_comment: bool = False


@dataclass
class Feedback(Part):
    """What a visitor has said of answers in this visit."""

    opinions: dict[float, Opinion] = field(default_factory=dict)  # by when an answer was asked for
    presses: int = 0
    failed: bool = False

    def clear(self) -> None:
        """Forget what was said here; what was sent is the host's."""
        self.opinions.clear()


def after_answer(visit: Session, answer: Answer, model: str, question: str = "") -> None:
    """Ask what a visitor thinks of an answer, once it is there; `question` if it is not the answer's own."""
    text = answer.progress.text.strip()
    if not (settings().feedback_dir and text and answer.progress.ended):
        return
    mine = visit.part(Feedback)
    opinion = mine.opinions.setdefault(answer.asked_at, Opinion())
    words = {"question": question or answer.question, "answer": text}
    with st.container(key=f"opinion_{opinion.name}", gap="small"):
        _thumbs(opinion, model)
        if mine.failed:
            mine.failed = False
            st.error(t("feedback.not_kept"))
        if opinion.has_comment:
            st.caption(t("feedback.thanks"))
        elif opinion.rating:
            _comments(opinion, model, words)


def _thumbs(opinion: Opinion, model: str) -> None:
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        for rating, icon in THUMBS.items():
            st.button(
                t(f"feedback.{rating}"),
                key=f"feedback_{rating}_{opinion.name}",
                icon=icon,
                type="primary" if opinion.rating == rating else "tertiary",
                on_click=_rate,
                args=(opinion, model, rating),
            )


def _comments(opinion: Opinion, model: str, words: Mapping[str, str]) -> None:
    name = opinion.name
    with st.form(key=f"feedback_form_{name}", border=False):
        st.text_area(t("feedback.comment"), key=f"comment_{name}", max_chars=MAX_COMMENT, height=68)
        st.checkbox(t("feedback.include"), key=f"include_{name}")
        st.form_submit_button(t("feedback.send"), on_click=_comment, args=(opinion, model, words))
    st.caption(t("feedback.kept"))


def _rate(opinion: Opinion, model: str, rating: Rating) -> None:
    if opinion.rating != rating and _keep(opinion, model, {"rating": rating}):
        opinion.rating = rating


def _comment(opinion: Opinion, model: str, words: Mapping[str, str]) -> None:
    comment = str(st.session_state.get(f"comment_{opinion.name}", "")).strip()[:MAX_COMMENT]
    include = bool(st.session_state.get(f"include_{opinion.name}"))
    if not comment and not include:
        return
    said = {"rating": opinion.rating, "comment": comment, **(words if include else {})}
    opinion.has_comment = _keep(opinion, model, said)


def _keep(opinion: Opinion, model: str, said: Mapping[str, str]) -> bool:
    """Write down what was pressed; say whether that was possible."""
    mine = session().part(Feedback)
    mine.presses += 1
    about = {"id": opinion.name, "time": records.now(), "model": model, "language": language()}
    try:
        if mine.presses > MAX_PRESSES:
            raise NotKept("one visitor has pressed very often")
        append(Path(settings().feedback_dir).expanduser() / "feedback.jsonl", {**about, **said}, MAX_BYTES)
    except NotKept:
        mine.failed = True
        return False
    return True
