"""An answer carried to its end through engines that fail: retried, resumed, raced."""

from __future__ import annotations

import asyncio
import dataclasses
from contextlib import aclosing
from typing import Any

import pytest

from backend.answer import Done, Head, Queued, Token, Usage
from backend.errors import Interrupted, InvalidRequest, Unavailable, UpstreamFailed
from backend.resume import Diverged
from backend.work import Ask, Work
from tests.backend.carried import JOB, Asked, Fleet, Read, end, words
from tests.backend.fake_engine import (
    Behaviour,
    FakeEngine,
    breaks_after,
    ends_after,
    recital,
    recites,
    refuses,
    says,
    sends,
    stalls_after,
)

QUESTION = "What is said?"
WHOLE = "".join(recital(QUESTION))


def first_to(fleet: Fleet, number: int = 0) -> None:
    """Make one instance the next to be asked: idle ones take turns."""
    fleet.instances[number].turn = min(instance.turn for instance in fleet.instances) - 1


def answered(fleet: Fleet, job: Asked, sent: list[Any] | None = None) -> list[Any]:
    async def main() -> list[Any]:
        async with fleet.line() as line:
            return await fleet.items(dataclasses.replace(job, line=line), sent)

    first_to(fleet)
    return asyncio.run(main())


SAMPLED = dataclasses.replace(JOB, key=None)
CONTINUED = dataclasses.replace(JOB, key=None, can_continue=True)


