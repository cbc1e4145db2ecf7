"""The order of training: weights, epochs, and that any place of it is found by arithmetic."""

from __future__ import annotations

import pickle
import time
from collections import Counter

import numpy as np
import pytest

from training.data.order import Schedule, Walk, shuffled


@pytest.mark.parametrize("weights", [(0.7, 0.3), (1.0,), (0.5, 0.25, 0.05, 0.2), (1e-4, 1.0)])
def test_numbers_of_draws_are_those_of_counting(weights: tuple[float, ...]) -> None:
    schedule = Schedule(weights, global_batch=16, seed=3)
    counts: Counter[tuple[int, int]] = Counter()
    for place in range(16 * 200):
        draw = schedule.at(place)
        assert draw.stream == place % 16
        assert draw.number == counts[draw.source, draw.stream]
        counts[draw.source, draw.stream] += 1


def test_weights_hold_in_every_batch_and_in_every_stream() -> None:
    weights, batch, steps = (0.6, 0.3, 0.1), 40, 300
    schedule = Schedule(weights, batch, seed=1)
    drawn = np.array([schedule.at(place).source for place in range(batch * steps)]).reshape(steps, batch)
    for source, weight in enumerate(weights):
        in_batches = (drawn == source).sum(1)
        assert np.abs(in_batches - weight * batch).max() <= 1
        in_streams = (drawn == source).sum(0)
        assert np.abs(in_streams - weight * steps).max() <= 4


def test_neighbouring_slots_do_not_all_draw_from_one_source() -> None:
    schedule = Schedule((0.5, 0.5), 640, seed=0)
    for first in range(0, 640, 8):
        assert len({schedule.at(slot).source for slot in range(first, first + 8)}) == 2


@pytest.mark.parametrize(("rows", "streams"), [([64] * 10 + [3], 4), ([5], 8), ([64, 64, 1], 640), ([1], 3)])
def test_every_row_comes_once_an_epoch(rows: list[int], streams: int) -> None:
    walk, total = Walk(rows, streams, 32, (1, 2)), sum(rows)
    for epoch in range(3):
        places = [walk.at(q % streams, q // streams) for q in range(epoch * total, (epoch + 1) * total)]
        assert {place.epoch for place in places} == {epoch}
        assert {(place.group, place.row) for place in places} == {
            (group, row) for group, count in enumerate(rows) for row in range(count)
        }
        assert len(places) == total


def test_a_stream_stays_in_few_row_groups_at_a_time() -> None:
    walk = Walk([64] * 100, 4, 128, (0,))
    for first in range(0, 1536, 128):
        groups = {walk.at(2, number).group for number in range(first, first + 128)}
        assert len(groups) <= 3


def test_an_epoch_is_shuffled_and_differs_from_the_one_before() -> None:
    walk = Walk([64] * 20, 2, 256, (7,))
    first, second = (
        [(place.group, place.row) for place in (walk.at(0, number) for number in range(start, start + 640))]
        for start in (0, 640)
    )
    assert first != sorted(first)
    assert first != second


def test_62_million_rows_are_entered_in_the_middle_at_once() -> None:
    began = time.perf_counter()
    walk, schedule = Walk(np.full(970_000, 64), 640, 256, (0,)), Schedule((0.5, 0.3, 0.2), 640, 0)
    for place in range(100_000 * 640, 100_000 * 640 + 640):
        draw = schedule.at(place)
        walk.at(draw.stream, draw.number)
    assert time.perf_counter() - began < 3  # 0.25 s on an idle core


def test_a_walk_goes_to_a_worker_without_its_caches() -> None:
    walk = Walk([64] * 10, 4, 64, (1,))
    places = [walk.at(number % 4, number // 4) for number in range(100)]
    other = pickle.loads(pickle.dumps(walk))
    assert [other.at(number % 4, number // 4) for number in range(100)] == places


def test_shuffles_are_the_same_for_ever() -> None:
    assert shuffled(10, 1, 2).tolist() == [6, 2, 9, 1, 0, 5, 4, 3, 7, 8]
    assert sorted(shuffled(1000, 3).tolist()) == list(range(1000))
