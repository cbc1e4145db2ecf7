"""Real small models on the engines' hosts: their answers under a fault, beside those without one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.hosts.faults import Step, healed, killed, nothing, silent, started
from tests.hosts.system import System
from tests.speech import CASCADE
from tests.test_failover_engines import ASKED, Stream, ask_all


@dataclass(frozen=True)
class RealFault:
    """Something done to a host in mid-answer, and undone once all answers have ended."""

    name: str
    strike: Step
    mend: Step


FAULTS = (
    RealFault("engine 0 killed", killed("engine0"), started("engine0")),
    RealFault("engine 0 cut off, silently", silent("engine0", "controller0"), healed),
)
QUESTIONS = len(ASKED)


def house() -> System:
    """The system with the embedded engine on both engines' hosts."""
    return System(real=CASCADE, settings={"MERALION_CACHE_STORE": "none"})


def answers(system: System, strike: Step = nothing) -> tuple[list[str], int]:
    """Ask from the clients' host, strike once engine 0 is in mid-answer.

    Return the answers, and how many were under way then.
    """
    url = f"http://{system.address('controller0')}"
    is_writing = _in_the_middle(system, strike)
    return system.network.hosts["client"].do(lambda: asyncio.run(ask_all(url, is_writing)))


def _in_the_middle(system: System, strike: Step) -> Callable[[Sequence[Stream]], bool]:
    name = system.address("engine0")

    def look(streams: Sequence[Stream]) -> bool:
        is_writing = any(one.instance == name and len(one.pieces) > 5 and not one.ended for one in streams)
        if is_writing:
            strike(system)
        return is_writing

    return look
