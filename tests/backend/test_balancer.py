"""The way into an engine: places, turns, bounds, deadlines, and engines that come and go; in virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from backend.answer import Queued
from backend.balancer import Instance, Place, Pool, State
from backend.breaker import BROKE, Breaker
from backend.errors import Busy, ControllerError, Unavailable
from backend.settings import Settings
from backend.work import Ask, Work
from benchmarks import virtual_time

Scene = Callable[[], Coroutine[Any, Any, None]]


def in_virtual_time(scene: Scene) -> Callable[[], None]:
    """Make a test of a coroutine; its hours take no time."""

    def test() -> None:
        virtual_time.run(scene())

    test.__name__, test.__doc__ = scene.__name__, scene.__doc__
    return test


def now() -> float:
    return asyncio.get_running_loop().time()


def up(*names: str, places: int = 2, **options: Any) -> list[Instance]:
    """Instances that are up from the start."""
    made = [
        Instance(name, f"http://{name}", places=places, clock=now, breaker=Breaker(clock=now), **options)
        for name in names
    ]
    for one in made:
        one.set("up")
    return made


def pool_of(instances: Sequence[Instance], **settings: Any) -> Pool:
    return Pool("Tiny", instances, Settings(**settings), clock=now)


def ask(owner: str = "a", audio_s: float = 0.0, **more: Any) -> Ask:
    return Ask(owner, Work(audio_s, 10), **more)


async def filled(pool: Pool, owner: str = "filler") -> list[Place]:
    """Take every place that is free."""
    places = []
    while True:
        try:
            places.append(await pool.enter(ask(owner), wait=False))
        except Busy:
            return places


def go(awaitable: Coroutine[Any, Any, Place]) -> asyncio.Task[Place]:
    return asyncio.create_task(awaitable)


async def settle() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


@asynccontextmanager
async def refused(code: str, status: int) -> AsyncIterator[list[ControllerError]]:
    errors: list[ControllerError] = []
    with pytest.raises(ControllerError) as caught:
        yield errors
    assert (caught.value.code, caught.value.status) == (code, status)
    errors.append(caught.value)


@in_virtual_time
async def test_a_place_is_had_at_once_and_the_next_one_is_handed_over() -> None:
    (one,) = up("one")
    pool, told = pool_of([one]), list[Queued]()
    first = await pool.enter(ask())
    with await pool.enter(ask()):
        assert (one.busy, one.stats.asked, told) == (2, 2, [])
        third = go(pool.enter(ask(), queued=told.append))
        await settle()
        assert (told, pool.waiting, third.done()) == ([Queued(1, 1)], 1, False)
        first.release()
        first.release()  # once more does nothing
        assert (one.busy, pool.waiting) == (2, 0)  # before anybody else could have come
        place = await third
        assert place.instance is one
    place.release()
    assert (one.busy, one.outstanding) == (0, 0.0)


@in_virtual_time
async def test_one_place_wakes_one_of_a_thousand() -> None:
    pool = pool_of(up("one", places=1))
    (held,) = await filled(pool)
    tasks = [go(pool.enter(ask(f"visitor {number}"))) for number in range(1_000)]
    await settle()
    for number in range(5):
        held.release()
        await settle()
        assert [task.done() for task in tasks].count(True) == number + 1
        held = tasks[number].result()
    for task in tasks[5:]:
        task.cancel()
    await asyncio.gather(*tasks[5:], return_exceptions=True)
    assert pool.waiting == 0


@in_virtual_time
async def test_fifty_questions_of_one_visitor_keep_another_waiting_for_one_of_them() -> None:
    pool = pool_of(up("one", places=1), queue_per_visitor=50)
    (held,) = await filled(pool, "greedy")
    served: list[str] = []

    async def visit(owner: str) -> None:
        with await pool.enter(ask(owner)):
            served.append(owner)
            await asyncio.sleep(1)

    async with asyncio.TaskGroup() as group:
        for _ in range(50):
            group.create_task(visit("greedy"))
        await settle()
        group.create_task(visit("modest"))
        await settle()
        held.release()
    assert served.index("modest") <= 1
    assert len(served) == 51


@in_virtual_time
async def test_the_queue_is_bounded_for_each_visitor_and_for_all() -> None:
    pool = pool_of(up("one", places=1), queue_per_visitor=2, queue_max=4)
    await filled(pool)
    tasks = [go(pool.enter(ask("a"))) for _ in range(2)]
    await settle()
    async with refused("queue_yours_full", 429) as errors:
        await pool.enter(ask("a"))
    assert isinstance(errors[0], Busy)
    assert errors[0].mine
    assert 1 <= int(errors[0].headers["Retry-After"]) <= 60
    tasks += [go(pool.enter(ask("anonymous-7"))) for _ in range(2)]
    await settle()
    async with refused("queue_full", 429) as errors:
        await pool.enter(ask("b"))
    assert isinstance(errors[0], Busy)
    assert not errors[0].mine
    tasks.append(go(pool.enter(ask("b", urgent=True))))  # was let in before
    await settle()
    assert (pool.waiting, pool.stats.waited, pool.stats.refused) == (5, 5, 2)
    for task in tasks:
        task.cancel()


@in_virtual_time
async def test_the_wait_is_told_from_how_fast_answers_end() -> None:
    pool = pool_of(up("one", places=1), queue_per_visitor=1, queue_max=8)
    (held,) = await filled(pool)
    tasks = [go(pool.enter(ask(f"{number}"))) for number in range(8)]
    for number in range(6):
        await asyncio.sleep(3)
        held.release()
        held = await tasks[number]
        tasks.append(go(pool.enter(ask(f"{number}"))))
    await settle()
    assert pool.waiting == 8
    async with refused("queue_full", 429) as errors:
        await pool.enter(ask("late"))
    assert 16 <= int(errors[0].headers["Retry-After"]) <= 24  # 8 before, 3 s each (the first took no time)
    for task in tasks[6:]:
        task.cancel()


@in_virtual_time
async def test_nothing_waits_longer_than_the_deadline() -> None:
    pool = pool_of(up("one", places=1), queue_timeout_s=30.0)
    (held,) = await filled(pool)
    async with refused("queue_timeout", 429) as errors:
        await pool.enter(ask())
    assert (now(), pool.waiting, pool.stats.timed_out) == (30.0, 0, 1)
    assert errors[0].headers["Retry-After"]
    held.release()
    (await pool.enter(ask())).release()


@pytest.mark.parametrize(
    ("trouble", "code", "words"),
    [
        (lambda one: one.set("down", "The engine at one cannot be reached."), "model_unavailable", "reached"),
        (lambda one: one.set("starting"), "model_starting", "still starting"),
        (lambda one: [one.failed("timeout") for _ in range(9)], "model_unavailable", "cannot answer now"),
    ],
    ids=["down", "starting", "failing"],
)
def test_a_request_waits_for_an_instance_that_may_come_back_until_the_deadline(
    trouble: Callable[[Instance], object], code: str, words: str
) -> None:
    async def scene() -> None:
        (one,) = up("one")
        one.breaker = Breaker(open_s=90.0, clock=now)
        pool, told = pool_of([one], queue_timeout_s=4.0), list[Queued]()
        trouble(one)
        async with refused(code, 503) as errors:
            await pool.enter(ask(), queued=told.append)
        assert words in errors[0].message
        assert (now(), told) == (4.0, [Queued(1, 1)])

    virtual_time.run(scene())


@in_virtual_time
async def test_an_engine_that_cannot_start_is_told_at_once_to_all() -> None:
    one = Instance("embedded", supervised=True, clock=now)
    pool = pool_of([one])
    tasks = [go(pool.enter(ask(name))) for name in "abc"]
    await asyncio.sleep(1)
    one.set("down", "The weights are missing.")
    for task in tasks:
        async with refused("model_unavailable", 503) as errors:
            await task
        assert "The weights are missing." in errors[0].message
    async with refused("model_unavailable", 503):
        await pool.enter(ask())
    assert (now(), pool.waiting) == (1.0, 0)


@in_virtual_time
async def test_positions_count_down_and_are_told_twice_a_second_at_most() -> None:
    pool = pool_of(up("one", places=4), queue_timeout_s=600.0, queue_per_visitor=3)
    told: dict[int, list[tuple[float, Queued]]] = {number: [] for number in range(60)}

    async def visit(number: int) -> None:
        def note(queued: Queued) -> None:
            told[number].append((now(), queued))

        with await pool.enter(ask(f"visitor {number % 40}"), queued=note):
            await asyncio.sleep(0.3)

    async with asyncio.TaskGroup() as group:
        for number in range(60):
            group.create_task(visit(number))
            await asyncio.sleep(0.01)
    assert now() < 10
    for words in told.values():
        times = [time for time, _ in words]
        positions = [queued.position for _, queued in words]
        assert positions == sorted(positions, reverse=True)
        # The first word comes at once; after it the queue's own beat counts.
        assert all(later - earlier > 0.49 for earlier, later in pairwise(times[1:]))
        assert all(1 <= queued.position <= queued.waiting for _, queued in words)
    assert max(len(words) for words in told.values()) > 3


@in_virtual_time
async def test_who_leaves_the_queue_leaves_no_trace() -> None:
    (one,) = up("one", places=1)
    pool = pool_of([one], queue_per_visitor=1)
    (held,) = await filled(pool)
    gone, patient = go(pool.enter(ask("a"))), go(pool.enter(ask("b")))
    await settle()
    gone.cancel()
    await settle()
    assert pool.waiting == 1
    again = go(pool.enter(ask("a")))  # the share of the one that left is free
    await settle()
    held.release()
    (await patient).release()
    (await again).release()
    assert (one.busy, pool.waiting) == (0, 0)


@in_virtual_time
async def test_a_place_that_comes_in_the_moment_of_leaving_goes_to_the_next() -> None:
    (one,) = up("one", places=1)
    pool = pool_of([one])
    (held,) = await filled(pool)
    gone, patient = go(pool.enter(ask("a"))), go(pool.enter(ask("b")))
    await settle()
    held.release()  # is handed to the first, who
    gone.cancel()  # leaves before he knows
    assert (await patient).instance is one
    assert gone.cancelled()
    assert one.busy == 1


@in_virtual_time
async def test_who_leaves_in_the_moment_of_a_refusal_has_left() -> None:
    one = Instance("embedded", supervised=True, clock=now)
    task = go(pool_of([one]).enter(ask()))
    await settle()
    one.set("down")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()


@in_virtual_time
async def test_when_all_come_back_there_is_no_herd() -> None:
    instances = up("one", "two", places=8, slow_start_s=10.0)
    pool = pool_of(instances, queue_timeout_s=60.0)
    for one in instances:
        one.set("down")
    most: dict[int, int] = {}

    async def visit(number: int) -> None:
        with await pool.enter(ask(f"visitor {number}")) as place:
            second = int(now()) - 20
            most[second] = max(most.get(second, 0), place.instance.busy)
            await asyncio.sleep(2)

    async with asyncio.TaskGroup() as group:
        for number in range(60):
            group.create_task(visit(number))
        await asyncio.sleep(20)
        for one in instances:
            one.set("up")
        await settle()
        assert [one.busy for one in instances] == [1, 1]
    for second, busy in most.items():
        assert busy <= 2 + (second + 1) * 7 / 10
    assert max(most.values()) > 4
    assert pool.stats.timed_out == 0


@in_virtual_time
async def test_at_the_first_start_and_after_a_mere_doubt_all_places_are_given() -> None:
    one = Instance("one", places=8, slow_start_s=10.0, clock=now, breaker=Breaker(clock=now))
    pool = pool_of([one])
    tasks = [go(pool.enter(ask(f"{number}"))) for number in range(8)]
    await asyncio.sleep(5)
    one.set("up")
    await settle()
    assert one.busy == 8
    one.suspect()
    assert (one.state, one.usable) == ("starting", False)
    for task in tasks:
        task.result().release()
    one.set("up")
    assert len(await filled(pool)) == 8


@in_virtual_time
async def test_one_that_is_added_beside_others_starts_slowly() -> None:
    pool = pool_of(up("one", places=4))
    await filled(pool)
    two = Instance("two", places=4, slow_start_s=3.0, clock=now)
    pool.add(two)
    two.set("up")
    counts = []
    for _ in range(4):
        counts.append(len(await filled(pool)))
        await asyncio.sleep(1.001)
    assert counts == [1, 1, 1, 1]


@in_virtual_time
async def test_places_that_grow_go_to_those_who_wait() -> None:
    (one,) = up("one", places=4, slow_start_s=3.0)
    pool = pool_of([one])
    one.set("down")
    times: list[float] = []

    async def visit(number: int) -> None:
        await pool.enter(ask(f"{number}"))
        times.append(now())

    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(visit(number))
        await settle()
        one.set("up")
    assert times == pytest.approx([0, 1, 2, 3], abs=0.02)


@in_virtual_time
async def test_an_answer_that_was_begun_goes_on_at_once_where_new_ones_come_slowly() -> None:
    (one,) = up("one", places=8, slow_start_s=7.0)
    pool = pool_of([one])
    one.set("down")
    for number in range(4):
        go(pool.enter(ask(f"{number}")))
    begun = [go(pool.enter(ask("reader", urgent=True))) for _ in range(5)]
    await settle()
    one.set("up")
    await settle()
    assert all(one.done() for one in begun)
    assert (one.busy, one.limit, pool.waiting) == (5, 1, 4)
    late = await pool.enter(ask("reader", urgent=True))
    assert (one.busy, pool.waiting) == (6, 4)
    late.release()
    await asyncio.sleep(4.1)
    assert (one.busy, pool.waiting) == (5, 4)  # as many as are given by now
    await asyncio.sleep(1)
    assert (one.busy, pool.waiting) == (6, 3)


@in_virtual_time
async def test_a_removed_instance_drains() -> None:
    one, two = up("one", "two", places=1)
    pool = pool_of([one, two])
    held = await filled(pool)
    mine = next(place for place in held if place.instance is one)
    waiting = go(pool.enter(ask()))
    await settle()
    pool.remove(one)
    assert one.draining
    mine.release()
    await settle()
    assert not waiting.done()
    next(place for place in held if place.instance is two).release()
    assert (await waiting).instance is two
    pool.remove(two)
    async with refused("model_unavailable", 503):
        await pool.enter(ask())
    pool.add(one)
    assert not one.draining
    assert (await pool.enter(ask())).instance is one


@in_virtual_time
async def test_what_failed_before_is_avoided_unless_nothing_else_is_up() -> None:
    one, two = up("one", "two", places=1)
    pool = pool_of([one, two])
    first = await pool.enter(ask(), avoid=[one])
    assert first.instance is two
    waiting = go(pool.enter(ask("a"), avoid=[one]))  # "two" is up, if full
    await settle()
    assert not waiting.done()
    async with refused("no_place", 429):
        await pool.enter(ask("b"), avoid=[one], wait=False)
    other = await pool.enter(ask("b"))  # who avoids nothing need not wait for who does
    assert other.instance is one
    other.release()
    two.set("down")
    assert (await waiting).instance is one
    async with refused("no_place", 429):
        await pool.enter(ask(), avoid=[one], wait=False)


@in_virtual_time
async def test_one_that_was_up_just_before_is_waited_for_before_one_that_failed() -> None:
    one, two = up("one", "two")
    pool = pool_of([one, two])
    two.set("down")
    waiting = go(pool.enter(ask(), avoid=[one]))
    await asyncio.sleep(3)
    assert not waiting.done()
    two.set("up")
    assert (await waiting).instance is two
    two.set("down")
    waiting = go(pool.enter(ask(), avoid=[one]))
    await asyncio.sleep(10)  # not for long
    assert (await waiting).instance is one
    assert (await pool.enter(ask(), avoid=[one])).instance is one  # nor for one that has long been away


@in_virtual_time
async def test_an_answer_that_was_cut_goes_first() -> None:
    pool = pool_of(up("one", places=1))
    (held,) = await filled(pool)
    begun, cut = go(pool.enter(ask("a"))), go(pool.enter(ask("b", urgent=True)))
    await settle()
    held.release()
    held = await cut
    assert not begun.done()
    held.release()
    await begun


@in_virtual_time
async def test_hours_of_sound_hold_half_of_the_places_at_most() -> None:
    (one,) = up("one", places=4)
    pool = pool_of([one])
    long = [await pool.enter(ask("a", 3_600.0)) for _ in range(2)]
    third = go(pool.enter(ask("b", 3_600.0)))
    await settle()
    short = [await pool.enter(ask("c", 30.0)) for _ in range(2)]
    assert (one.busy, third.done()) == (4, False)
    short[0].release()
    await settle()
    assert not third.done()
    long[0].release()
    assert (await third).instance is one


@in_virtual_time
async def test_after_failures_one_tries_and_the_others_follow_its_first_words() -> None:
    (one,) = up("one", places=8, slow_start_s=0.0)
    one.breaker = Breaker(3, 5.0, clock=now, chance=lambda: 0.0)
    pool = pool_of([one])
    for _ in range(3):
        one.failed("timeout")
    assert (one.state, one.stats.failed, one.stats.opened) == ("up", 3, 1)
    tasks = [go(pool.enter(ask(f"{number}"))) for number in range(6)]
    await asyncio.sleep(4.9)
    assert one.busy == 0
    await asyncio.sleep(0.2)
    assert one.busy == 1
    (trying,) = (task.result() for task in tasks if task.done())
    await asyncio.sleep(30)
    assert one.busy == 1
    trying.produced(1)
    assert one.busy == 6
    one.succeeded()
    assert (one.breaker.state, one.stats.succeeded) == ("closed", 1)


@in_virtual_time
async def test_a_try_whose_asker_leaves_makes_room_for_another() -> None:
    (one,) = up("one")
    pool = pool_of([one])
    one.failed(BROKE)
    assert (one.state, one.breaker.state) == ("starting", "open")
    one.breaker.probed()
    one.set("up")
    trying = await pool.enter(ask())
    other = go(pool.enter(ask()))
    await settle()
    assert not other.done()
    trying.release()
    assert (await other).instance is one


@in_virtual_time
async def test_a_busy_instance_rests_as_long_as_it_said() -> None:
    (one,) = up("one")
    pool = pool_of([one])
    one.rest(7.0)
    await pool.enter(ask())
    assert now() == pytest.approx(7.0, abs=0.02)


@in_virtual_time
async def test_who_waits_too_long_for_one_that_rests_hears_that_it_is_busy() -> None:
    (one,) = up("one")
    pool = pool_of([one], queue_timeout_s=2.0)
    one.rest(7.0)
    async with refused("queue_timeout", 429):
        await pool.enter(ask())


@in_virtual_time
async def test_two_models_of_one_engine_take_turns_at_its_places() -> None:
    (one,) = up("one", places=1)
    chat, speech = pool_of([one]), pool_of([one])
    (held,) = await filled(chat)
    served: list[str] = []

    async def visit(pool: Pool, kind: str) -> None:
        with await pool.enter(ask(kind)):
            served.append(kind)
            await asyncio.sleep(1)

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(visit(chat, "chat"))
            group.create_task(visit(speech, "speech"))
        await settle()
        held.release()
    assert all(first != second for first, second in pairwise(served))
    chat.remove(one)
    assert not one.draining


@in_virtual_time
async def test_a_server_that_lists_other_models_does_not_serve_this_one() -> None:
    one, two = up("one", "two")
    pool = pool_of([one], queue_timeout_s=1.0)
    pool.model = "tiny"
    assert pool.state == "up"  # it has not said what it serves
    one.cards = {"other": {}}
    assert (pool.state, pool.detail) == ("down", "The server at one does not know tiny.")
    async with refused("model_unavailable", 503) as errors:
        await pool.enter(ask())
    assert "does not know tiny" in errors[0].message
    two.cards = {"tiny": {}, "other": {}}
    pool.add(two)
    assert pool.state == "up"
    assert {(await pool.enter(ask())).instance for _ in range(2)} == {two}


@in_virtual_time
async def test_the_same_sound_goes_to_the_same_instance_while_others_are_idle() -> None:
    pool = pool_of(up("one", "two", "three", places=4))
    homes = Counter[str]()
    for _ in range(6):
        with await pool.enter(ask(affinity="clip")) as place:
            homes[place.instance.name] += 1
    assert list(homes.values()) == [6]


VISITS = st.lists(
    st.tuples(
        st.floats(0, 20),  # when it comes
        st.sampled_from("abc"),
        st.floats(0, 5),  # how long it takes
        st.one_of(st.none(), st.floats(0, 8)),  # when its asker leaves
        st.booleans(),  # urgent
        st.sampled_from([0.0, 400.0]),
    ),
    max_size=40,
)
TROUBLES = st.lists(
    st.tuples(
        st.floats(0, 20),
        st.integers(0, 1),
        st.sampled_from(["down", "up", "suspect", "slow", "broke", "rest", "whole"]),
    ),
    max_size=12,
)


@given(VISITS, TROUBLES)
@hypothesis_settings(deadline=None)
def test_whatever_happens_all_come_to_an_end_and_every_place_comes_back(
    visits: list[tuple[float, str, float, float | None, bool, float]],
    troubles: list[tuple[float, int, str]],
) -> None:
    async def scene() -> None:
        instances = up("one", "two", slow_start_s=2.0)
        pool = pool_of(instances, queue_timeout_s=6.0, queue_max=12, queue_per_visitor=6)
        ends = Counter[str]()

        async def visit(
            comes: float, owner: str, takes: float, leaves: float | None, urgent: bool, audio_s: float
        ) -> None:
            await asyncio.sleep(comes)
            try:
                async with asyncio.timeout(leaves):
                    with await pool.enter(ask(owner, audio_s, urgent=urgent)) as place:
                        assert place.instance.busy <= place.instance.places
                        assert now() - comes <= 6.0 + 1e-6
                        await asyncio.sleep(takes / 2)
                        place.produced(1)
                        await asyncio.sleep(takes / 2)
                        ends["answered"] += 1
            except (Busy, Unavailable, TimeoutError) as error:
                ends[type(error).__name__] += 1

        async def trouble(comes: float, which: int, what: str) -> None:
            await asyncio.sleep(comes)
            one = instances[which]
            deeds: dict[str, Callable[[], object]] = {
                "down": lambda: one.set("down"),
                "up": lambda: one.set("up"),
                "suspect": one.suspect,
                "slow": lambda: one.failed("slow"),
                "broke": lambda: one.failed(BROKE),
                "rest": lambda: one.rest(3.0),
                "whole": one.succeeded,
            }
            deeds[what]()

        async with asyncio.TaskGroup() as group:
            for one in visits:
                group.create_task(visit(*one))
            for deed in troubles:
                group.create_task(trouble(*deed))
        assert sum(ends.values()) == len(visits)
        assert pool.waiting == 0
        assert [(one.busy, one.long, one.outstanding) for one in instances] == [(0, 0, 0.0)] * 2
        await asyncio.sleep(200)  # whatever was broken has rested by now
        for one in instances:
            one.set("down")
            one.set("up")
        await asyncio.sleep(3)
        (await pool.enter(ask())).release()

    virtual_time.run(scene())


@pytest.mark.parametrize(("state", "code"), [("starting", "model_starting"), ("down", "model_unavailable")])
def test_where_nobody_may_wait_and_nothing_is_up_that_is_what_is_said(state: State, code: str) -> None:
    async def scene() -> None:
        (one,) = up("one", places=1)
        pool = pool_of([one], queue_max=0)
        one.set(state, "The engine at one cannot be reached.")
        async with refused(code, 503) as errors:
            await pool.enter(ask())
        assert errors[0].headers["Retry-After"] == "5"
        assert "Try again in a few seconds" in errors[0].message
        one.set("up")
        await filled(pool)
        async with refused("queue_full", 429):
            await pool.enter(ask())

    virtual_time.run(scene())


@in_virtual_time
async def test_a_model_that_cannot_answer_says_when_to_ask_again_and_what_else_to_do() -> None:
    one = Instance("embedded", supervised=True, clock=now)
    one.set("down", "The weights are missing.")
    async with refused("model_unavailable", 503) as errors:
        await pool_of([one]).enter(ask())
    said = "Tiny cannot answer now. The weights are missing. Try again in a few seconds,"
    assert errors[0].message == f"{said} or choose another model."
    assert errors[0].headers["Retry-After"] == "5"


@in_virtual_time
async def test_one_address_leaves_half_of_the_queue_to_others() -> None:
    pool = pool_of(up("one", places=1), queue_max=8)
    await filled(pool)
    tasks = [go(pool.enter(ask("anonymous-7"))) for _ in range(4)]
    await settle()
    async with refused("queue_yours_full", 429):
        await pool.enter(ask("anonymous-7"))
    tasks.append(go(pool.enter(ask("visitor-1"))))
    await settle()
    assert pool.waiting == 5
    for task in tasks:
        task.cancel()
