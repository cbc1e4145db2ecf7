"""Askers of the same answer at several controllers share one producer, whatever happens to it or to Redis.

`python -m tests.backend.test_shared_flight URL` is a controller that leads and can be killed or stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any

import pytest
from pydantic import SecretStr

from backend.answer import Done, Head, Queued, Token
from backend.errors import Busy, ControllerError, InvalidRequest, Unavailable, UpstreamFailed
from backend.flight import Flights
from backend.follower import Follower
from backend.job import Trip
from backend.redis_link import RedisLink
from backend.shared_flight import SharedFlights
from tests.backend.redis_server import RedisServer, redis_server
from tests.backend.test_flight import Producer, all_of
from tests.backend.test_redis_link import until

KEY = "5e" * 32
STREAMS = "test:flight:*:????????????????"
WORDS = [Token("one "), Token("two "), Token("three ")]
END = Done("stop")
WHOLE = [*WORDS, END]


class Continuing(Producer):
    """Yields what is missing of the whole answer, a word at a time."""

    async def __call__(self, sent: Sequence[Any]) -> AsyncGenerator[list[Any]]:
        self.steps = tuple([word] for word in WHOLE[len(sent) :])
        async for batch in super().__call__(sent):
            yield batch


class Controller:
    """One controller's flights, with the answers that it keeps."""

    def __init__(self, server: RedisServer) -> None:
        self.kept: dict[str, Sequence[Any]] = {}
        self.link = RedisLink(server.secret_url, "test:")
        self.local = Flights(2**23, self.kept.__setitem__)
        self.flights = SharedFlights(self.local, self.link)

    def join(self, producer: Producer, trip: Trip | None = None, fresh: bool = False) -> Follower[Any]:
        return self.flights.join(KEY, producer, trip or Trip(), fresh=fresh)


@pytest.fixture(scope="module")
def shared_server() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def impatient(shared_server: RedisServer) -> RedisServer:
    """For what is about a Redis that hangs: a controller waits no longer than it does at an event."""
    with shared_server.client() as client:
        client.flushall()
    return shared_server


@pytest.fixture
def server(impatient: RedisServer, patient_with_redis: None) -> RedisServer:
    return impatient


@contextlib.asynccontextmanager
async def controllers(server: RedisServer, count: int = 2) -> AsyncIterator[list[Controller]]:
    made = [Controller(server) for _ in range(count)]
    for one in made:
        await one.link.start()
    try:
        yield made
    finally:
        for one in made:
            await one.flights.close()
            await one.link.close()


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await main()
        await asyncio.sleep(0.01)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(bounded())


async def take(follower: Follower[Any], count: int) -> list[Any]:
    seen: list[Any] = []
    while len(seen) < count:
        seen += await anext(follower)
    return seen


def test_sixteen_over_two_controllers_make_one_call_and_each_gets_every_item_live(
    server: RedisServer,
) -> None:
    async def main() -> None:
        async with controllers(server) as both:
            gates = [asyncio.Event() for _ in WHOLE]
            steps = [part for gate, word in zip(gates, WHOLE, strict=True) for part in (gate, [word])]
            producer = Producer(*steps)
            followers = [both[n % 2].join(producer) for n in range(16)]
            for gate, word in zip(gates, WHOLE, strict=True):
                gate.set()
                assert await asyncio.gather(*(take(one, 1) for one in followers)) == [[word]] * 16
            assert await asyncio.gather(*(all_of(one) for one in followers)) == [[]] * 16
            assert producer.started == 1
            assert [one.shared for one in followers].count(False) == 1
            assert both[0].kept == both[1].kept == {KEY: WHOLE}

    run(main)


def test_a_late_one_elsewhere_gets_what_came_and_then_the_rest(server: RedisServer) -> None:
    async def main() -> None:
        async with controllers(server) as (one, other):
            gate = asyncio.Event()
            producer = Producer(WORDS[:2], gate, [WORDS[2], END])
            first = one.join(producer)
            assert await take(first, 2) == WORDS[:2]
            late = other.join(producer)
            assert await take(late, 2) == WORDS[:2]
            gate.set()
            assert await all_of(late) == await all_of(first) == [WORDS[2], END]
            assert producer.started == 1

    run(main)


