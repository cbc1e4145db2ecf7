"""An engine with continuous batching: requests are read, and then all answers grow together, token by token.

    apart ─▸ line ─▸ reading ─▸ first token ─▸ writing ─▸ end

apart    what takes time and is in nobody's way: the network, cutting up the request
reading  encoder and prefill; `reads_at_once` side by side, which share the engine's speed
writing  every answer gets a token a step; a step takes longer the more answers there are

Reading and writing may slow each other down (`stall`, `drag`), as they must where both need the same cores.
Between two events all speeds are constant, so nothing is computed token by token.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, inf
from typing import Literal

from benchmarks.capacity.agenda import Agenda
from benchmarks.capacity.profile import Profile

CHUNK_S = 30.0  # of sound, as the encoder takes it and as its cache counts it
_SAME = 1e-9  # of a job's work: rounding
_SYNC_TOKENS = 8.0  # between two looks at how far answers are

Stage = Literal["apart", "line", "reading", "writing", "over"]


@dataclass(slots=True, eq=False)
class Job:
    """One request at an engine; `reading_s` is what reading it takes alone, once it is known."""

    clip: str
    audio_s: float
    tokens: int
    first: Callable[[], None]
    ended: Callable[[], None]
    produced: Callable[[int], None] = lambda _: None
    factor: float = 1.0  # how much harder to read than the average
    warm: bool = False
    stage: Stage = "apart"
    reading_s: float = 0.0
    begun: float = 0.0  # how much each answer had grown when this one began, in tokens
    told: int = 0  # tokens


class Sharing:
    """Jobs side by side at one speed for all; `done` is what a job that was here from the start has got."""

    def __init__(self) -> None:
        self.done = 0.0
        self.speed = 0.0
        self.count = 0
        self._ends: list[tuple[float, int, Job]] = []
        self._numbers = 0

    def add(self, job: Job, work: float) -> None:
        """Begin a job that ends when it has got so much."""
        self._numbers += 1
        self.count += 1
        heapq.heappush(self._ends, (self.done + work, self._numbers, job))

    def drop(self) -> None:
        """Count one fewer; its entry is passed over when it comes up, since its stage has changed."""
        self.count -= 1

    def left_s(self, stage: Stage) -> float:
        """Return how long the next end is away at this speed."""
        ends = self._ends
        while ends and ends[0][2].stage != stage:
            heapq.heappop(ends)
        if not ends:
            return inf
        return max(ends[0][0] - self.done, 0.0) / self.speed

    def take_due(self, stage: Stage) -> list[Job]:
        """Take out the jobs that have got all."""
        due: list[Job] = []
        ends = self._ends
        while ends and (ends[0][2].stage != stage or ends[0][0] <= self.done + _SAME):
            job = heapq.heappop(ends)[2]
            if job.stage == stage:
                due.append(job)
                self.count -= 1
        return due

    def jobs(self, stage: Stage) -> list[Job]:
        """Return all that are here."""
        return [job for _, _, job in self._ends if job.stage == stage]


class Engine:
    """One instance, as a profile says it is."""

    def __init__(self, profile: Profile, agenda: Agenda) -> None:
        self.read_s = 0.0  # the work that it has done: reading
        self.written = 0.0  # and tokens
        self.met = 0
        self.warm = 0
        self._profile = profile
        self._agenda = agenda
        self._line: deque[Job] = deque()
        self._reading = Sharing()
        self._writing = Sharing()
        self._cache: OrderedDict[str, int] = OrderedDict()
        self._at = 0.0
        self._plan = 0
        self._synced = 0.0

    def begin(self, job: Job) -> None:
        """Take a request."""
        job.warm = job.clip in self._cache
        self.met += 1
        self.warm += job.warm
        job.reading_s = job.factor * self._profile.reading_s(job.audio_s, job.warm)
        apart_s = self._profile.apart_s(job.audio_s, job.warm)
        self._agenda.at(self._agenda.now + apart_s, self._queue, job)

    def cancel(self, job: Job) -> None:
        """End a request before its time."""
        self._advance()
        if job.stage == "reading":
            self._reading.drop()  # what was read of it is not counted: at most one prefill
        elif job.stage == "writing":
            self._writing.drop()
            self.written += self._writing.done - job.begun
        job.stage = "over"
        self._go_on()

    def sync(self) -> None:
        """Tell of the tokens that have come, as often as a controller would do something else for it."""
        self._advance()
        done = self._writing.done
        if done - self._synced < _SYNC_TOKENS:
            return
        self._synced = done
        for job in self._writing.jobs("writing"):
            new = int(done - job.begun) - job.told
            if new > 0:
                job.told += new
                job.produced(new)

    def _queue(self, job: Job) -> None:
        if job.stage == "over":
            return
        job.stage = "line"
        self._line.append(job)
        self._advance()
        self._go_on()

    def _advance(self) -> None:
        passed = self._agenda.now - self._at
        self._at = self._agenda.now
        if passed > 0:
            self._reading.done += passed * self._reading.speed
            self._writing.done += passed * self._writing.speed

    def _go_on(self) -> None:
        """Let the next be read, set the speeds, and plan the next end of anything."""
        profile, reading, writing = self._profile, self._reading, self._writing
        while self._line and reading.count < profile.reads_at_once:
            job = self._line.popleft()
            if job.stage == "line":
                job.stage = "reading"
                reading.add(job, job.reading_s)
        k, n = reading.count, writing.count
        reading.speed = (1.0 - profile.drag if n else 1.0) / max(k, 1)
        writing.speed = (1.0 - profile.stall if k else 1.0) / profile.step_s(max(n, 1))
        next_s = min(reading.left_s("reading"), writing.left_s("writing"))
        self._plan += 1
        if next_s < inf:
            self._agenda.at(self._agenda.now + next_s, self._due, self._plan)

    def _due(self, plan: int) -> None:
        if plan != self._plan:
            return
        self._advance()
        firsts, ends = self._reading.take_due("reading"), self._writing.take_due("writing")
        for job in firsts:
            self.read_s += job.reading_s
            self._remember(job)
            self.written += 1
            job.begun = self._writing.done
            if job.tokens > 1:
                job.stage = "writing"
                self._writing.add(job, job.tokens - 1)
            else:
                job.stage = "over"
        for job in ends:
            job.stage = "over"
            self.written += job.tokens - 1
        self._go_on()
        # Only now: who hears of it may send the next at once.
        for job in firsts:
            job.first()
            if job.stage == "over":
                job.ended()
        for job in ends:
            job.ended()

    def _remember(self, job: Job) -> None:
        if not job.clip or not self._profile.encoder_cache_chunks:
            return
        self._cache[job.clip] = ceil(job.audio_s / CHUNK_S)
        self._cache.move_to_end(job.clip)
        while sum(self._cache.values()) > self._profile.encoder_cache_chunks:
            self._cache.popitem(last=False)
