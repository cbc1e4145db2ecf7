"""Which row comes at which place of training: arithmetic on the place, nothing that must be replayed.

Each slot of the global batch is a stream of its own: place i belongs to stream i mod the global batch. A
stream draws its sources by weight and walks its own stretch of each source's shuffled row groups, so it reads
them almost in one run, and a rank that takes the same slots of each batch opens only their row groups. Any
number of ranks, micro-batches and workers sees the same batches, and the row at step 100,000 is found as fast
as the first one.

    schedule = Schedule([0.7, 0.3], global_batch=640, seed=0)
    walk = Walk(rows_of_each_group, streams=640, window=256, key=(0, 0))
    draw = schedule.at(64_000_000)               # the source, the stream, how often it drew there before
    place = walk.at(draw.stream, draw.number)    # epoch, row group, row
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

WORD = 2**32
GOLDEN = 2_654_435_769  # WORD over the golden ratio: its multiples modulo WORD fill the circle evenly
_MASK = 2**64 - 1


class Draw(NamedTuple):
    """What a place of the order asks for: the `number`-th row (from 0) that `stream` takes of `source`."""

    source: int
    stream: int
    number: int


class Place(NamedTuple):
    """Where a row lies: `row` counts within its group; `epoch` is how often the source was read before."""

    epoch: int
    group: int
    row: int


@dataclass(frozen=True)
class Schedule:
    """Who draws from what: at step t, stream k stands at `offset(k) + t * GOLDEN` of a circle cut by weight.

    Multiples of the golden ratio fall evenly (Kronecker's sequence), so a stream keeps to the weights within
    a few draws at every length, and the streams, evenly apart, within a draw in every batch.
    """

    weights: tuple[float, ...]
    global_batch: int
    seed: int

    def at(self, place: int) -> Draw:
        """The draw at `place` = step * global batch + slot."""
        step, stream = divmod(place, self.global_batch)
        bounds = self._bounds()
        offset = self._offset(stream)
        angle = (offset + step * GOLDEN) % WORD
        source = next(n for n, end in enumerate(bounds[1:]) if angle < end)
        before = _visits(offset, step, bounds[source + 1]) - _visits(offset, step, bounds[source])
        return Draw(source, stream, before)

    def _bounds(self) -> tuple[int, ...]:
        return _cuts(self.weights)

    def _offset(self, stream: int) -> int:
        # Neighbouring slots are on one rank: they are sent far apart, lest it holds one source only.
        spread = _coprime(self.global_batch)
        return (stream * spread % self.global_batch * WORD // self.global_batch + mixed(self.seed)) % WORD


class Walk:
    """The rows of one source in shuffled order: every one once an epoch, shared out among the streams.

    An epoch shuffles the row groups and lays their rows end to end; each stream takes a stretch of its own
    and shuffles it within windows. A stretch may begin and end within a row group, which is how a corpus of
    fewer groups than streams is shared. Memory: 16 bytes a row group, 16 MB at 62 M rows.
    """

    def __init__(
        self, rows: Sequence[int] | NDArray[np.int64], streams: int, window: int, key: tuple[int, ...]
    ) -> None:
        """`rows` of each row group; `window`: rows that are shuffled among each other; `key`: seeds."""
        self.rows = np.asarray(rows, np.int64)
        self.total = int(self.rows.sum())
        self.streams = streams
        self.window = window
        self.key = key
        self._layout = lru_cache(maxsize=2)(self._lay_out)
        self._shuffle = lru_cache(maxsize=4 * streams)(self._shuffled)

    def at(self, stream: int, number: int) -> Place:
        """The `number`-th row of a stream. All streams together draw `total` rows an epoch."""
        epoch = (number * self.streams + stream) // self.total
        first = -((stream - epoch * self.total) // self.streams)  # the stream's first draw of this epoch
        begin, end = self._before(epoch, stream), self._before(epoch, stream + 1)
        window, within = divmod(number - first, self.window)
        size = min(self.window, end - begin - window * self.window)
        within = int(self._shuffle(epoch, stream, window, size)[within])
        return self._place(epoch, begin + window * self.window + within)

    def _before(self, epoch: int, stream: int) -> int:
        """Rows of an epoch that belong to the streams before `stream`."""
        return self._drawn((epoch + 1) * self.total, stream) - self._drawn(epoch * self.total, stream)

    def _drawn(self, draws: int, stream: int) -> int:
        """Of the first `draws` draws of all streams in turn, those of the streams before `stream`."""
        rounds, rest = divmod(draws, self.streams)
        return rounds * stream + min(rest, stream)

    def _place(self, epoch: int, row: int) -> Place:
        order, ends = self._layout(epoch)
        index = int(np.searchsorted(ends, row, side="right"))
        return Place(epoch, int(order[index]), row - int(ends[index]) + int(self.rows[order[index]]))

    def _lay_out(self, epoch: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        order = shuffled(self.rows.size, *self.key, epoch).astype(np.int32)
        return order, np.cumsum(self.rows[order])

    def _shuffled(self, epoch: int, stream: int, window: int, size: int) -> NDArray[np.int64]:
        return shuffled(size, *self.key, epoch, stream, window)

    def __getstate__(self) -> dict[str, object]:
        """Without the caches, which another process fills for itself."""
        return {name: getattr(self, name) for name in ("rows", "total", "streams", "window", "key")}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__init__(state["rows"], state["streams"], state["window"], state["key"])  # type: ignore[misc]


def shuffled(size: int, *key: int) -> NDArray[np.int64]:
    """The numbers below `size` in an order that `key` decides, on every machine and with every NumPy."""
    counters = np.arange(1, size + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return np.argsort(_finished(counters + np.uint64(mixed(*key))), kind="stable")


def mixed(*key: int) -> int:
    """A 64-bit hash of whole numbers."""
    state = 0
    for number in key:
        word = np.array([(state * 31 + number + 0x9E3779B97F4A7C15) & _MASK], np.uint64)
        state = int(_finished(word)[0])
    return state


def _finished(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's last steps (Steele, Lea and Flood 2014): every bit depends on every other."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


@lru_cache(maxsize=16)
def _cuts(weights: tuple[float, ...]) -> tuple[int, ...]:
    """The circle's arcs, one a source, as the whole numbers between them."""
    total = math.fsum(weights)
    ends = [round(WORD * math.fsum(weights[: n + 1]) / total) for n in range(len(weights))]
    return (0, *ends[:-1], WORD)


@lru_cache(maxsize=16)
def _coprime(size: int) -> int:
    """The number nearest to `size` over the golden ratio that shares no factor with it."""
    near = round(size * GOLDEN / WORD)
    return next(
        number
        for distance in range(size + 1)
        for number in (near + distance, near - distance)
        if number > 0 and math.gcd(number, size) == 1
    )


def _visits(offset: int, steps: int, bound: int) -> int:
    """At how many of the steps 0 to `steps` - 1 the circle's place was below `bound`."""
    # floor(x / WORD) - floor((x - bound) / WORD) is 1 where x mod WORD < bound, else 0.
    lifted = _floor_sum(steps, GOLDEN, offset + WORD - bound) - steps
    return _floor_sum(steps, GOLDEN, offset) - lifted


def _floor_sum(count: int, step: int, start: int, base: int = WORD) -> int:
    """The sum of floor((start + step * n) / base) for n below `count`: Euclid's algorithm, O(log base)."""
    total = 0
    while True:
        total += (count - 1) * count // 2 * (step // base) + count * (start // base)
        step, start = step % base, start % base
        top = step * count + start
        if top < base:
            return total
        count, start = divmod(top, base)
        step, base = base, step
