"""What may happen to each part, and what must become of 16 streams then.

An answer can be saved while its client's connection leads to a controller that lives (one that is silent for
a while lives too: TCP goes on where it was), and an engine is left, or is back before `queue_timeout_s` is
over. Such an answer must come whole. Any other must end with an error or a cut connection, never as if it
were whole.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.hosts.load_process import Load
from tests.hosts.program import Program
from tests.hosts.system import ENGINES, STREAMS, System

Step = Callable[[System], None]
_SOME_TIME_S = 90.0  # for all places to be used again


@dataclass(frozen=True)
class Fault:
    """Something that is done to a system and, so many seconds later, undone."""

    name: str
    strike: Step
    lasts_s: float
    mend: Step
    may_tell: Sequence[int] = ()  # the controllers whose streams cannot be saved, by number
    load: Sequence[str] = ()  # options


@dataclass(frozen=True)
class Result:
    """What became of the streams. Times in seconds; `told` counts what was told, `lost` says how each was."""

    fault: Fault
    asked: int
    struck: int
    whole: int
    told: Counter[str]
    lost: Sequence[str]
    pause_s: float
    used_again_s: float
    left_over: int


def run(system: System, fault: Fault) -> Result:
    """Let 16 streams flow, strike, mend, wait until all places are used again, and read to the ends."""
    streams = STREAMS // 2 if "--pairs" in fault.load else STREAMS
    with system.load(*fault.load) as load:
        load.flows()
        system.wait_until(lambda: system.is_full(streams), "all places are used")
        struck = time.monotonic()
        try:
            fault.strike(system)
            time.sleep(max(0.0, fault.lasts_s - (time.monotonic() - struck)))
        finally:
            fault.mend(system)
        used_again_s = system.wait_until(
            lambda: system.is_well() and system.is_full(streams), "all places are used again", _SOME_TIME_S
        )
        mended = time.monotonic()
        load.end()
    left_over = 0
    try:
        system.wait_until(lambda: system.under_way() == 0, "the engines are at rest", 10)
    except RuntimeError:
        left_over = system.under_way()
    return _result(fault, load, (struck, mended), used_again_s, left_over)


def _result(
    fault: Fault, load: Load, during: tuple[float, float], used_again_s: float, left_over: int
) -> Result:
    struck, mended = during
    lost = []
    told: Counter[str] = Counter()
    for one in load.said:
        is_hit = one["asked"] < mended and one["at"] > struck
        if one["ending"] == "told" and one["controller"] in fault.may_tell and is_hit:
            told[one["why"]] += 1
        elif one["ending"] != "whole":
            kind = "sampled" if one["sampled"] else "greedy"
            lost.append(f"{kind}, {one['ending']}: {one['why']}")
    return Result(
        fault,
        asked=len(load.said),
        struck=sum(one["asked"] < struck < one["at"] for one in load.said),
        whole=sum(one["ending"] == "whole" for one in load.said),
        told=told,
        lost=lost,
        pause_s=load.longest_pause_s(),
        used_again_s=used_again_s,
        left_over=left_over,
    )


def _each(do: Callable[[Program], None], names: Sequence[str]) -> Step:
    def step(system: System) -> None:
        for name in names:
            do(system.programs[name])

    return step


def killed(*names: str) -> Step:
    """SIGKILL: what it was saying is cut, and its port refuses."""
    return _each(Program.kill, names)


def hung(*names: str) -> Step:
    """SIGSTOP: its kernel takes connections and bytes, and nobody answers."""
    return _each(Program.hang, names)


def goes_on(*names: str) -> Step:
    """The end of that."""
    return _each(Program.go_on, names)


def started(*names: str) -> Step:
    """Start again what has ended, and wait until it does its work."""
    return _each(Program.restart, names)


def terminated(*names: str) -> Step:
    """SIGTERM, and wait for the end."""

    def end(system: System) -> None:
        for name in names:
            system.programs[name].terminate()
        for name in names:
            system.programs[name].ended()

    return end


def silent(one: str, *others: str) -> Step:
    """All packets between a host and others, or all others, vanish."""
    return lambda system: system.network.partition(one, *others)


def silent_from(source: str, target: str) -> Step:
    """Packets from one host to another vanish; those the other way arrive."""
    return lambda system: system.network.cut(source, target)


def refused(one: str, *others: str) -> Step:
    """The network says by ICMP that they cannot reach each other."""
    return lambda system: system.network.partition(one, *others, loss="unreachable")


def pulled(name: str) -> Step:
    """The cable is pulled: the carrier is gone."""
    return lambda system: system.network.pull(name)


def slowed(name: str, kbit: int) -> Step:
    """The link takes so many kbit/s and drops the rest."""
    return lambda system: system.network.slow(name, kbit)


def healed(system: System) -> None:
    """All links are whole again."""
    system.network.heal()


def nothing(_: System) -> None:
    """To compare with."""


_C0 = "controller0"

ONE_CONTROLLER = (
    Fault("nothing, to compare with", nothing, 3, nothing),
    Fault("engine 0 killed, started again", killed("engine0"), 3, started("engine0")),
    Fault("engine 0 told to end, started again", terminated("engine0"), 0, started("engine0")),
    Fault("engine 0 hangs", hung("engine0"), 6, goes_on("engine0")),
    Fault("engine 0 cut off, silently", silent("engine0", _C0), 6, healed),
    Fault("engine 0 heard no more, silently", silent_from("engine0", _C0), 6, healed),
    Fault("engine 0 hears no more, silently", silent_from(_C0, "engine0"), 6, healed),
    Fault("engine 0 cut off, by ICMP", refused("engine0", _C0), 6, healed),
    Fault("engine 0's cable pulled", pulled("engine0"), 6, healed),
    Fault("both engines killed, started again", killed(*ENGINES), 5, started(*ENGINES)),
    Fault("both engines cut off, silently", silent(_C0, *ENGINES), 6, healed),
    Fault(
        "both engines cut off, silently, longer than `silence_timeout_s`", silent(_C0, *ENGINES), 34, healed
    ),
    Fault("both engines hang", hung(*ENGINES), 6, goes_on(*ENGINES)),
    Fault("Redis killed, started again", killed("redis"), 3, started("redis")),
    Fault("Redis cut off, silently", silent("redis", _C0), 4, healed),
    Fault("Redis hangs", hung("redis"), 4, goes_on("redis")),
    Fault("clients cut off, silently", silent("client", _C0), 5, healed),
    Fault("clients' cable pulled", pulled("client"), 4, healed),
    Fault("clients on a link of 256 kbit/s that drops", slowed("client", 256), 5, healed),
    Fault("controller hangs", hung(_C0), 4, goes_on(_C0)),
    Fault("controller killed, started again", killed(_C0), 1, started(_C0), may_tell=(0,)),
    Fault("controller told to end, started again", terminated(_C0), 0, started(_C0), may_tell=(0,)),
)
_PAIRS = ("--pairs",)
TWO_CONTROLLERS = (
    Fault("nothing, to compare with", nothing, 3, nothing, load=_PAIRS),
    Fault("controller 0 killed", killed(_C0), 3, started(_C0), may_tell=(0,), load=_PAIRS),
    Fault("controller 0 hangs", hung(_C0), 5, goes_on(_C0), load=_PAIRS),
    Fault("controller 0 cut off from all, silently", silent(_C0), 6, healed, load=_PAIRS),
    Fault("controller 0 cut off from Redis, silently", silent(_C0, "redis"), 4, healed, load=_PAIRS),
    Fault(
        "controller 1 cut off from Redis, silently", silent("controller1", "redis"), 4, healed, load=_PAIRS
    ),
    Fault(
        "controller 1 killed", killed("controller1"), 3, started("controller1"), may_tell=(1,), load=_PAIRS
    ),
    Fault("Redis killed, started again", killed("redis"), 3, started("redis"), load=_PAIRS),
    Fault("Redis's cable pulled", pulled("redis"), 4, healed, load=_PAIRS),
    Fault("engine 0 killed, started again", killed("engine0"), 3, started("engine0"), load=_PAIRS),
    Fault("engine 0 cut off from all, silently", silent("engine0"), 6, healed, load=_PAIRS),
    Fault("controller 0 told to end, as in a rolling update", terminated(_C0), 0, started(_C0), load=_PAIRS),
)
_BY_PAGES = ("--pages",)
PAGES = (
    Fault("pages cut off from the controller, silently", silent("ui", _C0), 5, healed, load=_BY_PAGES),
    Fault("engine 0 cut off, silently", silent("engine0", _C0), 6, healed, load=_BY_PAGES),
    Fault("controller killed", killed(_C0), 1, started(_C0), may_tell=(0,), load=_BY_PAGES),
    Fault("pages killed, started again", killed("ui"), 1, started("ui")),
)
