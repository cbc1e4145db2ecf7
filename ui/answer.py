"""One question and its answer: asked on a thread of its own, followed by the page's current run.

Streamlit runs the whole page again at every click. An answer that lived in such a run would die with it; this
one goes on, and the next run picks it up where it is. It ends by itself when nobody follows it for a while.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Literal

from ui.client import AnswerStream
from ui.wire import ClientError, Done, Event, Heard, Timing, Token

Phase = Literal["starting", "listening", "answering", "done", "stopped", "failed"]
ENDED: tuple[Phase, ...] = ("done", "stopped", "failed")

UNFORESEEN = "Something went wrong on this page. Press Ask again; the host will find the reason in the log."

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """What is known of an answer at one moment."""

    phase: Phase = "starting"
    heard: str = ""
    text: str = ""
    timing: Timing | None = None
    cut: bool = False  # the model ran into the token limit
    error: ClientError | None = None
    version: int = 0

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.phase in ENDED


class Answer:
    """An answer in the making. `opener` waits for the model where it must, then opens the stream."""

    def __init__(self, question: str, opener: Callable[[], AnswerStream], left_alone_s: float) -> None:
        self.question = question
        self.asked_at = time.monotonic()
        self._opener = opener
        self._left_alone_s = left_alone_s
        self._progress = Progress()
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._stream: AnswerStream | None = None
        self._followed_at = time.monotonic()
        threading.Thread(target=self._run, name="answer", daemon=True).start()
        threading.Thread(target=self._watch, name="answer-watch", daemon=True).start()

    @property
    def progress(self) -> Progress:
        """What has come so far."""
        return self._progress

    @property
    def seconds(self) -> float:
        """Seconds since the question was asked."""
        return time.monotonic() - self.asked_at

    def wait(self, version: int, timeout_s: float) -> Progress:
        """Return the progress once it is newer than `version`, or after `timeout_s` as it is."""
        with self._changed:
            self._followed_at = time.monotonic()
            self._changed.wait_for(lambda: self._progress.version > version, timeout_s)
            return self._progress

    def stop(self) -> None:
        """End the answer now and keep what came."""
        self._stopped.set()
        self._update(phase="stopped")
        if self._stream is not None:
            self._stream.close()

    def _run(self) -> None:
        try:
            self._stream = self._opener()
            if self._stopped.is_set():
                return
            self._update(phase="listening")
            with closing(iter(self._stream)) as events:
                for event in events:
                    self._take(event)
                    if self._stopped.is_set():
                        return
        except ClientError as error:
            self._update(phase="failed", error=error)
        except Exception:
            logger.exception("An answer failed in a way that nobody foresaw")
            self._update(phase="failed", error=ClientError(UNFORESEEN, "unforeseen", retryable=True))

    def _watch(self) -> None:
        """End an answer that no page follows, which frees the model's place: a closed tab says no goodbye."""
        while not self._progress.ended:
            with self._changed:
                self._changed.wait_for(lambda: self._progress.ended, self._left_alone_s / 2)
            if time.monotonic() - self._followed_at > self._left_alone_s:
                self.stop()

    def _take(self, event: Event) -> None:
        now = self._progress
        match event:
            case Heard(text):
                self._update(heard=now.heard + text)
            case Token(text):
                self._update(phase="answering", text=now.text + text)
            case Done(timing, reason):
                self._update(phase="done", timing=timing, cut=reason == "length")

    def _update(self, **changes: object) -> None:
        """Replace the progress unless the answer has ended: a late token or error changes nothing."""
        with self._changed:
            if not self._progress.ended:
                version = self._progress.version + 1
                self._progress = replace(self._progress, version=version, **changes)  # type: ignore[arg-type]
                self._changed.notify_all()