def test_one_who_asks_elsewhere_just_after_the_end_gets_the_same_answer(server: RedisServer) -> None:
    async def main() -> None:
        async with controllers(server) as (one, other):
            producer = Producer(WHOLE)
            assert await all_of(one.join(producer)) == WHOLE
            assert await all_of(other.join(producer)) == WHOLE
            assert producer.started == 1
            fresh = Producer(WHOLE)
            assert await all_of(other.join(fresh, fresh=True)) == WHOLE
            assert fresh.started == 1

    run(main)


def test_an_answer_that_is_not_whole_is_for_those_who_were_there(server: RedisServer) -> None:
    async def main() -> None:
        async with controllers(server) as (one, other):
            gate = asyncio.Event()
            producer = Producer(WORDS, gate, [Done("error")])
            first, second = one.join(producer), other.join(producer)
            await take(first, 3), await take(second, 3)
            gate.set()
            assert await all_of(first) == await all_of(second) == [Done("error")]
            await asyncio.gather(*one.flights._ending.values())
            again = Producer(WHOLE)
            assert await all_of(other.join(again)) == WHOLE
            assert again.started == 1

    run(main)


def test_places_in_the_queue_and_the_way_taken_are_told_elsewhere(server: RedisServer) -> None:
    async def main() -> None:
        async with controllers(server) as (one, other):
            gates = [asyncio.Event() for _ in range(2)]
            producer = Producer([Queued(3, 7)], gates[0], [Queued(1, 5)], gates[1], WHOLE)
            trip = Trip()
            first = one.join(producer, trip)
            assert await anext(first) == [Queued(3, 7)]
            second = other.join(producer)
            assert await anext(second) == [Queued(3, 7)]
            gates[0].set()
            assert await anext(second) == [Queued(1, 5)]
            trip.instance, trip.queue_ms, trip.attempts = "gpu-1", 12.5, 2
            gates[1].set()
            assert await all_of(second) == WHOLE
            assert second.trip == trip
            assert second.trip is not trip
            assert await all_of(first) == WHOLE  # a place that is past is not told

    run(main)


@pytest.mark.parametrize(
    "error",
    [UpstreamFailed("engine_error", "It broke.", again=False), InvalidRequest("too_long", "Ask for less.")],
)
@pytest.mark.parametrize("before", [[], WORDS])
def test_an_error_reaches_everybody_after_what_came(
    server: RedisServer, error: ControllerError, before: list[Any]
) -> None:
    async def main() -> None:
        async with controllers(server) as both:
            gate = asyncio.Event()
            producer = Producer([Queued(1, 1)], *([before] if before else []), gate, error)
            followers = [both[n % 2].join(producer) for n in range(4)]
            seen: list[list[Any]] = [[] for _ in followers]
            asking = [
                asyncio.create_task(all_of(one, mine)) for one, mine in zip(followers, seen, strict=True)
            ]
            await until(lambda: all(mine and mine[-1] == (before or [Queued(1, 1)])[-1] for mine in seen))
            gate.set()
            for result in await asyncio.gather(*asking, return_exceptions=True):
                assert type(result) is type(error)
                assert isinstance(result, ControllerError)
                assert (result.code, result.message, result.status) == (
                    error.code,
                    error.message,
                    error.status,
                )
            assert all([item for item in mine if item in WORDS] == before for mine in seen)
            assert producer.started == 1

    run(main)


@pytest.mark.parametrize(
    "error", [Busy("full", "Wait.", headers={"Retry-After": "3"}), Unavailable("down", "Wait.")]
)
def test_what_failed_at_one_controller_may_succeed_at_the_next(server: RedisServer, error: Exception) -> None:
    async def main() -> None:
        async with controllers(server, 3) as (one, *others):
            gate = asyncio.Event()
            refused, accepted = Producer([Queued(1, 1)], gate, error), Producer(WHOLE)
            first = one.join(refused)
            followers = [other.join(accepted) for other in others]
            for follower in (first, *followers):
                assert await anext(follower) == [Queued(1, 1)]
            gate.set()
            with pytest.raises(type(error)):
                await all_of(first)
            assert await asyncio.gather(*map(all_of, followers)) == [WHOLE] * 2
            assert accepted.started == 1

    run(main)


