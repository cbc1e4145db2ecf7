"""6. One visitor never gets at what is another's: by id, hash, a kept answer, its haste or in the queue."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.request import ChatRequest
from tests.backend.asking import Asker, stops_midway, until
from tests.backend.conftest import OTHER, VISITOR, Start, error_of, question, row, streamed, text_of
from tests.backend.fake_engine import FakeEngine, says
from tests.backend.redis_server import redis_server
from tests.backend.test_identity import SECRET, token
from tests.model import clips

CHAT = "/v1/chat/completions"
WAV = clips.plain_wav(1.2)
INLINE = {"type": "input_audio", "input_audio": {"data": base64.b64encode(WAV).decode(), "format": "wav"}}
KEY = {"authorization": "Bearer the-key-of-somebody-who-asks-here-too"}
OTHER_KEY = {"authorization": "Bearer the-key-of-somebody-else-who-does-too"}
NOBODY: dict[str, str] = {}


@pytest.fixture
def house(client: httpx.Client) -> Iterator[httpx.Client]:
    """A client that says who it is with each request alone."""
    with httpx.Client(base_url=client.base_url, timeout=30, trust_env=False) as bare:
        yield bare


def uploaded(house: httpx.Client, headers: dict[str, str]) -> dict[str, Any]:
    card: dict[str, Any] = house.post("/v1/files", files={"file": ("a.wav", WAV)}, headers=headers).json()
    return card


def by_id(identifier: str) -> dict[str, Any]:
    return {"type": "file", "file": {"file_id": identifier}}


@pytest.mark.parametrize("stranger", [OTHER, KEY, NOBODY], ids=["visitor", "key", "nobody"])
def test_6_a_clip_is_not_had_by_its_id_nor_by_its_hash(
    house: httpx.Client, engine: FakeEngine, stranger: dict[str, str]
) -> None:
    card = uploaded(house, VISITOR)
    uploaded(house, stranger)  # the same sound, so that the bytes are held for both
    for name in (card["id"], card["meralion"]["sha256_pcm"], hashlib.sha256(WAV).hexdigest()):
        asked = house.post(CHAT, json=question("What?", by_id(name)), headers=stranger)
        assert error_of(asked, 404)["code"] == "file_not_found"
        for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
            refused = house.request(method, f"/v1/files/{name}{path}", headers=stranger)
            assert error_of(refused, 404)["code"] == "file_not_found"
    assert house.get(f"/v1/files/{card['id']}", headers=VISITOR).status_code == 200
    assert engine.exchanges == []


@pytest.mark.parametrize(
    ("owner", "stranger"),
    [(VISITOR, OTHER), (VISITOR, KEY), (KEY, OTHER_KEY), (KEY, NOBODY), (NOBODY, VISITOR)],
    ids=["visitors", "visitor and key", "keys", "key and nobody", "nobody and visitor"],
)
def test_6_a_kept_answer_is_for_whom_it_was_made(
    house: httpx.Client, engine: FakeEngine, owner: dict[str, str], stranger: dict[str, str]
) -> None:
    """Nor does time tell: the stranger's request goes to an engine, as if nobody had asked before."""
    body = question("What is private?", INLINE, temperature=0)
    engine.default = says("of the first")
    assert house.post(CHAT, json=body, headers=owner).headers["x-meralion-cache"] == "miss"
    assert house.post(CHAT, json=body, headers=owner).headers["x-meralion-cache"] == "hit"
    assert len(engine.exchanges) == 1
    engine.default = says("of the second")
    other = house.post(CHAT, json=body, headers=stranger)
    assert other.headers["x-meralion-cache"] == "miss"
    assert other.json()["choices"][0]["message"]["content"] == "of the second"
    assert len(engine.exchanges) == 2
    assert text_of(streamed(house, body, headers=owner)) == "of the first"


def test_6_an_answer_without_a_clip_is_private_too(house: httpx.Client, engine: FakeEngine) -> None:
    body = question("What did I say about my boss?", seed=1)
    for headers in (VISITOR, OTHER, KEY, NOBODY):
        assert house.post(CHAT, json=body, headers=headers).headers["x-meralion-cache"] == "miss"
    assert len(engine.exchanges) == 4


