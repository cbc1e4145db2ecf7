"""Askers of the same answer share one producer, and each sees all of it."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any

import pytest

from backend.answer import Done, Queued, Token
from backend.errors import Busy, Interrupted, Unavailable, UpstreamFailed
from backend.flight import Flights
from backend.follower import Flight, Follower
from backend.job import Trip

WORDS = [Token("a"), Token("b"), Token("c")]
END = Done("stop")
Step = list[Any] | Exception | asyncio.Event


class Producer:
    """Yields what it is told, waits where it is told, and says what became of it."""

    def __init__(self, *steps: Step) -> None:
        self.steps = steps
        self.started = 0
        self.closed = asyncio.Event()
        self.sent: Sequence[Any] = ()

    async def __call__(self, sent: Sequence[Any]) -> AsyncGenerator[list[Any]]:
        self.started += 1
        self.sent = sent
        try:
            for step in self.steps:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, asyncio.Event):
                    await step.wait()
                else:
                    yield step
                    await asyncio.sleep(0)
        finally:
            self.closed.set()


class Kept(dict[str, Sequence[Any]]):
    def __call__(self, key: str, items: Sequence[Any]) -> None:
        assert key not in self
        self[key] = items


def flights(keep: Kept | None = None, max_bytes: int = 2**20) -> Flights:
    return Flights(max_bytes, keep if keep is not None else Kept())


async def all_of(follower: Follower[Any], seen: list[Any] | None = None) -> list[Any]:
    seen = [] if seen is None else seen
    async with aclosing(follower):
        async for batch in follower:
            seen += batch
    return seen


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await main()
        await asyncio.sleep(0.01)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(bounded())


def test_sixteen_at_once_make_one_call_and_each_gets_all() -> None:
    async def main() -> None:
        kept = Kept()
        table = flights(kept)
        producer = Producer(WORDS[:1], WORDS[1:], [END])
        trip = Trip()
        followers = [table.join("k", producer, trip if n == 0 else Trip()) for n in range(16)]
        answers = await asyncio.gather(*(all_of(one) for one in followers))
        assert answers == [[*WORDS, END]] * 16
        assert producer.started == 1
        assert [one.shared for one in followers] == [False] + [True] * 15
        assert all(one.trip is trip for one in followers)
        assert kept == {"k": [*WORDS, END]}
        assert len(table) == 0

    run(main)


def test_one_who_joins_late_gets_what_came_at_once_and_then_the_rest_live() -> None:
    async def main() -> None:
        gate = asyncio.Event()
        table = flights()
        producer = Producer(WORDS[:1], WORDS[1:2], gate, [WORDS[2], END])
        first = table.join("k", producer, Trip())
        assert await anext(first) == WORDS[:1]
        assert await anext(first) == WORDS[1:2]
        late = table.join("k", producer, Trip())
        assert await anext(late) == WORDS[:2]
        gate.set()
        assert await all_of(late) == [WORDS[2], END] == await all_of(first)

    run(main)


def test_there_is_no_moment_between_flight_and_cache() -> None:
    async def main() -> None:
        kept = Kept()
        table = flights(kept)
        producer, never = Producer(WORDS, [END]), Producer()
        async for _ in table.join("k", producer, Trip()):
            pass
        assert kept  # before the first to see the end could ask again
        kept.clear()
        asking = asyncio.create_task(all_of(table.join("k", producer, Trip())))
        while not kept:
            joined = table.join("k", never, Trip())
            assert joined.shared
            await joined.aclose()
            await asyncio.sleep(0)
        assert never.started == 0
        await asking

    run(main)


def test_a_slow_follower_keeps_nobody_waiting() -> None:
    async def main() -> None:
        table = flights()
        producer = Producer(*([word] for word in WORDS), [END])
        slow = table.join("k", producer, Trip())
        assert await all_of(table.join("k", producer, Trip())) == [*WORDS, END]
        assert await anext(slow) == [*WORDS, END]
        assert await all_of(slow) == []

    run(main)


@pytest.mark.parametrize(("key", "fresh"), [(None, False), ("k", True)])
def test_flights_of_their_own(key: str | None, fresh: bool) -> None:
    async def main() -> None:
        kept: list[str] = []
        table = Flights(2**20, lambda key, items: kept.append(key))
        producer = Producer(WORDS, [END])
        followers = [table.join(key, producer, Trip(), fresh=fresh) for _ in range(3)]
        assert await asyncio.gather(*(all_of(one) for one in followers)) == [[*WORDS, END]] * 3
        assert producer.started == 3
        assert kept == ([] if key is None else [key] * 3)
        assert not any(one.shared for one in followers)

    run(main)


def test_a_fresh_asker_does_not_join_and_is_not_joined() -> None:
    async def main() -> None:
        table = flights(Kept(), 2**20)
        gate = asyncio.Event()
        old, new = Producer(gate, WORDS[:1]), Producer(gate, WORDS[1:2])
        first = table.join("k", old, Trip())
        fresh = table.join("other", new, Trip(), fresh=True)
        second = table.join("k", new, Trip())
        third = table.join("other", old, Trip())
        gate.set()
        answers = await asyncio.gather(*map(all_of, (first, fresh, second)))
        assert answers == [WORDS[:1], WORDS[1:2], WORDS[:1]]
        await third.aclose()

    run(main)


def test_a_place_in_the_queue_is_told_while_it_is_the_latest_and_is_not_kept() -> None:
    async def main() -> None:
        kept = Kept()
        gates = [asyncio.Event() for _ in range(3)]
        queue = [Queued(3, 7), Queued(2, 6)]
        steps = (queue[:1], gates[0], queue[1:], gates[1], WORDS, gates[2], [END])
        table, producer = flights(kept), Producer(*steps)
        first = table.join("k", producer, Trip())
        assert await anext(first) == queue[:1]
        second = table.join("k", producer, Trip())
        assert await anext(second) == queue[:1]
        gates[0].set()
        assert await anext(first) == queue[1:]
        third = table.join("k", producer, Trip())
        assert await anext(third) == queue[1:]
        assert await anext(second) == queue[1:]
        gates[1].set()
        assert await anext(second) == WORDS
        fourth = table.join("k", producer, Trip())
        assert await anext(fourth) == WORDS
        gates[2].set()
        for one in (first, third):
            assert await all_of(one) == [*WORDS, END]
        for one in (second, fourth):
            assert await all_of(one) == [END]
        assert kept["k"] == [*WORDS, END]

    run(main)


def test_an_error_reaches_everybody_after_what_came_and_nothing_is_kept() -> None:
    async def main() -> None:
        kept = Kept()
        table = flights(kept)
        failing = Producer(WORDS, UpstreamFailed("engine_error", "It broke.", broke=True))
        seen: list[list[Any]] = [[] for _ in range(4)]
        joined = [all_of(table.join("k", failing, Trip()), seen[n]) for n in range(4)]
        errors = await asyncio.gather(*joined, return_exceptions=True)
        assert seen == [WORDS] * 4
        for error in errors:
            assert isinstance(error, UpstreamFailed)
            assert (error.code, error.message, error.broke) == ("engine_error", "It broke.", True)
        assert len({id(error) for error in errors}) == 4  # each has its own trace
        assert not kept
        again = Producer(WORDS)
        assert await all_of(table.join("k", again, Trip())) == WORDS

    run(main)


def test_the_first_to_leave_ends_nothing_and_the_last_ends_it_at_once() -> None:
    async def main() -> None:
        kept = Kept()
        table = flights(kept)
        producer = Producer(WORDS[:1], asyncio.Event())
        first, second = (table.join("k", producer, Trip()) for _ in range(2))
        assert await anext(first) == await anext(second) == WORDS[:1]
        await first.aclose()
        await first.aclose()
        await asyncio.sleep(0.02)
        assert not producer.closed.is_set()
        began = time.monotonic()
        await second.aclose()
        await producer.closed.wait()
        assert time.monotonic() - began < 0.1
        assert not kept

    run(main)


def test_one_who_comes_while_it_is_being_cancelled_starts_anew() -> None:
    async def main() -> None:
        table = flights()
        closing = asyncio.Event()

        async def slow_to_die(_: Sequence[Any]) -> AsyncGenerator[list[Any]]:
            try:
                yield WORDS
                await asyncio.Event().wait()
            finally:
                await closing.wait()

        leaving = table.join("k", slow_to_die, Trip())
        assert await anext(leaving) == WORDS
        await leaving.aclose()
        producer = Producer([END])
        fresh = table.join("k", producer, Trip())
        assert not fresh.shared
        await asyncio.sleep(0.01)
        assert len(table) == 1  # the dying one; the new one has ended
        joined = table.join("k", producer, Trip())
        closing.set()
        assert await all_of(fresh) == await all_of(joined) == [END]

    run(main)


def test_leaving_before_the_producer_began() -> None:
    async def main() -> None:
        table = flights()
        producer = Producer(WORDS)
        await table.join("k", producer, Trip()).aclose()
        await asyncio.sleep(0)
        assert producer.started == 0
        assert await all_of(table.join("k", producer, Trip())) == WORDS

    run(main)


def test_a_wait_that_was_cut_short_loses_nothing() -> None:
    async def main() -> None:
        gate = asyncio.Event()
        table = flights()
        follower = table.join("k", Producer(gate, WORDS), Trip())
        for _ in range(50):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await anext(follower)
        assert not follower._flight._waiting
        gate.set()
        assert await all_of(follower) == WORDS

    run(main)


def test_an_answer_that_is_too_long_is_ended() -> None:
    async def main() -> None:
        table = flights(max_bytes=1_000)
        producer = Producer(*([Token("word ")] for _ in range(100)))
        seen: list[Any] = []
        with pytest.raises(UpstreamFailed, match="longer than this server") as caught:
            await all_of(table.join("k", producer, Trip()), seen)
        assert not caught.value.again
        assert producer.closed.is_set()
        assert 0 < len(seen) < 10
        bytes_too = Producer([b"x" * 600], [b"y" * 600])
        with pytest.raises(UpstreamFailed):
            await all_of(table.join(None, bytes_too, Trip()))

    run(main)


class Mine(Busy):
    mine = True


def test_an_error_that_is_only_the_starters_lets_the_others_try_for_themselves() -> None:
    async def main() -> None:
        table = flights()
        gate = asyncio.Event()
        refused, accepted = Producer(gate, Mine("full", "Your share is used up.")), Producer(WORDS)
        trips = [Trip() for _ in range(5)]
        first = table.join("k", refused, trips[0])
        others = [table.join("k", accepted, trip) for trip in trips[1:]]
        waiting = [asyncio.create_task(all_of(one)) for one in others]
        gate.set()
        with pytest.raises(Mine):
            await all_of(first)
        assert await asyncio.gather(*waiting) == [WORDS] * 4
        assert accepted.started == 1
        assert [one.shared for one in others].count(False) == 1
        assert {id(one.trip) for one in others} == {id(trips[1])}

    run(main)


def test_every_one_may_be_refused_for_itself() -> None:
    async def main() -> None:
        table = flights()
        producers = [Producer(Mine("full", "Your share is used up.")) for _ in range(5)]
        asking = [all_of(table.join("k", one, Trip())) for one in producers]
        assert [type(error) for error in await asyncio.gather(*asking, return_exceptions=True)] == [Mine] * 5
        assert [one.started for one in producers] == [1] * 5

    run(main)


def test_after_the_first_word_it_is_everybodys_error() -> None:
    async def main() -> None:
        table = flights()
        producer = Producer(WORDS, Mine("full", "No."))
        asking = [all_of(table.join("k", producer, Trip())) for _ in range(3)]
        errors = await asyncio.gather(*asking, return_exceptions=True)
        assert [type(error) for error in errors] == [Mine] * 3
        assert producer.started == 1

    run(main)


def test_closing_ends_all_and_tells_who_still_listens() -> None:
    async def main() -> None:
        table = flights()
        producers = [Producer(asyncio.Event()) for _ in range(3)]
        followers = [
            table.join(key, one, Trip()) for key, one in zip(("a", "b", None), producers, strict=True)
        ]
        await asyncio.sleep(0)
        await table.close()
        assert all(one.closed.is_set() for one in producers)
        for one in followers:
            with pytest.raises(Unavailable):
                await all_of(one)
        assert len(table) == 0

    run(main)


def test_a_thousand_flights_leave_nothing_behind() -> None:
    async def main() -> None:
        seen: list[weakref.ref[Flight[Any]]] = []
        table = Flights(2**20, lambda key, items: None)
        gate = asyncio.Event()

        async def ask(number: int) -> None:
            flight = number // 2
            end = ([END], Interrupted(), asyncio.Event())[flight % 3]
            follower = table.join(str(flight), Producer(gate, WORDS, end), Trip())
            seen.append(weakref.ref(follower._flight))
            async with aclosing(follower):
                async for batch in follower:
                    if flight % 3 == 2 and batch[-1] == WORDS[-1]:
                        return

        asking = [asyncio.create_task(ask(number)) for number in range(2_000)]
        await asyncio.sleep(0)
        assert len(table) == 1_000
        gate.set()
        for result in await asyncio.gather(*asking, return_exceptions=True):
            assert result is None or isinstance(result, Interrupted)
        await asyncio.sleep(0.01)
        assert len(table) == 0
        assert not table._running
        asking.clear()
        del result
        gc.collect()
        assert not [one for one in seen if one() is not None]

    run(main)
