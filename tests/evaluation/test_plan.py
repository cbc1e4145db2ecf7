from __future__ import annotations

from typing import Any

import pytest

from evaluation import plan
from evaluation.registry import Dataset
from evaluation.systems import Price, System
from tests.evaluation.scripted import dataset as tiny

PRICE = Price(text_in=2.0, audio_in=40.0, out=10.0, audio_tokens_per_s=10)


def row(id: str = "api", **more: Any) -> System:
    return System(**{"id": id, "title": id, "kind": "chat", "base_url": "http://a/v1", "start": "s", **more})


def dataset(**more: Any) -> Dataset:
    return tiny(**{"n": 100, "hours": 0.5, "size_from": "the test", **more})


def line(system: System, data: Dataset, **how: Any) -> dict[str, Any]:
    rows = {each.id: each for each in how.pop("rows", [system])}
    first, _total = plan.lines([system], [data], rows, **how)
    return first


def test_clips_hours_tokens_and_dollars() -> None:
    found = line(row(price=PRICE), dataset())
    assert (found["clips"], found["hours"], found["requests"]) == (100, 0.5, 100)
    assert found["tokens_in"] == 100 * plan.INSTRUCTION_TOKENS + 1_800 * 10
    assert found["tokens_out"] == 1_800 * plan.SPEECH_TOKENS_PER_S
    assert found["dollars"] == pytest.approx((6_000 * 2 + 18_000 * 40 + 7_200 * 10) / 1e6, abs=0.005)
    assert found["judge_requests"] == 0


def test_our_own_servers_bill_nothing() -> None:
    assert line(row(), dataset())["dollars"] == 0.0


def test_long_speech_takes_more_requests_and_other_tasks_hear_less() -> None:
    long = dataset(n=10, hours=10.0)
    assert line(row(), long)["requests"] == 1_200  # pieces of 30 s
    priced = row(price=PRICE)
    heard = line(priced, dataset(n=10, hours=10.0, task="sqa"))
    assert heard["requests"] == 10
    assert heard["tokens_in"] == 10 * plan.INSTRUCTION_TOKENS + 10 * 30 * 10


def test_a_cascade_asks_two_endpoints() -> None:
    both = row(
        "both", kind="cascade", base_url="", asr="ears", text="mind", prompt="{transcript} {instruction}"
    )
    rows = [both, row("ears", kind="transcription"), row("mind")]
    assert line(both, dataset(task="sqa"), rows=rows)["requests"] == 200
    assert line(both, dataset(), rows=rows)["requests"] == 100


def test_the_judges_share_is_in_the_dollars() -> None:
    judged = dataset(task="sqa", metric="judge", scale=5)
    judge = row("judge", price=PRICE)
    found = line(row(), judged, judge=judge)
    assert found["judge_requests"] == 100
    assert found["judge_dollars"] == found["dollars"] > 0
    assert line(row(), judged)["judge_dollars"] == 0.0


def test_a_limit_shrinks_all_of_it() -> None:
    found = line(row(price=PRICE), dataset(), limit=10)
    assert (found["clips"], found["hours"], found["requests"]) == (10, 0.05, 10)


def test_what_a_corpus_does_not_tell_is_null_and_counted() -> None:
    unknown = tiny(n=7, size_from="the test")
    lines = plan.lines([row()], [unknown, dataset(id="other")], {})
    assert (lines[0]["clips"], lines[0]["hours"], lines[0]["requests"], lines[0]["dollars"]) == (
        7,
        None,
        None,
        None,
    )
    assert (lines[2]["total"], lines[2]["unknown"], lines[2]["clips"]) == (2, 1, 107)


def test_data_sets_of_the_same_answers_are_asked_about_once() -> None:
    found = line(row(price=PRICE), dataset(same_answers_as="mmau_mini"))
    assert (found["requests"], found["dollars"]) == (0, 0.0)
