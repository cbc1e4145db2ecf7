"""How long a stage takes, and of how many tokens: measured here, by one clock, for every kind of model."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass

from ui.follow import Opened
from ui.wire import ClientError, Done, Event, Token, Usage


@dataclass
class Meter:
    """Seconds from the moment when the request was sent; None for what has not happened."""

    first_s: float | None = None  # the first word
    done_s: float | None = None
    usage: Usage | None = None  # tokens, where they were told


class Metered:
    """A stream whose times are taken. The end is told last, when the tokens are known as well."""

    def __init__(self, stream: Opened[Event], meter: Meter) -> None:
        self._stream = stream
        self._meter = meter

    def __iter__(self) -> Generator[Event, None, None]:
        """Yield the events as they come. Raises ClientError."""
        started = time.monotonic()
        done: Done | None = None
        try:
            with closing(iter(self._stream)) as events:
                for event in events:
                    now = time.monotonic() - started
                    if isinstance(event, Usage):
                        self._meter.usage = event
                        continue
                    if isinstance(event, Token) and self._meter.first_s is None:
                        self._meter.first_s = now
                    if isinstance(event, Done):
                        self._meter.done_s, done = now, event
                        continue
                    yield event
        except ClientError:
            if done is None:
                raise  # a whole answer stays whole, however its connection ends
        if done is not None:
            yield done

    def close(self) -> None:
        """End it, from any thread."""
        self._stream.close()
