"""The place of an answer on any page: its words as they come, a line while one waits, and how it ended."""

from __future__ import annotations

import re

import streamlit as st

from ui.answer import Answer, Progress
from ui.language import t, tell
from ui.live import TICK_S
from ui.wire import ClientError
from ui.words import again_line, queue_line

PATIENCE_S = 1.0  # after which a waiting line counts seconds
_MARKDOWN = re.compile(r"([\\`*_\[\]<>#!|~$])")


class AnswerPlace:
    """Text is drawn as text: what a model writes is never markup."""

    def __init__(self, answer: Answer, key: str) -> None:
        """Make the place where it is called, the words in a container named `key`."""
        self._answer = answer
        with st.container(key=key, gap=None):
            self._text = st.empty()
        self._line = st.empty()
        self._drawn, self._said, self._waits = Progress(version=-1), "", ""
        self._draw(answer.progress)

    @property
    def ended(self) -> bool:
        """Whether all of it is drawn and nothing more will come."""
        return self._drawn.ended

    def follow(self, timeout_s: float) -> None:
        """Wait for more, and draw it."""
        self._draw(self._answer.wait(self._drawn.version, min(timeout_s, TICK_S)))

    def words(self, progress: Progress) -> str:
        """Return the words to be shown."""
        return progress.text.strip()

    def thinks(self, progress: Progress) -> bool:
        """Say whether the model has heard all that it is to hear."""
        return bool(progress.heard)

    def _draw(self, progress: Progress) -> None:
        """Draw what has changed since the last time."""
        if (said := self.words(progress)) != self._said:
            self._text.text(said)
            self._said = said
        waits = not (progress.ended or progress.phase == "answering")
        line = waiting_line(progress, self._answer.seconds, thinks=self.thinks(progress)) if waits else ""
        if line != self._waits:
            if line:
                self._line.caption(line)
            else:
                self._line.empty()
            self._waits = line
        self._drawn = progress


def waiting_line(progress: Progress, waited_s: float, *, thinks: bool) -> str:
    """Say what one waits for."""
    if progress.phase == "waiting" and progress.queued is not None:
        line = f"{queue_line(progress.queued)} {t('answer.waiting')}"
    elif thinks:
        line = t("answer.thinking")
    else:
        line = t("answer.starting" if progress.phase == "starting" else "answer.listening")
    return f"{line} {t('time.seconds', seconds=f'{waited_s:.0f}')}" if waited_s > PATIENCE_S else line


def ending(progress: Progress) -> None:
    """Say how an answer ended, where its words do not."""
    if progress.error is not None:
        say_problem(progress.error, kept=bool(progress.text))
    elif progress.looping:
        st.warning(t("answer.looping"), icon=":material/repeat:")
    elif progress.phase == "stopped":
        st.caption(t("answer.stopped" if progress.text else "answer.stopped_early"))
    elif not progress.text.strip():
        st.info(t("answer.nothing"))
    elif progress.cut:
        st.caption(t("answer.cut"))


def say_problem(error: ClientError, *, kept: bool = False) -> None:
    """Say what failed, when it may work again, that what had come is kept, and by what a host finds it."""
    rest = f" {t('answer.kept')}" if kept else ""
    st.error(f"{plain(tell(error))}{again_line(error.retry_after_s)}{rest}", icon=":material/error:")
    if error.request_id:
        st.caption(t("answer.for_the_host", id=error.request_id))


def plain(text: str) -> str:
    """Return a text such that a label or a message shows it as it is: an engine's words may be Markdown."""
    return _MARKDOWN.sub(r"\\\1", text)
