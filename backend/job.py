"""What is carried to an engine and back, whichever route it came by."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol, TypeVar

from backend.balancer import Instance
from backend.work import Ask

Item = TypeVar("Item")


class Job(Protocol[Item]):
    """One request, ready to be sent to any instance of its model."""

    repeats: bool
    """Whether another run from the beginning gives the same answer, as that of a greedy request does."""
    ask: Ask
    can_continue: bool
    """Whether the engine can go on from text that it, or another, has begun."""
    max_tokens: int | None
    """The most tokens that were asked for; None leaves it to the engine."""

    def attempt(
        self, instance: Instance, continue_from: str = "", max_tokens: int | None = None
    ) -> AsyncGenerator[list[Item]]:
        """Yield one instance's answer in batches. Raises ControllerError.

        `continue_from` is text that the answer begins with already, and `max_tokens` what may be added to it
        in place of the job's own; empty and None for a run from the beginning.
        """
        ...


@dataclass
class Trip:
    """What is known of an answer's way through the engines, for all who follow it."""

    instance: str = ""
    queue_ms: float = 0.0
    attempts: int = 0
    resumed: int = 0
    hedged: int = 0
