"""What a model is asked for: got on a thread of its own, followed by the page's current run.

Streamlit runs the whole page again at every click. A reply that lived in such a run would die with it; this
one goes on, and the next run picks it up where it is. It ends by itself when nobody follows it for a while.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from ui import logs, tracing
from ui.wire import ClientError

ENDED = ("done", "stopped", "failed")


@dataclass(frozen=True)
class Snapshot:
    """What is known of a reply at one moment; `version` grows with each change."""

    phase: str = ""
    error: ClientError | None = None
    version: int = 0

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.phase in ENDED


P = TypeVar("P", bound=Snapshot)
E = TypeVar("E")
E_co = TypeVar("E_co", covariant=True)


class Opened(Protocol[E_co]):
    """A reply on its way. Read once; `close` from any thread ends it."""

    def __iter__(self) -> Generator[E_co, None, None]: ...

    def close(self) -> None:
        """End it."""
        ...


class Followed(ABC, Generic[P, E]):
    """A reply in the making. A subclass says what each event changes."""

    unforeseen: str  # the sentence for an error that nobody foresaw

    def __init__(self, first: P, opener: Callable[[], Opened[E]], left_alone_s: float) -> None:
        """Run `opener`, which may wait, and read the stream; `first` is what is known before.

        After `left_alone_s` in which nobody called `wait` it is stopped.
        """
        self.asked_at = time.monotonic()
        self.request_id = logs.new_request_id()
        self._left_alone_s = left_alone_s
        self._progress = first
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self._stream: Opened[E] | None = None
        self._followed_at = time.monotonic()
        name = type(self).__name__.lower()
        # The opener, which may hold a long recording, is the thread's alone and goes with it.
        threading.Thread(target=self._run, args=(opener,), name=name, daemon=True).start()
        threading.Thread(target=self._watch, name=f"{name}-watch", daemon=True).start()

    @property
    def progress(self) -> P:
        """What has come so far."""
        return self._progress

    @property
    def seconds(self) -> float:
        """Seconds since it was asked for."""
        return time.monotonic() - self.asked_at

    def wait(self, version: int, timeout_s: float) -> P:
        """Return the progress once it is newer than `version`, or after `timeout_s` as it is."""
        with self._changed:
            self._followed_at = time.monotonic()
            self._changed.wait_for(lambda: self._progress.version > version, timeout_s)
            return self._progress

    def stop(self) -> None:
        """End it now and keep what came."""
        self._stopped.set()
        self._update(phase="stopped")
        stream = self._stream
        if stream is not None:
            stream.close()

    @abstractmethod
    def _take(self, event: E) -> None:
        """Change the progress as an event says."""

    def _opened(self) -> None:
        """Change the progress when the stream is about to be read."""

    def _run(self, opener: Callable[[], Opened[E]]) -> None:
        """Be one question to all logs and traces, from the click to its last word."""
        logs.request_id.set(self.request_id)
        with tracing.span("question", request_id=self.request_id) as span:
            self._read(opener)
            error = self._progress.error
            span.set(code=error.code if error else "")
        logs.event(
            f"question {self._progress.phase}",
            request_id=self.request_id,
            code=error.code if error else "",
            ms=round(1_000 * self.seconds, 1),
        )

    def _read(self, opener: Callable[[], Opened[E]]) -> None:
        try:
            self._stream = opener()
            if self._stopped.is_set():
                return
            self._opened()
            with closing(iter(self._stream)) as events:
                for event in events:
                    self._take(event)
                    if self._stopped.is_set():
                        return
        except ClientError as error:
            self._fail(error)
        except Exception as error:
            logs.failed(error)
            self._fail(ClientError(self.unforeseen, "unforeseen", retryable=True))
        finally:
            self._stream = None

    def _fail(self, error: ClientError) -> None:
        error.request_id = error.request_id or self.request_id
        self._update(phase="failed", error=error)

    def _watch(self) -> None:
        """End what no page follows, which frees the model's place: a closed tab says no goodbye."""
        while not self._progress.ended:
            with self._changed:
                self._changed.wait_for(lambda: self._progress.ended, self._left_alone_s / 2)
            if time.monotonic() - self._followed_at > self._left_alone_s:
                self.stop()

    def _update(self, **changes: object) -> None:
        """Replace the progress unless it has ended: a late word or error changes nothing."""
        with self._changed:
            if not self._progress.ended:
                version = self._progress.version + 1
                self._progress = replace(self._progress, version=version, **changes)  # type: ignore[arg-type]
                self._changed.notify_all()