def test_with_nobody_elsewhere_the_last_to_leave_ends_it_at_once(server: RedisServer) -> None:
    async def main() -> None:
        async with controllers(server) as (one, other):
            producer = Producer(WORDS, asyncio.Event())
            follower = one.join(producer)
            assert await take(follower, 3) == WORDS
            began = time.monotonic()
            await follower.aclose()
            await producer.closed.wait()
            assert time.monotonic() - began < 0.1
            for next_one in (one, other):
                again = Producer(WHOLE)
                assert await all_of(next_one.join(again, fresh=False)) == WHOLE
                assert again.started == (1 if next_one is one else 0)

    run(main)


def test_followers_elsewhere_keep_it_going_until_the_last_of_them_left(server: RedisServer) -> None:
    async def main() -> None:
        async with controllers(server, 3) as (one, two, three):
            gate = asyncio.Event()
            producer = Producer(WORDS[:1], gate, WORDS[1:2], asyncio.Event())
            first, second, third = one.join(producer), two.join(producer), three.join(producer)
            for follower in (first, second, third):
                assert await take(follower, 1) == WORDS[:1]
            await first.aclose()
            await second.aclose()
            await asyncio.sleep(1.5)  # longer than a follower's sign of life lasts
            gate.set()
            assert await take(third, 1) == WORDS[1:2]
            back = one.join(producer)
            assert await take(back, 2) == WORDS[:2]
            assert producer.started == 1
            assert not producer.closed.is_set()
            await back.aclose()
            began = time.monotonic()
            await third.aclose()
            await producer.closed.wait()
            assert time.monotonic() - began < 2.5

    run(main)


def test_a_controller_that_closes_hands_over_at_once(server: RedisServer) -> None:
    async def main() -> None:
        async with controllers(server, 3) as (one, *others):
            producer, heir = Producer(WORDS[:2], asyncio.Event()), Continuing()
            leading = one.join(producer)
            followers = [other.join(heir) for other in others]
            for follower in (leading, *followers):
                assert await take(follower, 2) == WORDS[:2]
            began = time.monotonic()
            await one.flights.close()
            assert await asyncio.gather(*map(all_of, followers)) == [WHOLE[2:]] * 2
            assert time.monotonic() - began < 1
            assert heir.started == 1
            assert heir.sent == tuple(WORDS[:2])

    run(main)


@contextlib.contextmanager
def leader(server: RedisServer) -> Iterator[subprocess.Popen[str]]:
    """A process that has begun to answer."""
    command = [sys.executable, "-m", "tests.backend.test_shared_flight", server.url]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    try:
        assert process.stdout and process.stdout.readline() == "leading\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_when_the_leader_is_killed_one_follower_takes_over(server: RedisServer) -> None:
    async def main() -> None:
        async with controllers(server, 3) as others:
            heir = Continuing()
            with leader(server) as process:
                followers = [others[n % 3].join(heir) for n in range(6)]
                for follower in followers:
                    assert await take(follower, 2) == WORDS[:2]
                process.kill()
                assert await asyncio.gather(*map(all_of, followers)) == [WHOLE[2:]] * 6
            assert heir.started == 1
            assert heir.sent == tuple(WORDS[:2])
            assert all(other.kept == {KEY: WHOLE} for other in others)

    run(main)


def test_a_leader_that_only_slept_does_not_write_into_what_another_took_over(server: RedisServer) -> None:
    async def main() -> None:
        async with controllers(server, 2) as others:
            gate = asyncio.Event()
            heir = Producer(WORDS[2:], gate, [END])
            with leader(server) as process, server.client() as client:
                followers = [other.join(heir) for other in others]
                for follower in followers:
                    assert await take(follower, 2) == WORDS[:2]
                process.send_signal(signal.SIGSTOP)
                for follower in followers:
                    assert await take(follower, 1) == WORDS[2:]
                late = [other.join(heir) for other in others]
                streams = client.keys(STREAMS)
                assert len(streams) == 1
                length = client.xlen(streams[0])
                process.send_signal(signal.SIGCONT)
                assert process.stdin and process.stdout
                process.stdin.write("\n")
                process.stdin.flush()
                assert await asyncio.to_thread(process.stdout.readline) == "ended 5\n"
                assert client.keys(STREAMS) == streams
                assert client.xlen(streams[0]) == length
                gate.set()
                assert await asyncio.gather(*map(all_of, followers)) == [[END]] * 2
                assert await asyncio.gather(*map(all_of, late)) == [WHOLE] * 2
            assert heir.started == 1

    run(main)