@pytest.mark.parametrize("job", [JOB, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize(
    "fault",
    [refuses(500), refuses(429), refuses(503), breaks_after(), ends_after(), sends(b"<html>")],
    ids=["500", "429", "503", "cut", "empty", "nonsense"],
)
def test_before_the_first_word_another_is_asked(
    engine: FakeEngine, second_engine: FakeEngine, fault: Behaviour, job: Asked
) -> None:
    engine.default, second_engine.default = fault, recites()
    fleet = Fleet(engine, second_engine)
    items = answered(fleet, job)
    assert (words(items), end(items).usage) == (WHOLE, Usage(7, 20))
    trip = fleet.trip
    assert (trip.instance, trip.attempts, trip.resumed, trip.hedged) == (second_engine.url, 2, 0, 0)


@pytest.mark.parametrize("by", [1, 3])
@pytest.mark.parametrize("at", [1, 10, 19])
def test_a_greedy_answer_that_is_cut_goes_on_elsewhere(
    engine: FakeEngine, second_engine: FakeEngine, at: int, by: int
) -> None:
    engine.default, second_engine.default = recites(fault_at=at), recites(by=by)
    fleet = Fleet(engine, second_engine)
    items = answered(fleet, JOB)
    assert words(items) == WHOLE
    assert (fleet.trip.attempts, fleet.trip.resumed) == (2, 1)
    assert fleet.trip.instance == second_engine.url
    assert fleet.instances[0].state == "starting"  # in doubt until a look has shown that it is there


def test_an_answer_survives_several_losses(engine: FakeEngine, second_engine: FakeEngine) -> None:
    third = FakeEngine("tiny")
    engine.default, second_engine.default = recites(fault_at=5), recites(fault_at=12)
    third.default = recites(gap_s=0.001)
    fleet = Fleet(engine, second_engine, third)
    fleet.instances[2].turn = 1  # the last to be asked
    try:
        assert words(answered(fleet, JOB)) == WHOLE
    finally:
        third.shut_down()
    assert (fleet.trip.attempts, fleet.trip.resumed) == (3, 2)


def test_a_sampled_answer_goes_on_from_its_text(engine: FakeEngine, second_engine: FakeEngine) -> None:
    engine.default, second_engine.default = recites(fault_at=10), recites()
    fleet = Fleet(engine, second_engine)
    items = answered(fleet, dataclasses.replace(CONTINUED, max_tokens=20))
    assert words(items) == WHOLE
    assert end(items) == Done("stop", Usage(0, 20))  # 7 less the ten that were begun elsewhere
    begun = second_engine.exchanges[0].json
    assert begun["messages"][-1] == {"role": "assistant", "content": "".join(recital(QUESTION)[:10]).strip()}
    assert begun["max_tokens"] == 10


def test_a_continued_answer_keeps_to_its_length(engine: FakeEngine, second_engine: FakeEngine) -> None:
    engine.default, second_engine.default = recites(fault_at=8), recites()
    items = answered(Fleet(engine, second_engine), dataclasses.replace(CONTINUED, max_tokens=12))
    assert words(items) == "".join(recital(QUESTION)[:12])
    assert end(items).finish_reason == "length"


def test_an_answer_that_lacks_only_its_end_is_not_asked_for_again(
    engine: FakeEngine, second_engine: FakeEngine
) -> None:
    engine.default = breaks_after("one ", "two ")
    items = answered(Fleet(engine, second_engine), dataclasses.replace(CONTINUED, max_tokens=2))
    assert (words(items), end(items).finish_reason) == ("one two ", "length")
    assert second_engine.exchanges == []


def test_a_sampled_answer_of_an_engine_that_cannot_go_on_says_what_to_do(
    engine: FakeEngine, second_engine: FakeEngine
) -> None:
    engine.default = recites(fault_at=10)
    with pytest.raises(Interrupted) as failure:
        answered(Fleet(engine, second_engine), SAMPLED)
    assert failure.value.code == "answer_interrupted"
    assert "What came so far is kept; asking again is safe." in failure.value.message
    assert second_engine.exchanges == []


def test_what_was_heard_is_no_word_yet(engine: FakeEngine, second_engine: FakeEngine) -> None:
    """A transcript is not drawn by chance: the sampled answer after it may begin anew."""
    heard = b'data: {"choices": [], "meralion": {"heard": "rice"}}\n\n'
    engine.default = sends(heard, end=False)
    second_engine.default = says("Chicken", heard=["ri", "ce"])
    items = answered(Fleet(engine, second_engine), SAMPLED)
    assert [getattr(item, "text", "") for item in items] == ["rice", "Chicken", ""]


def test_another_answer_is_not_joined_to_the_first(engine: FakeEngine, second_engine: FakeEngine) -> None:
    engine.default, second_engine.default = breaks_after("Hel", "lo"), says("Help", " me")
    with pytest.raises(Diverged):
        answered(Fleet(engine, second_engine), JOB)


def test_an_answer_that_is_rounded_otherwise_goes_on_from_its_text(
    engine: FakeEngine, second_engine: FakeEngine
) -> None:
    engine.default = breaks_after("Hel", "lo")
    second_engine.script = [says("Help", " me"), says(", world")]
    fleet = Fleet(engine, second_engine)
    assert words(answered(fleet, dataclasses.replace(JOB, can_continue=True))) == "Hello, world"
    assert second_engine.exchanges[1].json["messages"][-1]["content"] == "Hello"
    assert fleet.instances[1].breaker.state == "closed"  # it did nothing wrong


def test_what_another_controller_sent_counts_as_sent(engine: FakeEngine) -> None:
    engine.default = recites(by=3)
    fleet = Fleet(engine)
    sent = [Token(word) for word in recital(QUESTION)[:7]]
    assert words([*sent, *answered(fleet, JOB, sent)]) == WHOLE
    assert fleet.trip.resumed == 1


def test_attempts_are_bounded(engine: FakeEngine, second_engine: FakeEngine) -> None:
    engine.default = second_engine.default = refuses(500)
    fleet = Fleet(engine, second_engine, retries=3)
    with pytest.raises(UpstreamFailed) as failure:
        answered(fleet, JOB)
    assert failure.value.code == "upstream_failed"
    assert fleet.trip.attempts == len(engine.exchanges) + len(second_engine.exchanges) == 4
    assert [instance.stats.failed for instance in fleet.instances] == [2, 2]


def test_what_the_request_itself_does_wrong_is_told_once(
    engine: FakeEngine, second_engine: FakeEngine
) -> None:
    engine.default = refuses(400, "The conversation is too long.", "too_many_tokens")
    fleet = Fleet(engine, second_engine)
    with pytest.raises(InvalidRequest):
        answered(fleet, JOB)
    assert fleet.trip.attempts == 1
    assert fleet.instances[0].stats.failed == 0


def test_an_answer_that_is_too_large_says_so(engine: FakeEngine, second_engine: FakeEngine) -> None:
    engine.default = second_engine.default = recites(gap_s=0.01)
    fleet = Fleet(engine, second_engine, max_answer_bytes=1_000)
    with pytest.raises(UpstreamFailed) as failure:
        answered(fleet, JOB)
    assert (failure.value.code, fleet.trip.attempts) == ("answer_too_large", 1)


@pytest.mark.parametrize("job", [JOB, SAMPLED], ids=["greedy", "sampled"])
def test_a_hung_engine_is_left_for_another(engine: FakeEngine, second_engine: FakeEngine, job: Asked) -> None:
    engine.default, second_engine.default = stalls_after(), recites()
    fleet = Fleet(engine, second_engine)
    assert words(answered(fleet, job)) == WHOLE
    assert engine.exchanges[0].left.wait(5)
    assert (fleet.trip.instance, fleet.trip.attempts, fleet.trip.hedged) == (second_engine.url, 2, 1)
    assert (fleet.trip.resumed, fleet.instances[0].stats.slow) == (0, 1)


@pytest.mark.parametrize("job", [JOB, CONTINUED], ids=["greedy", "sampled"])
def test_an_engine_that_stalls_is_left_for_another(
    engine: FakeEngine, second_engine: FakeEngine, job: Asked
) -> None:
    engine.default, second_engine.default = recites(fault_at=10, fault="stall"), recites()
    fleet = Fleet(engine, second_engine)
    items = answered(fleet, job)
    assert words(items) == WHOLE
    assert engine.exchanges[0].left.wait(5)
    assert (fleet.trip.resumed, fleet.trip.hedged, fleet.instances[0].stats.slow) == (1, 1, 1)


def test_a_sampled_answer_that_cannot_go_on_elsewhere_is_waited_for(
    engine: FakeEngine, second_engine: FakeEngine
) -> None:
    engine.default = recites(fault_at=10, fault="stall")
    with pytest.raises(Interrupted):
        answered(Fleet(engine, second_engine, silence_timeout_s=0.6), SAMPLED)
    assert second_engine.exchanges == []


def test_the_first_of_two_goes_on_when_it_wakes_up(engine: FakeEngine, second_engine: FakeEngine) -> None:
    async def late(exchange: Any) -> None:
        await asyncio.sleep(0.5)
        await recites()(exchange)

    engine.default, second_engine.default = late, stalls_after()
    fleet = Fleet(engine, second_engine)
    assert words(answered(fleet, JOB)) == WHOLE
    assert second_engine.exchanges[0].left.wait(5)
    assert (fleet.trip.instance, fleet.trip.hedged, fleet.trip.resumed) == (engine.url, 1, 0)
    assert [instance.stats.failed for instance in fleet.instances] == [0, 0]


def test_when_the_slow_one_dies_the_second_goes_on(engine: FakeEngine, second_engine: FakeEngine) -> None:
    async def dies(exchange: Any) -> None:
        await asyncio.sleep(0.4)
        exchange.writer.transport.abort()

    async def late(exchange: Any) -> None:
        await asyncio.sleep(0.4)
        await recites()(exchange)

    engine.default, second_engine.default = dies, late
    fleet = Fleet(engine, second_engine)
    assert words(answered(fleet, JOB)) == WHOLE
    assert (fleet.trip.attempts, fleet.trip.hedged) == (2, 1)


def test_when_the_second_dies_the_slow_one_goes_on(engine: FakeEngine, second_engine: FakeEngine) -> None:
    async def late(exchange: Any) -> None:
        await asyncio.sleep(0.6)
        await recites()(exchange)

    engine.default, second_engine.default = late, breaks_after()
    fleet = Fleet(engine, second_engine)
    assert words(answered(fleet, JOB)) == WHOLE
    assert fleet.trip.instance == engine.url


def test_a_second_that_says_something_else_is_dropped(engine: FakeEngine, second_engine: FakeEngine) -> None:
    async def slow(exchange: Any) -> None:
        await exchange.head()
        await exchange.token("Hello")
        while not second_engine.exchanges:  # noqa: ASYNC110 - in another thread
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.3)
        await exchange.token(", world")
        await exchange.event({"choices": [{"delta": {}, "finish_reason": "stop"}]})
        await exchange.end()

    engine.default, second_engine.default = slow, says("Help", " me")
    fleet = Fleet(engine, second_engine)
    assert words(answered(fleet, JOB)) == "Hello, world"
    assert len(second_engine.exchanges) == 1


def test_with_one_instance_only_the_hard_limits_count(engine: FakeEngine) -> None:
    engine.default = stalls_after()
    fleet = Fleet(engine, first_byte_timeout_s=0.6)
    with pytest.raises(UpstreamFailed) as failure:
        answered(fleet, JOB)
    assert (failure.value.code, fleet.trip.attempts) == ("upstream_timeout", 1)


@pytest.mark.parametrize("busy", [[1, 2], [1, 1]], ids=["fuller", "as full"])
def test_an_engine_that_is_slow_under_its_own_load_is_not_left_for_a_busy_one(
    engine: FakeEngine, second_engine: FakeEngine, busy: list[int]
) -> None:
    """It brings words to others, so it is not stuck, and the second would be no quicker."""
    engine.default = second_engine.default = recites(gap_s=0.05)
    fleet = Fleet(engine, second_engine, hedge_first_s=0.6, hedge_silence_s=0.6)

    async def late(exchange: Any) -> None:
        await asyncio.sleep(0.8)  # not long: twice the patience is 1.2
        await recites()(exchange)

    async def main() -> None:
        async with fleet.line() as line:
            job = dataclasses.replace(JOB, line=line)
            others = []
            for at, count in enumerate(busy):
                for _ in range(count):
                    fleet.instances[1 - at].places = 0
                    others.append(asyncio.create_task(fleet.items(job)))
                    await asyncio.sleep(0.01)
                    fleet.instances[1 - at].places = 16
            while not (engine.exchanges and second_engine.exchanges):  # noqa: ASYNC110 - in other threads
                await asyncio.sleep(0.01)
            engine.default = late
            fleet.instances[1].places = 0
            slow = asyncio.create_task(fleet.items(job))
            await asyncio.sleep(0.01)
            fleet.instances[1].places = 16
            assert words(await slow) == WHOLE
            await asyncio.gather(*others)

    asyncio.run(main())
    assert fleet.trip.hedged == 0
    assert [instance.stats.failed for instance in fleet.instances] == [0, 0]


def test_one_that_answers_others_and_forgot_this_is_left_for_a_busier_one(
    engine: FakeEngine, second_engine: FakeEngine
) -> None:
    engine.default, second_engine.default = stalls_after(), recites()
    fleet = Fleet(engine, second_engine)

    async def main() -> None:
        async def others() -> None:
            while True:
                fleet.instances[0].note_life()
                await asyncio.sleep(0.02)

        async with fleet.line() as line:
            fleet.instances[1].busy += 3
            living = asyncio.create_task(others())
            try:
                assert words(await fleet.items(dataclasses.replace(JOB, line=line))) == WHOLE
            finally:
                living.cancel()
                await asyncio.wait({living})
                fleet.instances[1].busy -= 3

    asyncio.run(main())
    assert (fleet.trip.instance, fleet.trip.hedged) == (second_engine.url, 1)


def test_those_that_failed_are_asked_again_while_the_slow_one_hangs(
    engine: FakeEngine, second_engine: FakeEngine
) -> None:
    engine.default = stalls_after()
    second_engine.script, second_engine.default = [refuses(500)] * 2, recites()
    fleet = Fleet(engine, second_engine)
    assert words(answered(fleet, JOB)) == WHOLE
    assert (fleet.trip.instance, fleet.trip.hedged) == (second_engine.url, 3)


def test_a_second_that_hangs_as_well_does_not_keep_a_third_away(
    engine: FakeEngine, second_engine: FakeEngine
) -> None:
    engine.default = stalls_after()
    second_engine.script, second_engine.default = [stalls_after()], recites()
    fleet = Fleet(engine, second_engine, first_byte_timeout_s=60.0)
    assert words(answered(fleet, JOB)) == WHOLE
    assert (fleet.trip.instance, fleet.trip.hedged) == (second_engine.url, 2)


def test_who_waits_is_told_the_place_in_the_queue(engine: FakeEngine) -> None:
    engine.default = recites(gap_s=0.02)
    fleet = Fleet(engine)
    fleet.instances[0].places = 1

    async def main() -> list[Any]:
        async with fleet.line() as line:
            job = dataclasses.replace(JOB, line=line)
            first = asyncio.create_task(fleet.items(job))
            await asyncio.sleep(0)
            async with aclosing(fleet.carry(job)) as batches:
                seen = [batch async for batch in batches]
            await first
            return seen

    seen = asyncio.run(main())
    assert seen[0] == [Queued(1, 1)]
    assert words([item for batch in seen for item in batch]) == WHOLE
    assert fleet.trip.queue_ms > 0


def test_where_no_engine_is_up_the_error_depends_on_what_was_sent(engine: FakeEngine) -> None:
    fleet = Fleet(engine, queue_timeout_s=0.1)
    fleet.instances[0].set("down", "It is gone.")
    with pytest.raises(Unavailable):
        answered(fleet, JOB)
    with pytest.raises(Interrupted):
        answered(fleet, JOB, [Token("Hello")])


def test_bytes_go_on_elsewhere(engine: FakeEngine, second_engine: FakeEngine) -> None:
    """A reply that is passed through, such as speech: nothing comes twice, and nothing is missing."""
    wave = bytes(range(256)) * 8
    engine.default = sends(wave[:700], wave[700:900], content_type="audio/wav", end=False)
    second_engine.default = sends(wave[:800], wave[800:], content_type="audio/wav")
    items = answered(Fleet(engine, second_engine), Read(None))  # type: ignore[arg-type]
    assert items[0] == Head("audio/wav")
    assert b"".join(items[1:]) == wave


def test_long_recordings_are_given_time(engine: FakeEngine, second_engine: FakeEngine) -> None:
    """A minute of sound takes longer to hear than `hedge_first_s`: it is not heard twice for that."""

    async def late(exchange: Any) -> None:
        await asyncio.sleep(0.5)
        await recites()(exchange)

    engine.default = late
    fleet = Fleet(engine, second_engine)
    job = dataclasses.replace(JOB, ask=Ask("someone", Work(audio_s=60.0, tokens=20)))
    assert words(answered(fleet, job)) == WHOLE
    assert (fleet.trip.hedged, second_engine.exchanges) == (0, [])
