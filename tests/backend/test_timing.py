"""The figures of an answer: right, complete, and in headers that browsers read."""

from __future__ import annotations

import re
import time
from itertools import pairwise

import httpx
import pytest

from backend.answer import Done, Head, Heard, Queued, Token, Usage
from backend.job import Trip
from backend.timing import BYPASS, HIT, MISS, SHARED, Timing
from tests.backend.conftest import question, streamed

# Server-Timing's grammar: metrics of a token and its parameters, a token or quoted text each.
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_METRIC = rf'{_TOKEN}(?:;{_TOKEN}=(?:{_TOKEN}|"[^"\\]*"))*'
SERVER_TIMING = re.compile(rf"{_METRIC}(?:, {_METRIC})*")


def test_an_answer_is_clocked_from_its_first_byte_to_its_last() -> None:
    timing = Timing()
    timing.cache = MISS
    timing.trip = Trip(instance="a:1", queue_ms=2.5, attempts=2, resumed=1)
    timing.saw(Queued(1, 1))
    timing.saw(Heard("so"))
    assert timing.ttft_ms is None
    timing.saw(Token("one"))
    time.sleep(0.01)
    timing.saw(Token("two"), Token("three"))
    assert timing.total_ms is None
    timing.saw(Done("stop", Usage(7, 5), {"asr_ms": 12.0}))
    card = timing.card()
    assert timing.tokens == 5
    assert (card["cache"], card["instance"], card["queue_ms"], card["asr_ms"]) == (MISS, "a:1", 2.5, 12.0)
    assert (card["attempts"], card["resumed"], card["hedged"]) == (2, 1, 0)
    assert isinstance(card["itl_ms"], float)
    assert isinstance(card["tokens_per_s"], float)
    assert card["itl_ms"] * card["tokens_per_s"] == pytest.approx(1_000, rel=0.05)
    in_order = [timing.ttft_ms, timing.total_ms, timing.elapsed_ms]
    assert all(first is not None and first <= second for first, second in pairwise(in_order) if second)


def test_what_comes_at_once_is_no_pace() -> None:
    timing = Timing()
    timing.cache = SHARED
    timing.saw(*[Token("a")] * 50)  # a follower gets what has come so far
    assert timing.tokens_per_s is None
    time.sleep(0.01)
    timing.saw(Token("b"), Done("stop"))
    assert timing.tokens == 51
    assert timing.tokens_per_s is not None
    assert timing.tokens_per_s <= 100


def test_a_replay_has_no_speed_and_no_engine() -> None:
    timing = Timing()
    timing.cache = HIT
    timing.saw(Token("a"))
    time.sleep(0.001)
    timing.saw(Token("b"), Done("stop", Usage(1, 2), {"asr_ms": 12.0}))
    card = timing.card()
    assert (card["itl_ms"], card["tokens_per_s"], card["instance"]) == (None, None, "")
    assert "asr_ms" not in card
    assert "x-meralion-instance" not in timing.headers()


def test_a_reply_passed_through_has_its_first_and_last_byte() -> None:
    timing = Timing()
    timing.saw(Head("audio/mpeg"))
    assert timing.ttft_ms is None
    timing.saw(b"abc")
    timing.ended(Done("stop"))
    assert timing.ttft_ms is not None
    assert timing.total_ms is not None
    assert (timing.cache, timing.tokens) == (BYPASS, 0)


def test_the_header_is_one_that_browsers_read(client: httpx.Client) -> None:
    timing = Timing()
    timing.trip = Trip(instance="[::1]:8000/engine", queue_ms=1.0, attempts=3, resumed=1, hedged=1)
    timing.saw(Token("a"))
    time.sleep(0.001)
    timing.saw(Token("b"), Done("stop"))
    header = timing.headers()["Server-Timing"]
    assert SERVER_TIMING.fullmatch(header), header
    assert 'instance;desc="[::1]:8000/engine"' in header
    assert 'attempts;desc="3"' in header
    whole = client.post("/v1/chat/completions", json=question(temperature=0))
    assert SERVER_TIMING.fullmatch(whole.headers["server-timing"]), whole.headers["server-timing"]
    names = {figure.partition(";")[0] for figure in whole.headers["server-timing"].split(", ")}
    assert {"decode", "queue", "cache", "ttft", "total", "instance"} <= names
    assert whole.json()["meralion"]["timing"]["attempts"] >= 0


def test_the_last_chunk_carries_every_figure(client: httpx.Client) -> None:
    *_, last, _ = streamed(client, question(temperature=0))
    assert {
        "decode_ms",
        "queue_ms",
        "cache",
        "ttft_ms",
        "itl_ms",
        "tokens_per_s",
        "total_ms",
        "instance",
    } <= set(last["meralion"]["timing"])
    assert {"attempts", "resumed", "hedged"} <= set(last["meralion"]["timing"])