def test_redis_dies_in_the_middle(server: RedisServer) -> None:
    async def main() -> None:
        async with controllers(server, 3) as (one, *others):
            gate = asyncio.Event()
            producer, alone = Producer(WORDS[:2], gate, [WORDS[2], END]), Continuing()
            first = [one.join(producer) for _ in range(2)]
            followers = [other.join(alone) for other in others]
            for follower in (*first, *followers):
                assert await take(follower, 2) == WORDS[:2]
            server.kill()
            assert await asyncio.gather(*map(all_of, followers)) == [WHOLE[2:]] * 2
            assert alone.started == 2
            gate.set()
            assert await asyncio.gather(*map(all_of, first)) == [WHOLE[2:]] * 2
            # And without it:
            apart = Producer(WHOLE)
            assert await asyncio.gather(*(all_of(one.join(apart)) for one in (one, *others))) == [WHOLE] * 3
            assert apart.started == 3
            # And when it is back, empty:
            server.start()
            await until(lambda: all(one.link.up for one in (one, *others)))
            together = Producer(WHOLE)
            assert (
                await asyncio.gather(*(all_of(one.join(together)) for one in (one, *others))) == [WHOLE] * 3
            )
            assert together.started == 1

    try:
        run(main)
    finally:
        server.kill()
        server.start()


def test_redis_loses_everything_in_the_middle(server: RedisServer) -> None:
    async def main() -> None:
        async with controllers(server, 3) as (one, *others):
            gate = asyncio.Event()
            producer, alone = Producer(WORDS[:2], gate, [WORDS[2], END]), Continuing()
            first = one.join(producer)
            followers = [other.join(alone) for other in others]
            for follower in (first, *followers):
                assert await take(follower, 2) == WORDS[:2]
            with server.client() as client:
                client.flushall()
            assert await asyncio.gather(*map(all_of, followers)) == [WHOLE[2:]] * 2
            gate.set()
            assert await all_of(first) == WHOLE[2:]
            assert alone.sent == tuple(WORDS[:2])

    run(main)


def test_a_redis_that_hangs_delays_nobody_for_long(impatient: RedisServer) -> None:
    async def main() -> None:
        async with controllers(impatient) as (one, other):
            gate = asyncio.Event()
            producer, alone = Producer(WORDS[:2], gate, [WORDS[2], END]), Continuing()
            first, second = one.join(producer), other.join(alone)
            for follower in (first, second):
                assert await take(follower, 2) == WORDS[:2]
            impatient.freeze()
            began = time.monotonic()
            assert await all_of(second) == WHOLE[2:]
            assert time.monotonic() - began < 0.6
            gate.set()
            assert await all_of(first) == WHOLE[2:]

    try:
        run(main)
    finally:
        impatient.thaw()


def test_a_redis_that_hangs_delays_nobody_who_asks_then(impatient: RedisServer) -> None:
    async def main() -> None:
        async with controllers(impatient) as both:
            impatient.freeze()
            for one in both:
                began = time.monotonic()
                assert (
                    await asyncio.gather(*(all_of(one.join(Producer(WHOLE))) for _ in range(9)))
                    == [WHOLE] * 9
                )
                assert time.monotonic() - began < 0.6
                began = time.monotonic()
                assert await all_of(one.join(Producer(WHOLE))) == WHOLE
                assert time.monotonic() - began < 0.1

    try:
        run(main)
    finally:
        impatient.thaw()


