"""Which instance each policy chooses, and what a request weighs."""

from __future__ import annotations

import random
from collections import Counter
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.instance import Instance, Place
from backend.policies import POLICIES, Affinity, LeastWork, PowerOfTwo, RoundRobin, load
from backend.settings import Settings
from backend.work import TOKEN_MS, Ask, Work

SOUNDS = [f"sound {number}" for number in range(2_000)]


def some(count: int, *weights: float) -> list[Instance]:
    given_weights = weights or (1.0,) * count
    return [Instance(f"10.0.0.{number}:8000", weight=weight) for number, weight in enumerate(given_weights)]


def asked(sound: str = "", tokens: int = 100) -> Ask:
    return Ask("a", Work(30.0, tokens), sound)


def homes(instances: list[Instance], bound: float = 1.25) -> dict[str, str]:
    policy = Affinity(bound)
    return {sound: policy.choose(instances, asked(sound)).name for sound in SOUNDS}


def test_what_a_request_weighs_follows_the_papers_table() -> None:
    # Table 1: the time to the first token, one at a time; a step of 9.9 ms alone, of 16.3 ms at 16 at once.
    for audio_s, ttft_ms in ((30, 85.8), (60, 126.4), (120, 214.5)):
        assert Work(audio_s).cost() == pytest.approx(ttft_ms, rel=0.02)
    assert 9.9 + Work(tokens=15).cost() - Work().cost() == pytest.approx(16.3)


def test_every_policy_of_the_settings_is_there() -> None:
    assert set(POLICIES) == set(get_args(Settings.model_fields["balance"].annotation))
    instances = some(3)
    for make in POLICIES.values():
        assert make(1.25).choose(instances, asked("x")) in instances


@given(st.permutations(some(5)), st.sampled_from(SOUNDS))
def test_a_sound_has_the_same_home_in_whatever_order_instances_are_listed(
    instances: list[Instance], sound: str
) -> None:
    by_name = sorted(instances, key=lambda one: one.name)
    policy = Affinity(1.25)
    assert policy.choose(instances, asked(sound)) is policy.choose(by_name, asked(sound))


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_a_new_instance_takes_its_share_and_nothing_else_moves(count: int) -> None:
    instances = some(count + 1)
    before, after = homes(instances[:-1]), homes(instances)
    moved = [sound for sound in SOUNDS if before[sound] != after[sound]]
    assert {after[sound] for sound in moved} == {instances[-1].name}
    assert len(moved) / len(SOUNDS) == pytest.approx(1 / (count + 1), abs=0.05)
    # ... and the same the other way round: when it goes, only its own sounds move.


def test_sounds_are_shared_out_by_weight() -> None:
    share = Counter(homes(some(3, 1.0, 1.0, 2.0), bound=1_000).values())
    assert [share[one.name] / len(SOUNDS) for one in some(3)] == pytest.approx([0.25, 0.25, 0.5], abs=0.05)


def test_a_lone_visitor_stays_where_the_sound_was_heard() -> None:
    instances, policy = some(8), Affinity(1.25)
    home = policy.choose(instances, asked("clip"))
    for _ in range(5):  # one question after another; others are idle all the time
        chosen = policy.choose(instances, asked("clip"))
        assert chosen is home
        chosen.take(asked("clip")).release()


def test_a_sound_that_all_ask_about_overflows_to_the_next_in_its_ranking() -> None:
    instances, policy = some(4), Affinity(1.25)
    chosen = []
    for _ in range(40):
        chosen.append(policy.choose(instances, asked("popular")))
        chosen[-1].take(asked("popular"))
    assert max(Counter(chosen).values()) <= 13  # a quarter more than ten each
    idle = some(4)
    for one in chosen[:3]:
        first = policy.choose(idle, asked("popular"))
        assert first.name == one.name
        idle.remove(first)


@given(
    st.lists(st.tuples(st.sampled_from(SOUNDS[:4]), st.integers(1, 500)), min_size=1, max_size=120),
    st.lists(st.sampled_from([0.5, 1.0, 3.0]), min_size=2, max_size=6),
    st.sampled_from([1.0, 1.25, 2.0]),
)
def test_no_load_exceeds_the_bound_by_more_than_one_request(
    requests: list[tuple[str, int]], weights: list[float], bound: float
) -> None:
    instances, policy = some(0, *weights), Affinity(bound)
    for sound, tokens in requests:
        ask = asked(sound, tokens)
        chosen = policy.choose(instances, ask)
        mean = (ask.work.cost() + sum(one.outstanding for one in instances)) / sum(weights)
        assert load(chosen) <= bound * mean
        chosen.take(ask)


def test_without_a_sound_the_least_loaded_is_chosen_and_idle_ones_take_turns() -> None:
    for policy in (Affinity(1.25), LeastWork()):
        instances = some(3)
        for _ in range(2):
            for one in instances:
                assert policy.choose(instances, asked()) is one
                one.take(asked()).release()
        instances[0].take(asked(tokens=500))
        instances[1].take(asked(tokens=10))
        instances[2].take(asked(tokens=20))
        assert policy.choose(instances, asked()) is instances[1]


def test_work_shrinks_as_words_come() -> None:
    one, ask = some(1)[0], asked(tokens=50)
    place: Place = one.take(ask)
    assert one.outstanding == ask.work.cost()
    place.produced(0)  # it was heard: what was before the words is done
    assert one.outstanding == pytest.approx(50 * TOKEN_MS)
    place.produced(20)
    assert one.outstanding == pytest.approx(30 * TOKEN_MS)
    place.produced(40)  # more than was said
    assert one.outstanding == pytest.approx(0)
    place.release()
    assert (one.outstanding, one.busy, one.stats.tokens) == (0, 0, 60)


def test_the_least_work_is_for_each_unit_of_weight() -> None:
    light, heavy = some(2, 1.0, 4.0)
    light.take(asked())
    for _ in range(3):
        assert LeastWork().choose([light, heavy], asked()) is heavy
        heavy.take(asked())


def test_of_two_drawn_by_lot_the_less_loaded_is_chosen() -> None:
    instances, policy = some(4), PowerOfTwo(random.Random(7))
    instances[2].take(asked())
    for _ in range(200):
        chosen = policy.choose(instances, asked())
        assert chosen is not instances[2]  # whoever is drawn with it has less to do
    assert policy.choose(instances[2:3], asked()) is instances[2]


def test_round_robin_gives_turns_by_weight() -> None:
    instances, policy = some(3, 1.0, 1.0, 2.0), RoundRobin()
    turns = Counter(policy.choose(instances, asked()).name for _ in range(400))
    assert [turns[one.name] for one in instances] == pytest.approx([100, 100, 200], abs=1)


def test_one_that_was_away_does_not_get_all_turns_that_it_missed() -> None:
    instances, policy = some(3), RoundRobin()
    for _ in range(100):
        policy.choose(instances[:2], asked())
    turns = [policy.choose(instances, asked()) for _ in range(6)]
    assert set(Counter(turns).values()) == {2}
