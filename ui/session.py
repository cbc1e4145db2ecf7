"""What the page remembers of one visitor: one typed object in Streamlit's session state."""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections import deque
from dataclasses import dataclass, field

import streamlit as st

from ui.answer import Answer
from ui.client import Client
from ui.clip import Clip, Origin, store
from ui.tasks import FIRST
from ui.wire import ClientError

KEPT_FILES = 3  # clips that the controller keeps for a visitor who tries one after another
SESSION_KEY = "visit"


@dataclass(frozen=True)
class Pending:
    """Bytes that a visitor handed in, on their way to becoming the clip."""

    data: bytes
    name: str
    origin: Origin
    title: str
    sample_id: str = ""


@dataclass
class Session:
    """One visit. `emptied` counts how often upload and recorder were cleared; it goes into their keys."""

    visitor: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    emptied: int = 0
    pending: Pending | None = None
    clip: Clip | None = None
    clip_problem: str = ""
    clip_problem_from: Origin = "upload"
    task: str = FIRST.name
    ask_problem: str = ""
    answer: Answer | None = None
    files: deque[str] = field(default_factory=deque)
    next_step: str = ""  # the part of the page to bring into view on a phone
    steps_taken: int = 0

    @property
    def answering(self) -> bool:
        """Whether an answer is on its way."""
        return self.answer is not None and not self.answer.progress.ended

    def widget_key(self, name: str) -> str:
        """Return a key that changes each time the widgets are emptied, since they cannot be set to empty."""
        return f"{name}_{self.emptied}"

    def go_to(self, step: str) -> None:
        """Bring a part of the page into view, where the page is too small to show all."""
        self.next_step = step
        self.steps_taken += 1

    def take(self, pending: Pending) -> None:
        """Accept bytes; upload and recorder start empty again."""
        self.pending = pending
        self.clip_problem = self.ask_problem = ""
        self.emptied += 1

    def refuse(self, problem: str, origin: Origin) -> None:
        """Say why what came in one way cannot be the clip; upload and recorder start empty again."""
        self.clip_problem, self.clip_problem_from = problem, origin
        self.emptied += 1

    def settle(self, client: Client) -> None:
        """Make what was handed in the clip; where it cannot be, keep the clip before and say why."""
        pending, self.pending = self.pending, None
        if pending is None:
            return
        try:
            clip = store(client, pending.data, pending.name, pending.origin, pending.title, pending.sample_id)
        except ClientError as error:
            self.clip_problem, self.clip_problem_from = error.message, pending.origin
        else:
            self.choose(client, clip)

    def choose(self, client: Client, clip: Clip) -> None:
        """Make this the clip that is asked about; an answer about the one before ends."""
        self.drop_answer()
        self.go_to("step_2")
        self.clip = clip
        self.clip_problem = self.ask_problem = ""
        self.files.append(clip.file_id)
        forget(client, [self.files.popleft() for _ in range(len(self.files) - KEPT_FILES)])

    def drop_answer(self) -> None:
        """End the answer that is on its way, if any, and clear it from the page."""
        if self.answer is not None:
            self.answer.stop()
            self.answer = None

    def start_over(self, client: Client) -> None:
        """Leave nothing of this visitor behind, here or at the controller."""
        self.drop_answer()
        files = {*self.files} | ({self.clip.file_id} if self.clip else set())
        forget(client, sorted(files))
        self.clip = None
        self.clip_problem = self.ask_problem = ""
        self.task = FIRST.name
        self.files.clear()
        self.pending = None
        self.visitor = secrets.token_urlsafe(24)
        self.emptied += 1


def session() -> Session:
    """Return the visit that this run of the page belongs to."""
    if SESSION_KEY not in st.session_state:
        st.session_state[SESSION_KEY] = Session()
    visit: Session = st.session_state[SESSION_KEY]
    return visit


def forget(client: Client, file_ids: list[str]) -> None:
    """Have the controller delete clips while the visitor goes on; they expire there in any case."""

    def delete_all() -> None:
        for file_id in file_ids:
            with contextlib.suppress(ClientError):
                client.delete(file_id)

    if file_ids:
        threading.Thread(target=delete_all, name="forget", daemon=True).start()
