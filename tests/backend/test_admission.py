"""The fair queue: turns for visitors, bounds, positions; and the estimate of how long it takes."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.admission import FairQueue, Pace, Turns
from backend.errors import Busy
from benchmarks import virtual_time

OWNERS = st.sampled_from("abcd")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), OWNERS),
        st.tuples(st.just("urgent"), OWNERS),
        st.tuples(st.just("pop"), st.just("")),
        st.tuples(st.just("leave"), st.integers(0, 50)),
    ),
    max_size=60,
)
Item = tuple[str, int]


def anything(item: object) -> bool:
    return True


@given(STEPS)
def test_everyone_comes_out_once_in_the_order_that_was_told(steps: list[tuple[str, str | int]]) -> None:
    queue: FairQueue[Item] = FairQueue(1_000, 1_000)
    inside: dict[Item, bool] = {}
    for number, (step, who) in enumerate(steps):
        order = list(queue)
        assert len(order) == len(queue) == len(inside)
        assert set(order) == set(inside)
        if step in ("push", "urgent"):
            item = (str(who), number)
            inside[item] = step == "urgent"
            position = queue.push(item, item[0], urgent=step == "urgent")
            assert list(queue)[position - 1] == item
        elif step == "pop":
            assert queue.pop(anything) == (order[0] if order else None)
            if order:
                del inside[order[0]]
        elif order:
            item = order[int(who) % len(order)]
            queue.discard(item, item[0])
            queue.discard(item, item[0])  # once more does nothing
            del inside[item]
    left = list(queue)
    assert [queue.pop(anything) for _ in left] == left
    assert (len(queue), queue.owners, queue.pop(anything)) == (0, 0, None)


@given(st.lists(st.tuples(OWNERS, st.booleans()), max_size=80))
def test_nobody_is_served_twice_while_another_waits(steps: list[tuple[str, bool]]) -> None:
    queue: FairQueue[Item] = FairQueue(1_000, 1_000)
    waiting: Counter[str] = Counter()
    served: dict[str, Counter[str]] = {}  # by who waits, how often others came before
    for number, (owner, comes) in enumerate(steps):
        if comes:
            queue.push((owner, number), owner)
            if not waiting[owner]:
                served[owner] = Counter()
            waiting[owner] += 1
        elif item := queue.pop(anything):
            first = item[0]
            waiting[first] -= 1
            served[first] = Counter()
            for other in (one for one, count in waiting.items() if count and one != first):
                served[other][first] += 1
                assert served[other][first] <= 1


def test_the_urgent_come_first_and_in_order() -> None:
    queue: FairQueue[str] = FairQueue(2, 1)
    queue.push("mine", "a")
    assert queue.push("cut", "a", urgent=True) == 1
    assert queue.push("cut too", "b", urgent=True) == 2
    assert [queue.pop(anything) for _ in range(3)] == ["cut", "cut too", "mine"]


def test_who_does_not_fit_keeps_the_turn() -> None:
    queue: FairQueue[str] = FairQueue(9, 9)
    for name in ("a1", "a2", "b1"):
        queue.push(name, name[0])
    assert queue.pop(lambda name: name == "b1") == "b1"
    assert queue.pop(lambda name: name != "a1") == "a2"
    assert queue.pop(anything) == "a1"


def test_the_queue_and_each_visitors_part_of_it_are_bounded() -> None:
    queue: FairQueue[int] = FairQueue(6, 2)
    for number in range(2):
        assert queue.full("a") == ""
        queue.push(number, "a")
    assert (queue.full("a"), queue.full("b")) == ("mine", "")
    for number in range(2, 5):
        assert queue.full("anonymous-1") == ""
        queue.push(number, "anonymous-1")
    assert (queue.full("anonymous-1"), queue.full("anonymous-2"), queue.full("b")) == ("mine", "", "")
    queue.push(5, "anonymous-2")
    assert {queue.full(owner) for owner in ("a", "b", "anonymous-1")} == {"all"}
    queue.push(7, "a", urgent=True)
    assert queue.pop(anything) == 7
    assert queue.full("b") == "all"
    queue.discard(0, "a")
    assert queue.full("b") == ""


def test_a_queue_of_none_is_full() -> None:
    assert FairQueue[int](0, 1).full("a") == "all"


def test_the_wait_is_told_from_the_pace_of_answers() -> None:
    now = 0.0
    pace = Pace(lambda: now)
    assert pace.wait_s(3) == 5
    for second in range(11):
        now = float(2 * second)
        pace.answered()
    now = 22.0
    assert [pace.wait_s(ahead) for ahead in (0, 1, 7, 1_000)] == [1, 2, 14, 60]
    now = 500.0
    assert pace.wait_s(7) == 5


async def _settle() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def test_at_the_decoder_another_waits_for_one_of_twenty() -> None:
    turns, ended = Turns(1, 64, 32, 60.0), list[str]()

    async def read(owner: str) -> None:
        async with turns.turn(owner):
            await asyncio.sleep(1)
            ended.append(owner)

    async def scene() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(read("greedy"))
            await _settle()
            group.create_task(read("modest"))

    virtual_time.run(scene())
    assert (ended.index("modest"), len(ended)) == (2, 21)


def test_who_waits_for_the_decoder_is_bounded_in_number_and_time() -> None:
    turns, ended = Turns(1, 4, 3, 5.0), Counter[str]()

    async def read(owner: str, seconds: float) -> None:
        try:
            async with turns.turn(owner):
                await asyncio.sleep(seconds)
            ended[owner] += 1
        except Busy as busy:
            assert busy.code == "decoder_busy"
            assert 1 <= int(busy.headers["Retry-After"]) <= 60
            ended[f"{owner}: {busy.message.partition(' are')[0]}"] += 1

    async def scene() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(read("slow", 10))
            await _settle()
            for owner in ("anonymous-1", "anonymous-1", "anonymous-1", "a", "a", "b"):
                group.create_task(read(owner, 0))
        async with turns.turn("b"):
            pass

    virtual_time.run(scene())
    assert ended == {
        "slow": 1,
        "anonymous-1: Several of your recordings": 1,
        "b: Too many recordings": 1,
        "anonymous-1: Too many recordings": 2,  # in vain, five seconds long
        "a: Too many recordings": 2,
    }


@pytest.mark.parametrize("moment", ["while it waits", "as its turn comes", "in its turn"])
def test_who_leaves_the_decoder_leaves_the_turn_to_the_next(moment: str) -> None:
    turns, ended = Turns(1, 4, 4, 60.0), list[str]()

    async def read(owner: str, seconds: float) -> None:
        async with turns.turn(owner):
            await asyncio.sleep(seconds)
            ended.append(owner)

    async def scene() -> None:
        async with turns.turn("a"):
            gone, following = (asyncio.create_task(read(owner, 1)) for owner in "bc")
            await _settle()
            if moment == "while it waits":
                gone.cancel()
                await _settle()
        if moment == "in its turn":
            await _settle()
        gone.cancel()
        await following
        async with asyncio.timeout(1):
            await read("d", 0)

    virtual_time.run(scene())
    assert ended == ["c", "d"]
