"""The breaker's states, by a clock of our own."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.breaker import BROKE, Breaker
from backend.slow_start import SlowStart


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(3, 5.0, clock=clock, chance=lambda: 0.0)


def opened(breaker: Breaker) -> Breaker:
    for _ in range(3):
        breaker.failed("timeout")
    assert breaker.state == "open"
    return breaker


def test_failures_in_a_row_open_it_and_an_answer_between_them_does_not(breaker: Breaker) -> None:
    assert [breaker.failed("timeout") for _ in range(2)] == [False, False]
    breaker.succeeded()
    assert [breaker.failed("slow") for _ in range(3)] == [False, False, True]
    assert (breaker.state, breaker.lets_through) == ("open", False)


def test_a_broken_connection_opens_it_at_once(breaker: Breaker) -> None:
    assert breaker.failed(BROKE)
    assert breaker.state == "open"


def test_it_lets_one_try_at_a_time_until_words_come(breaker: Breaker, clock: Clock) -> None:
    opened(breaker)
    assert breaker.wait_s() == 5.0
    clock.now += 5.0
    assert (breaker.state, breaker.lets_through, breaker.wait_s()) == ("half_open", True, 0.0)
    assert breaker.begin()
    assert (breaker.lets_through, breaker.wait_s()) == (False, math.inf)
    breaker.end()  # the asker left: nothing was shown, and another may try
    assert breaker.lets_through
    assert breaker.begin()
    assert breaker.answering()
    assert (breaker.state, breaker.lets_through) == ("closed", True)
    assert not breaker.begin()


def test_every_try_that_fails_doubles_the_time_up_to_a_minute(breaker: Breaker, clock: Clock) -> None:
    opened(breaker)
    lengths = []
    for _ in range(2_000):  # far beyond what a float could double
        lengths.append(breaker.wait_s())
        clock.now += breaker.wait_s()
        breaker.begin()
        breaker.failed("timeout")
        breaker.end()
    assert lengths[:6] == pytest.approx([5, 10, 20, 40, 60, 60])
    assert max(lengths) == pytest.approx(60)
    clock.now += 60
    breaker.succeeded()
    opened(breaker)
    assert breaker.wait_s() == pytest.approx(5)


def test_one_that_begins_answers_and_breaks_them_is_rested_ever_longer(
    breaker: Breaker, clock: Clock
) -> None:
    lengths = []
    for _ in range(4):
        breaker.failed(BROKE)
        lengths.append(breaker.wait_s())
        clock.now += breaker.wait_s()
        breaker.begin()
        assert breaker.answering()
        breaker.end()
    assert lengths == pytest.approx([5, 10, 20, 40])


def test_a_first_broken_connection_is_forgiven_when_a_look_finds_the_instance(breaker: Breaker) -> None:
    breaker.failed(BROKE)
    breaker.probed()
    assert breaker.state == "half_open"
    assert breaker.begin()
    assert not breaker.answering()  # it was not away: no slow start
    breaker.failed(BROKE)
    breaker.probed()
    assert breaker.state == "open"


def test_requests_from_before_it_opened_do_not_fail_the_try(breaker: Breaker, clock: Clock) -> None:
    for _ in range(16):  # all that were under way break together
        breaker.failed(BROKE)
    assert breaker.wait_s() == 5.0
    breaker.probed()
    assert not breaker.failed(BROKE)  # a late one
    assert breaker.lets_through


def test_other_failures_are_not_forgiven_by_a_look(breaker: Breaker) -> None:
    opened(breaker).probed()
    assert breaker.state == "open"


def test_an_old_answer_that_ends_well_does_not_close_it(breaker: Breaker) -> None:
    opened(breaker).succeeded()
    assert breaker.state == "open"


def test_an_instance_that_asks_for_rest_gets_it_without_a_failure(breaker: Breaker, clock: Clock) -> None:
    breaker.rest(2.0)
    breaker.rest(1.0)
    assert (breaker.state, breaker.lets_through, breaker.wait_s()) == ("closed", False, 2.0)
    clock.now += 2.0
    assert breaker.lets_through
    breaker.rest(86_400.0)
    assert breaker.wait_s() == 30.0


@given(st.floats(0, 1, exclude_max=True))
def test_jitter_only_lengthens_and_by_a_quarter_at_most(chance: float) -> None:
    breaker = Breaker(1, 4.0, clock=lambda: 0.0, chance=lambda: chance)
    breaker.failed("timeout")
    assert 4.0 <= breaker.wait_s() <= 5.0


@given(st.integers(1, 64), st.sampled_from([0.0, 0.3, 10.0, 100.0]), st.lists(st.floats(0, 20), max_size=20))
def test_slow_start_grows_from_one_to_all_and_says_when(
    places: int, over_s: float, steps: list[float]
) -> None:
    clock = Clock()
    start = SlowStart(over_s, clock)
    assert (start.limit(places), start.wait_s(places)) == (places, math.inf)
    start.begin()
    before = start.limit(places)
    assert before == (1 if over_s else places)
    for step in steps:
        wait = start.wait_s(places)
        assert (wait == math.inf) == (before == places)
        clock.now += step if step <= wait else wait + 1e-6
        assert before <= start.limit(places) <= places
        if step > wait:
            assert start.limit(places) > before
        before = start.limit(places)
    clock.now += over_s + 1e-6
    assert start.limit(places) == places
