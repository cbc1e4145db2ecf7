"""The simulation of balancing: its trace, its engines, and that its figures are those of the policies."""

from __future__ import annotations

import random

import pytest

from backend.policies import POLICIES
from benchmarks import balance, event, virtual_time
from benchmarks.event import FILE, Request, read
from benchmarks.report import RESULTS

TRACE = read(FILE)
SMALL = balance.share(TRACE, 1 / 16)


def replayed(policy: str, trace: list[Request] = SMALL, count: int = 4) -> balance.Outcome:
    return virtual_time.run(balance.replay(trace, count, policy))


def test_the_trace_is_what_its_maker_makes() -> None:
    assert list(event.visits(random.Random(event.SEED))) == TRACE


def test_the_trace_has_the_shape_that_it_says() -> None:
    arrivals = [one.arrival_s for one in TRACE]
    assert arrivals == sorted(arrivals)
    first = {one.owner: one.arrival_s for one in reversed(TRACE)}
    crowd = sum(150 <= time < 210 for time in first.values())
    assert crowd / len(first) > 2 * 60 / event.LENGTH_S
    asked: dict[str, list[Request]] = {}
    for one in TRACE:
        asked.setdefault(one.clip, []).append(one)
        assert 0 < one.audio_s <= 180
        assert one.tokens > 0
    own = [requests for requests in asked.values() if len({one.owner for one in requests}) == 1]
    assert sum(len(requests) > 1 for requests in own) / len(own) > 0.8  # follow-up questions


def test_affinity_finds_sounds_again_and_costs_little_balance() -> None:
    affinity, least_work = replayed("affinity"), replayed("least_work")
    assert affinity.warm > least_work.warm + 0.1
    assert least_work.warm <= affinity.warm <= affinity.could_be_warm
    assert least_work.imbalance <= affinity.imbalance < 1.5


@pytest.mark.parametrize("policy", POLICIES)
def test_every_request_is_answered_and_a_second_run_is_the_same(policy: str) -> None:
    first = replayed(policy)
    assert len(first.first_word) == len(first.queued) == len(SMALL)
    assert min(first.queued) == 0 < min(first.first_word)
    assert first == replayed(policy)


def test_one_alone_waits_as_long_as_the_papers_table_says() -> None:
    alone = replayed("affinity", [Request(0.0, "v1", "clip", 30.0, 50)], 1)
    # Table 1: 85.8 ms to the first token of 30 s.
    assert alone.first_word == [pytest.approx(0.0858 * balance.SLOWER[0], rel=0.02)]
    assert (alone.queued, alone.warm) == ([0.0], 0.0)


def test_the_seventeenth_at_one_engine_waits_for_a_place() -> None:
    crowd = [Request(0.0, f"v{number}", f"clip {number}", 30.0, 50) for number in range(17)]
    outcome = replayed("affinity", crowd, 1)
    assert [wait > 0 for wait in outcome.queued].count(True) == 1


def test_a_token_takes_what_the_papers_table_says() -> None:
    assert [balance.itl_ms(count) for count in (1, 4, 8, 16)] == [9.9, 11.4, 13.0, 16.3]
    assert balance.itl_ms(12) == pytest.approx(14.65)


def test_the_committed_figures_name_their_command_and_every_policy() -> None:
    text = (RESULTS / "balance.md").read_text("utf-8")
    assert f"\n    {balance.COMMAND}\n" in text
    for policy in POLICIES:
        assert text.count(f"| `{policy}`") >= len(balance.INSTANCES)