def test_a_large_reply_that_is_passed_through(server: RedisServer) -> None:
    async def main() -> None:
        async with controllers(server) as (one, other):
            gate = asyncio.Event()
            sound = [Head("audio/wav"), *(bytes([n % 256]) * 40_000 for n in range(50))]
            producer = Producer(sound[:30], gate, sound[30:])
            first = one.join(producer)
            assert await take(first, 30) == sound[:30]
            second = other.join(producer)
            assert await take(second, 30) == sound[:30]
            gate.set()
            assert await all_of(first) == await all_of(second) == sound[30:]
            assert producer.started == 1

    run(main)


def test_nothing_can_be_read_in_redis_and_nothing_stays(server: RedisServer) -> None:
    async def main() -> None:
        async with controllers(server) as (one, other):
            gate = asyncio.Event()
            producer = Producer([Queued(1, 2)], [Token("confidential"), b"secret-sound"], gate, [END])
            followers = [one.join(producer, Trip("gpu-1")), other.join(producer)]
            with server.client() as client:
                for when in ("during", "after"):
                    if when == "during":
                        for follower in followers:
                            while b"secret-sound" not in await anext(follower):
                                pass
                    else:
                        gate.set()
                        await asyncio.gather(*map(all_of, followers))
                        await asyncio.gather(*one.flights._ending.values(), *other.flights._ending.values())
                    held = b"".join(_all_in(client))
                    assert b"flight:" in held
                    for word in (b"confidential", b"c2VjcmV0", b"secret", b"stop", b"gpu-1", KEY.encode()):
                        assert word not in held
                    assert all(0 < client.pttl(key) <= 10_000 for key in client.keys("*"))

    run(main)


def test_what_cannot_be_read_is_done_without(server: RedisServer) -> None:
    async def main() -> None:
        async with controllers(server) as (one, other):
            producer, alone = Producer(WORDS[:2], asyncio.Event()), Continuing()
            first, second = one.join(producer), other.join(alone)
            assert await take(first, 2) == await take(second, 2) == WORDS[:2]
            with server.client() as client:
                (stream,) = client.keys(STREAMS)
                client.xadd(stream, {"e": b"garbage"})
                assert await all_of(second) == WHOLE[2:]
                assert alone.sent == tuple(WORDS[:2])
                await first.aclose()
                await producer.closed.wait()
                await until(lambda: not one.flights._ending)
                client.set(stream.rsplit(b":", 1)[0], b"another version's")
            assert await all_of(one.join(Producer(WHOLE))) == WHOLE

    run(main)


def test_in_a_great_crowd_some_go_alone_and_redis_is_not_blamed(server: RedisServer) -> None:
    async def main() -> None:
        async with controllers(server) as (one, other):
            asking = [
                all_of(two.flights.join(f"{n:064x}", Producer(WORDS[:1], WORDS[1:], [END]), Trip()))
                for n in range(400)
                for two in (one, other)
            ]
            assert await asyncio.gather(*asking) == [WHOLE] * 800
            await asyncio.gather(*one.flights._ending.values(), *other.flights._ending.values())
            assert one.link.up and other.link.up

    run(main)


def _all_in(client: Any) -> Iterator[bytes]:
    for key in client.keys("*"):
        yield key
        kind = client.type(key)
        if kind == b"string":
            yield client.get(key)
        elif kind == b"list":
            yield from client.lrange(key, 0, -1)
        else:
            assert kind == b"stream"
            for _, fields in client.xrange(key):
                yield b"".join(name + value for name, value in fields.items())


async def _lead(url: str) -> None:
    """Answer two words, then, when told to by a line on stdin, the rest and more."""
    link = RedisLink(SecretStr(url), "test:")
    await link.start()
    flights = SharedFlights(Flights(2**20, lambda key, items: None), link)

    async def produce(_: Sequence[Any]) -> AsyncGenerator[list[Any]]:
        yield WORDS[:2]
        await asyncio.to_thread(sys.stdin.readline)
        yield [Token("another "), Token("tail "), END]

    follower = flights.join(KEY, produce, Trip())
    seen = await anext(follower)
    print("leading", flush=True)  # noqa: T201
    async for batch in follower:
        seen += batch
    await flights.close()
    await link.close()
    print("ended", len(seen), flush=True)  # noqa: T201


if __name__ == "__main__":
    asyncio.run(_lead(sys.argv[1]))