def test_6_only_the_demo_s_own_samples_are_everybody_s(
    start: Start, engine: FakeEngine, tmp_path: Path
) -> None:
    manifest = {"samples": [{"sha256": hashlib.sha256(WAV).hexdigest()}]}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    client = start(row([engine.url]))
    body = question("What is it?", INLINE, temperature=0)
    assert client.post(CHAT, json=body, headers=VISITOR).headers["x-meralion-cache"] == "miss"
    assert client.post(CHAT, json=body, headers=OTHER).headers["x-meralion-cache"] == "hit"
    renamed = {**INLINE, "input_audio": {"data": base64.b64encode(WAV + b"\0\0").decode(), "format": "wav"}}
    mixed = question("What is it?", INLINE, renamed, temperature=0)  # one of the two is not a sample
    assert client.post(CHAT, json=mixed, headers=VISITOR).headers["x-meralion-cache"] == "miss"
    assert client.post(CHAT, json=mixed, headers=OTHER).headers["x-meralion-cache"] == "miss"


def test_6_no_visitor_s_name_or_key_is_in_what_is_kept(
    house: httpx.Client, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[str] = []
    key = ChatRequest.key

    def noted(request: ChatRequest) -> Any:
        kept.append(f"{request.owner} {key(request)}")
        return key(request)

    monkeypatch.setattr(ChatRequest, "key", noted)
    for headers in (VISITOR, KEY):
        house.post(CHAT, json=question("What?", temperature=0), headers=headers)
    assert kept
    for secret in (VISITOR["x-meralion-visitor"], KEY["authorization"].split()[1]):
        assert secret not in " ".join(kept)
        assert all(
            secret not in str(exchange.headers) + exchange.body.decode() for exchange in engine.exchanges
        )


PRIVATE = question("What is private?", INLINE, temperature=0)


@pytest.fixture(params=["one controller", "two that share a Redis"])
def pair(
    request: pytest.FixtureRequest, start: Start, engine: FakeEngine
) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """Where the owner asks, and where the stranger does; who asks is said with each request alone."""
    with contextlib.ExitStack() as stack:
        if request.param == "one controller":
            here = there = start(row([engine.url]))
        else:
            url = stack.enter_context(redis_server()).secret_url
            here, there = (start(row([engine.url]), redis_url=url, cache_store="redis") for _ in range(2))
        for client in {here, there}:
            del client.headers["x-meralion-visitor"]
        yield here, there


def test_6_nobody_joins_an_answer_on_its_way_to_another(
    pair: tuple[httpx.Client, httpx.Client], engine: FakeEngine
) -> None:
    here, there = pair
    go_on = threading.Event()
    engine.script = [stops_midway([word, "end"], go_on) for word in ("first's ", "second's ")]
    owner = Asker(here, PRIVATE, VISITOR)
    until(lambda: owner.text == "first's ")
    stranger = Asker(there, PRIVATE, OTHER)
    until(lambda: stranger.text == "second's ")
    mine = Asker(there, PRIVATE, VISITOR)
    until(lambda: mine.text == "first's ")
    assert len(engine.exchanges) == 2
    go_on.set()
    assert [one.told() for one in (owner, stranger, mine)] == ["first's end", "second's end", "first's end"]
    assert [one.cache for one in (owner, stranger, mine)] == ["miss", "miss", "shared"]


def test_6_the_time_that_an_answer_takes_tells_nobody_that_it_is_kept(
    pair: tuple[httpx.Client, httpx.Client], engine: FakeEngine
) -> None:
    """The owner has a kept answer at once, the stranger only what an engine says, when it says it."""
    here, there = pair
    engine.default = says("kept")
    assert here.post(CHAT, json=PRIVATE, headers=VISITOR).headers["x-meralion-cache"] == "miss"
    until(lambda: here.get("/v1/status").json()["cache"]["written"])
    go_on = threading.Event()
    engine.default = stops_midway(["the stranger's own"], go_on)
    stranger = Asker(there, PRIVATE, OTHER)
    until(lambda: len(engine.exchanges) == 2)
    assert text_of(streamed(there, PRIVATE, headers=VISITOR)) == "kept"
    assert (stranger.events, stranger.over) == ([], False)
    go_on.set()
    assert (stranger.told(), stranger.cache) == ("the stranger's own", "miss")
    assert there.post(CHAT, json=PRIVATE, headers=VISITOR).headers["x-meralion-cache"] == "hit"
    assert len(engine.exchanges) == 2


def test_6_a_file_at_one_controller_is_nobody_else_s_at_the_next(
    pair: tuple[httpx.Client, httpx.Client], engine: FakeEngine
) -> None:
    here, there = pair
    card = uploaded(here, VISITOR)
    body = question("What?", by_id(card["id"]), temperature=0)
    assert here.post(CHAT, json=body, headers=VISITOR).status_code == 200
    for stranger in (OTHER, KEY):
        refused = there.post(CHAT, json=body, headers=stranger)
        assert error_of(refused, 404)["code"] == "file_not_found"
        for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
            refused = there.request(method, f"/v1/files/{card['id']}{path}", headers=stranger)
            assert error_of(refused, 404)["code"] == "file_not_found"
        assert there.get("/v1/files", headers=stranger).json()["data"] == []
    assert there.get(f"/v1/files/{card['id']}", headers=VISITOR).status_code == 200
    assert len(engine.exchanges) == 1


@pytest.fixture
def narrow(start: Start, engine: FakeEngine) -> httpx.Client:
    """One place, for which all but one must wait."""
    return start(row([engine.url]), places=1, hedge_first_s=0, silence_timeout_s=20.0)


def test_6_who_waits_is_told_a_place_in_the_queue_and_nothing_else(
    narrow: httpx.Client, engine: FakeEngine
) -> None:
    go_on = threading.Event()
    engine.default = stops_midway(["the answer"], go_on)
    secret = question("My secret question?", INLINE, temperature=0)
    first = Asker(narrow, secret, VISITOR)
    until(lambda: engine.exchanges)
    second = Asker(narrow, secret, {"x-meralion-visitor": "visitor-three-0123456"})
    until(lambda: second.events)
    other = Asker(narrow, question("And mine?"), OTHER)
    until(lambda: other.events)
    for asker, position in ((second, 1), (other, 2)):
        (told, *_) = asker.events
        assert told["meralion"] == {"queued": {"position": position, "waiting": position}}
        assert [choice["delta"] for choice in told["choices"]] == [{}]
        assert set(told) == {"id", "created", "model", "object", "choices", "meralion"}
    assert len({asker.events[0]["id"] for asker in (second, other)}) == 2
    go_on.set()
    assert [one.told() for one in (first, second, other)] == ["the answer"] * 3
    assert len(engine.exchanges) == 3


def test_6_one_visitor_s_questions_take_no_turn_of_another_s(
    narrow: httpx.Client, engine: FakeEngine
) -> None:
    go_on = threading.Event()
    engine.script = [stops_midway(["one"], go_on)]
    many = [Asker(narrow, question("Mine, 0?"), VISITOR)]
    until(lambda: engine.exchanges)
    for number in range(1, 9):
        many.append(Asker(narrow, question(f"Mine, {number}?"), VISITOR))
        until(lambda: many[-1].events)
    refused = narrow.post(CHAT, json=question("Mine, 9?"), headers=VISITOR)
    assert error_of(refused, 429)["code"] == "queue_yours_full"
    other = Asker(narrow, question("And mine?"), OTHER)
    until(lambda: other.events)
    assert other.events[0]["meralion"]["queued"]["position"] <= 2
    go_on.set()
    assert all(one.told() for one in (*many, other))
    asked = [exchange.json["messages"][0]["content"] for exchange in engine.exchanges]
    assert asked.index("And mine?") <= 2
    assert [text for text in asked if text != "And mine?"] == [f"Mine, {number}?" for number in range(9)]


def test_6_a_name_without_its_signature_is_nobody_s(start: Start, engine: FakeEngine) -> None:
    """Neither forged nor left out does it give another's file, answer or turn."""
    client = start(row([engine.url]), visitor_secret=SECRET)
    mine = {"x-meralion-visitor": token(expiry=time.time() + 600)}
    another = token("visitor-two-0123456789", expiry=time.time() + 600)
    spliced = f"{mine['x-meralion-visitor'].rpartition('.')[0]}.{another.rpartition('.')[2]}"
    with httpx.Client(base_url=client.base_url, timeout=30, trust_env=False) as house:
        card = uploaded(house, mine)
        body = question("What?", by_id(card["id"]), temperature=0)
        inline = question("What?", INLINE, temperature=0)
        assert house.post(CHAT, json=body, headers=mine).headers["x-meralion-cache"] == "miss"
        for forged in ("visitor-one-0123456789", spliced, spliced[:-1], "x" * 64, ""):
            headers = {"x-meralion-visitor": forged}
            for asked in (body, inline):
                refused = house.post(CHAT, json=asked, headers=headers)
                assert error_of(refused, 401)["code"] == "visitor_invalid"
            refused = house.delete(f"/v1/files/{card['id']}", headers=headers)
            assert error_of(refused, 401)["code"] == "visitor_invalid"
        assert error_of(house.post(CHAT, json=body), 404)["code"] == "file_not_found"
        assert len(engine.exchanges) == 1
        assert house.post(CHAT, json=inline).headers["x-meralion-cache"] == "miss"
        assert house.post(CHAT, json=inline, headers=mine).headers["x-meralion-cache"] == "hit"
