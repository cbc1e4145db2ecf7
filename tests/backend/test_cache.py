"""Only finished answers that must always be the same are kept, each for whom it concerns."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.answer import Done, Token
from backend.cache import AnswerCache
from tests.backend.conftest import OTHER, VISITOR, Start, question, row, streamed, text_of
from tests.backend.fake_engine import FakeEngine, breaks_after, says
from tests.model import clips

PATH = "/v1/chat/completions"


def ask(client: httpx.Client, body: dict[str, Any], headers: dict[str, str] | None = None) -> str:
    """Ask and say what the cache did."""
    response = client.post(PATH, json=body, headers=headers)
    assert response.status_code == 200, response.text
    return response.headers["x-meralion-cache"]


def recording(seconds: float = 1.0) -> dict[str, Any]:
    data = base64.b64encode(clips.plain_wav(seconds)).decode()
    return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}


def test_the_same_greedy_question_is_answered_once_and_replayed_as_a_stream(
    client: httpx.Client, engine: FakeEngine
) -> None:
    engine.default = says("Hel", "lo", heard=["hm"])
    body = question("Hi?", recording(), temperature=0)
    assert ask(client, body) == "miss"
    assert ask(client, body) == "hit"
    events = streamed(client, body)
    assert text_of(events) == "Hello"
    assert sum("choices" in event and bool(event["choices"]) for event in events if event != "[DONE]") == 5
    assert any(event.get("meralion", {}).get("heard") == "hm" for event in events[:-1])
    timing = events[-2]["meralion"]["timing"]
    assert timing["cache"] == "hit"
    assert "asr_ms" not in timing
    assert len(engine.exchanges) == 1


@pytest.mark.parametrize(
    "other",
    [
        question("Ho?", recording(), temperature=0),
        question("Hi?", recording(1.5), temperature=0),
        question("Hi?", recording(), temperature=0, max_tokens=5),
        question("Hi?", recording(), temperature=0, stop=["x"]),
        question("Hi?", recording(), temperature=0, seed=1),
        question("Hi?", recording(), temperature=0.5, seed=1),
        question("Hi?", temperature=0),
    ],
)
def test_any_difference_is_a_miss(client: httpx.Client, other: dict[str, Any]) -> None:
    assert ask(client, question("Hi?", recording(), temperature=0)) == "miss"
    assert ask(client, other) == "miss"


def test_sampled_answers_are_never_kept_unless_seeded(client: httpx.Client) -> None:
    assert [ask(client, question(temperature=0.7)) for _ in range(2)] == ["bypass", "bypass"]
    assert [ask(client, question()) for _ in range(2)] == ["bypass", "bypass"]
    assert [ask(client, question(temperature=0.7, seed=3)) for _ in range(2)] == ["miss", "hit"]


def test_a_rows_own_temperature_counts(start: Start, engine: FakeEngine) -> None:
    client = start(row([engine.url], more="sampling = { temperature = 0.0 }\n"))
    assert [ask(client, question()) for _ in range(2)] == ["miss", "hit"]
    assert ask(client, question(temperature=0)) == "hit"
    assert ask(client, question(temperature=0.1)) == "bypass"


def test_a_caller_may_ask_afresh(client: httpx.Client, engine: FakeEngine) -> None:
    body = question(temperature=0)
    ask(client, body)
    assert ask(client, body, {"cache-control": "no-cache"}) == "bypass"
    assert len(engine.exchanges) == 2


def test_the_way_the_sound_came_does_not_matter(client: httpx.Client) -> None:
    file = client.post("/v1/files", files={"file": ("a.wav", clips.plain_wav())}).json()
    assert ask(client, question("Hi?", recording(), temperature=0)) == "miss"
    assert (
        ask(client, question("Hi?", {"type": "file", "file": {"file_id": file["id"]}}, temperature=0))
        == "hit"
    )


def test_a_visitors_own_clip_stays_with_the_visitor(client: httpx.Client) -> None:
    body = question("Hi?", recording(), temperature=0)
    assert ask(client, body, VISITOR) == "miss"
    assert ask(client, body, OTHER) == "miss"
    assert ask(client, body, {"x-meralion-visitor": "visitor-three-0123456"}) == "miss"
    assert ask(client, body, VISITOR) == "hit"


def test_a_sample_is_shared_by_all(start: Start, engine: FakeEngine, tmp_path: Path) -> None:
    sample = {"sha256": hashlib.sha256(clips.plain_wav()).hexdigest()}
    (tmp_path / "manifest.json").write_text(json.dumps({"version": 1, "samples": [sample]}))
    client = start(row([engine.url]))
    body = question("Hi?", recording(), temperature=0)
    assert ask(client, body, VISITOR) == "miss"
    assert ask(client, body, OTHER) == "hit"
    mixed = question("Hi?", recording(), recording(1.5), temperature=0)
    assert ask(client, mixed, VISITOR) == "miss"
    assert ask(client, mixed, OTHER) == "miss"


@pytest.mark.parametrize("fault", [breaks_after("Hel"), says("Hel", finish="content_filter")])
def test_unfinished_answers_are_not_kept(client: httpx.Client, engine: FakeEngine, fault: Any) -> None:
    body = question(temperature=0)
    engine.script = [fault]
    streamed(client, body)
    assert ask(client, body) == "miss"
    assert ask(client, body) == "hit"


def test_the_cache_is_bounded_in_bytes_and_forgets_the_least_recently_used() -> None:
    cache = AnswerCache(max_bytes=2_500, max_age_s=60)
    answer = (Token("x" * 300), Done("stop"))
    for key in ("a", "b"):
        cache.put(key, answer)
    assert cache.get("a")
    cache.put("c", answer)
    assert (bool(cache.get("a")), cache.get("b"), bool(cache.get("c"))) == (True, None, True)
    cache.put("too big", (Token("x" * 5_000), Done("stop")))
    assert cache.get("too big") is None
    assert cache.get("a")


def test_the_cache_grows_old() -> None:
    now = 0.0
    cache = AnswerCache(max_bytes=10_000, max_age_s=60, clock=lambda: now)
    cache.put("a", (Token("x"), Done("stop")))
    now = 59.0
    assert cache.get("a")
    now = 61.0
    assert cache.get("a") is None
