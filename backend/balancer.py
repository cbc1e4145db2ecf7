"""Which instance answers: the least busy of those that are up."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from typing import Any, Literal

from backend.errors import Unavailable

State = Literal["up", "starting", "down"]


class Instance:
    """One running engine: its address, whether it is up, and how many answers it is giving."""

    def __init__(
        self, name: str, url: str | None = None, key: str | None = None, *, supervised: bool = False
    ) -> None:
        self.name = name
        self.url = url
        self.supervised = supervised  # started again when it dies, so worth waiting for
        self.headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.state: State = "starting"
        self.detail = ""
        self.cards: Mapping[str, Mapping[str, Any]] = {}  # what its own /v1/models says, by model
        self.busy = 0
        self.chosen_at = 0  # on the pool's count, so that idle instances take turns
        self._changed = asyncio.Event()

    def set(self, state: State, detail: str = "") -> None:
        """Note a change and wake whoever waits for one."""
        self.state, self.detail = state, detail
        self._changed.set()
        self._changed = asyncio.Event()

    def suspect(self) -> None:
        """Send nothing more here until the instance has shown that it is up."""
        if self.state == "up":
            self.set("starting", "It broke off an answer and is being checked.")

    def changed(self) -> Coroutine[Any, Any, bool]:
        """Wait for the next change from this call on, however late the wait itself begins."""
        return self._changed.wait()

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """Hold one place for as long as an answer takes."""
        self.busy += 1
        try:
            yield
        finally:
            self.busy -= 1


class Pool:
    """The instances that serve one model."""

    def __init__(self, title: str, instances: Sequence[Instance], start_wait_s: float) -> None:
        self.instances = instances
        self._title = title
        self._start_wait_s = start_wait_s
        self._count = 0

    @property
    def state(self) -> State:
        """The best state of any instance."""
        states = {instance.state for instance in self.instances}
        return "up" if "up" in states else "starting" if "starting" in states else "down"

    @property
    def detail(self) -> str:
        """Why the model is not up, empty when it is."""
        return "" if self.state == "up" else next((one.detail for one in self.instances if one.detail), "")

    def has_other(self, instance: Instance) -> bool:
        """Say whether another instance is up."""
        return any(one.state == "up" for one in self.instances if one is not instance)

    async def choose(self, avoid: Instance | None = None) -> Instance:
        """Return the least busy instance that is up, waiting for one that is starting. Raises Unavailable.

        `avoid` failed a moment ago: it is taken again only when no other is up.
        """
        deadline = asyncio.get_running_loop().time() + self._start_wait_s
        while True:
            up = [one for one in self.instances if one.state == "up"]
            if up:
                best = min(
                    [one for one in up if one is not avoid] or up, key=lambda one: (one.busy, one.chosen_at)
                )
                best.chosen_at = self._count = self._count + 1
                return best
            if self.state == "down":
                raise Unavailable(
                    "model_unavailable", f"{self._title} cannot answer now. {self.detail}".strip()
                )
            try:
                async with asyncio.timeout_at(deadline):
                    await self._any_change()
            except TimeoutError:
                raise Unavailable(
                    "model_starting",
                    f"{self._title} is still starting. Try again in a few seconds.",
                    headers={"Retry-After": "5"},
                ) from None

    async def _any_change(self) -> None:
        waits = [asyncio.ensure_future(one.changed()) for one in self.instances]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
