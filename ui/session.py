"""What the page remembers of one visitor: one typed object in Streamlit's session state."""

from __future__ import annotations

import contextlib
import threading
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass, field
from typing import TypeVar

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from ui.client import Client
from ui.clip import Clip, Origin, store
from ui.visitor import new_name
from ui.wire import ClientError

KEPT_FILES = 3  # clips that the controller keeps for a visitor who tries one after another
SESSION_KEY = "visit"


class Part(ABC):
    """What one page remembers; made when it is first looked for."""

    @property
    def busy(self) -> bool:
        """Whether something is on its way that the visitor waits for or hears."""
        return False

    @abstractmethod
    def clear(self) -> None:
        """End what is on its way."""


AnyPart = TypeVar("AnyPart", bound=Part)


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

    visitor: str = field(default_factory=new_name)
    language: str = ""  # chosen on the page; empty: the browser's
    model: str = ""  # the id of the model chosen for all pages; empty: the default one
    epoch: int = -1  # the host's, in which this visit began; -1: not known yet
    emptied: int = 0
    pending: Pending | None = None
    clip: Clip | None = None
    clip_problem: str | ClientError = ""  # why what was handed in could not become the clip
    clip_problem_from: Origin = "upload"
    too_long: Pending | None = None  # what was handed in and is only too long to be asked about
    files: deque[str] = field(default_factory=deque)
    next_step: str = ""  # the part of the page to bring into view
    steps_taken: int = 0
    parts: dict[type[Part], Part] = field(default_factory=dict)
    owes_a_run: bool = False  # a click was taken in, and the whole page has not been drawn since

    def part(self, kind: type[AnyPart]) -> AnyPart:
        """Return what one page remembers, as an object of a class of its own."""
        if kind not in self.parts:
            self.parts[kind] = kind()
        found = self.parts[kind]
        assert isinstance(found, kind)
        return found

    @property
    def busy(self) -> bool:
        """Whether an answer is being made or spoken, on whichever page."""
        return any(part.busy for part in self.parts.values())

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
        self.clip_problem, self.too_long = "", None
        self.emptied += 1

    def refuse(self, problem: str, origin: Origin, too_long: Pending | None = None) -> None:
        """Say why what came in one way cannot be the clip; upload and recorder start empty again."""
        self.clip_problem, self.clip_problem_from, self.too_long = problem, origin, too_long
        self.emptied += 1

    def settle(self, client: Client) -> None:
        """Make what was handed in the clip; where it cannot be, keep the clip before and say why."""
        pending, self.pending = self.pending, None
        if pending is None:
            return
        try:
            clip = store(client, pending.data, pending.name, pending.origin, pending.title, pending.sample_id)
        except ClientError as error:
            self.clip_problem, self.clip_problem_from = error, pending.origin
            self.too_long = pending if error.code == "audio_too_long" else None
        else:
            self.choose(client, clip)

    def choose(self, client: Client, clip: Clip) -> None:
        """Make this the clip that is asked about."""
        self.go_to("step_2")
        self.clip = clip
        self.clip_problem, self.too_long = "", None
        self.files.append(clip.file_id)
        forget(client, [self.files.popleft() for _ in range(len(self.files) - KEPT_FILES)])

    def keep_track(self, clip: Clip) -> None:
        """Remember where the controller keeps a clip, which may have been handed over anew."""
        if clip.file_id not in self.files:
            self.files.append(clip.file_id)

    def start_over(self, client: Client) -> None:
        """Leave nothing of this visitor behind, here or at the controller, but for language and model."""
        for part in self.parts.values():
            part.clear()
        self.parts.clear()
        files = {*self.files} | ({self.clip.file_id} if self.clip else set())
        forget(client, sorted(files))
        self.clip = None
        self.clip_problem, self.too_long = "", None
        self.files.clear()
        self.pending = None
        self.visitor = new_name()
        self.emptied += 1
        self.go_to("head")


def session() -> Session:
    """Return the visit that this run of the page belongs to."""
    if SESSION_KEY not in st.session_state:
        st.session_state[SESSION_KEY] = Session()
    visit: Session = st.session_state[SESSION_KEY]
    if _is_callback():
        visit.owes_a_run = True
    return visit


def run_that_is_owed() -> None:
    """Draw the whole page if a click wants that; for fragments that draw themselves at intervals.

    A click that comes while the page is being drawn is put together with a fragment's next turn, where that
    comes too: Streamlit (1.60) then calls the click's callback and draws the fragment alone.
    """
    if session().owes_a_run:
        st.rerun()


def _is_callback() -> bool:
    """Say whether a widget's callback is running: what comes before the script itself."""
    context = get_script_run_ctx(suppress_warning=True)
    return context is not None and not getattr(context, "_has_script_started", True)


def forget(client: Client, file_ids: list[str]) -> None:
    """Have the controller delete clips while the visitor goes on; they expire there in any case."""

    def delete_all() -> None:
        for file_id in file_ids:
            with contextlib.suppress(ClientError):
                client.delete(file_id)

    if file_ids:
        threading.Thread(target=delete_all, name="forget", daemon=True).start()
