"""Two controllers, each a process, with one Redis: what they share, and what is left when a part dies."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.backend.asking import CHAT, Asker, stops_midway, until
from tests.backend.conftest import OTHER, VISITOR, error_of, question, row
from tests.backend.controller_process import begun, ready
from tests.backend.fake_engine import FakeEngine, recital, recites, says
from tests.backend.redis_server import RedisServer, redis_server
from tests.backend.test_start import Process
from tests.model import clips

QUESTION = "What is said?"
GREEDY = question(QUESTION, temperature=0)
WORDS = recital(QUESTION, 40)
WHOLE = "".join(WORDS)
HALF = "".join(WORDS[:20])
SAMPLE = clips.plain_wav(1.2)
ABOUT_SAMPLE = {
    "type": "input_audio",
    "input_audio": {"data": base64.b64encode(SAMPLE).decode(), "format": "wav"},
}


class House:
    """Controllers in front of the same engine, which share a Redis."""

    def __init__(self, folder: Path, engine: FakeEngine, redis: RedisServer) -> None:
        self.engine = engine
        self.redis = redis
        (folder / "models.toml").write_text(row([engine.url]))
        manifest = {"samples": [{"sha256": hashlib.sha256(SAMPLE).hexdigest()}]}
        (folder / "manifest.json").write_text(json.dumps(manifest))
        settings = {
            "port": 0,
            "models": folder / "models.toml",
            "samples": folder / "manifest.json",
            "redis_url": redis.url,
            "cache_store": "redis",
            "hedge_first_s": 0,
            "hedge_silence_s": 0,
        }
        logs = [folder / "log here", folder / "log there"]
        with contextlib.ExitStack() as stack:
            started = [(begun(stack, log, **settings), log) for log in logs]
            self.here, self.there = (ready(stack, popen, log) for popen, log in started)
            self.close = stack.pop_all().close

    @property
    def controllers(self) -> list[Process]:
        return [self.here, self.there]


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture(scope="module")
def lasting(redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """For tests that leave both controllers as they are."""
    engine = FakeEngine("tiny")
    house = House(tmp_path_factory.mktemp("house"), engine, redis)
    yield house
    house.close()
    engine.shut_down()


@pytest.fixture
def house(lasting: House, redis: RedisServer) -> House:
    """The same, with nothing of the tests before."""
    with redis.client() as client:
        client.flushall()
    lasting.engine.exchanges.clear()
    lasting.engine.default = recites(length=40)
    return lasting


@pytest.fixture
def doomed(redis: RedisServer, engine: FakeEngine, tmp_path: Path) -> Iterator[House]:
    """Two controllers of the test's own, in front of an engine that takes two seconds for an answer."""
    with redis.client() as client:
        client.flushall()
    engine.default = recites(length=40, gap_s=0.05)
    house = House(tmp_path, engine, redis)
    yield house
    house.close()


def reading(house: House, body: dict[str, Any]) -> tuple[list[Asker], list[Asker]]:
    """Askers at the one controller, and then at the other, once all of them read."""
    leading = [Asker(house.here.client, body)]
    until(lambda: leading[0].text)
    leading += [Asker(house.here.client, body) for _ in range(3)]
    following = [Asker(house.there.client, body) for _ in range(4)]
    until(lambda: all(len(one.text.split()) > 5 for one in leading + following))
    return leading, following


def under_way(house: House, body: dict[str, Any] = GREEDY) -> tuple[list[Asker], list[Asker]]:
    """Askers at the one controller, which leads, and at the other, all of whom read by now.

    On a machine that is short of time a controller may sleep so long that the other one asks too, as it
    should: then that is let go, and all ask again.
    """
    for _ in range(5):
        leading, following = reading(house, body)
        if len(house.engine.exchanges) == 1 and not any(one.over for one in leading + following):
            return leading, following
        for one in leading + following:
            one.told()
        with house.redis.client() as client:
            client.flushall()
        house.engine.exchanges.clear()
    pytest.fail("the controllers never shared an answer")


def ask(client: httpx.Client, body: dict[str, Any]) -> tuple[str, str]:
    """Ask for a whole answer; return it, and what the cache did."""
    response = client.post(CHAT, json=body)
    assert response.status_code == 200, response.text
    return response.json()["choices"][0]["message"]["content"], response.headers["x-meralion-cache"]


@pytest.mark.parametrize("who", ["one visitor", "sixteen visitors about a sample"])
def test_sixteen_at_both_make_one_call_and_all_read_it_live(house: House, who: str) -> None:
    go_on = threading.Event()
    house.engine.default = stops_midway(WORDS, go_on)
    names = [f"visitor-{number if who != 'one visitor' else 0:016}" for number in range(16)]
    body = GREEDY if who == "one visitor" else question(QUESTION, ABOUT_SAMPLE, temperature=0)
    askers = [
        Asker(house.controllers[number % 2].client, body, {"x-meralion-visitor": name})
        for number, name in enumerate(names)
    ]
    until(lambda: all(one.text == HALF for one in askers))  # and the rest is not yet said
    late = Asker(house.there.client, body, {"x-meralion-visitor": names[-1]})
    until(lambda: late.text == HALF)
    assert not any(one.over for one in (*askers, late))
    go_on.set()
    assert [one.told() for one in (*askers, late)] == [WHOLE] * 17
    assert sorted(one.cache for one in askers) == ["miss"] + ["shared"] * 15
    assert late.cache == "shared"
    for one, name in zip(house.controllers, names[:2], strict=True):
        again = one.client.post(CHAT, json=body, headers={"x-meralion-visitor": name})
        assert again.headers["x-meralion-cache"] == "hit"
        assert again.json()["choices"][0]["message"]["content"] == WHOLE
    assert len(house.engine.exchanges) == 1


def test_an_answer_is_kept_for_a_controller_that_never_saw_the_question(house: House) -> None:
    body = question("Who speaks?", temperature=0)
    written = house.here.client.get("/v1/status").json()["cache"]["written"]
    told, cache = ask(house.here.client, body)
    assert (told, cache) == ("".join(recital("Who speaks?", 40)), "miss")
    until(lambda: house.here.client.get("/v1/status").json()["cache"]["written"] > written)
    assert ask(house.there.client, body) == (told, "hit")
    assert len(house.engine.exchanges) == 1


def test_sampled_answers_are_never_shared(house: House) -> None:
    askers = [
        Asker(house.controllers[number % 2].client, question(QUESTION, temperature=0.7))
        for number in range(16)
    ]
    assert [one.told() for one in askers] == [WHOLE] * 16
    assert {one.cache for one in askers} == {"bypass"}
    assert len(house.engine.exchanges) == 16


def test_a_file_is_its_owner_s_at_both(house: House) -> None:
    sent = house.here.client.post("/v1/files", files={"file": ("a.flac", clips.encoded("flac", "flac"))})
    part = {"type": "file", "file": {"file_id": sent.json()["id"]}}
    stranger = house.there.client.post(CHAT, json=question(QUESTION, part), headers=OTHER)
    assert error_of(stranger, 404)["code"] == "file_not_found"
    assert house.engine.exchanges == []
    house.engine.default = says(*WORDS)
    owner = house.there.client.post(CHAT, json=question(QUESTION, part), headers=VISITOR)
    assert owner.json()["choices"][0]["message"]["content"] == WHOLE
    (exchange,) = house.engine.exchanges
    assert exchange.json["messages"][0]["content"][0]["type"] == "input_audio"


def test_a_killed_leader_costs_its_own_askers_alone(doomed: House) -> None:
    leading, following = under_way(doomed)
    doomed.here.popen.kill()
    assert [one.told() for one in following] == [WHOLE] * 4
    assert len(doomed.engine.exchanges) == 2
    until(lambda: all(one.over for one in leading))
    assert all(one.broken and not one.whole and WHOLE.startswith(one.text) for one in leading)
    assert ask(doomed.there.client, GREEDY) == (WHOLE, "hit")


def test_a_killed_follower_costs_its_own_askers_alone(doomed: House) -> None:
    leading, following = under_way(doomed)
    doomed.there.popen.kill()
    until(lambda: all(one.over for one in following))
    assert all(one.broken and not one.whole for one in following)
    assert [one.told() for one in leading] == [WHOLE] * 4
    assert len(doomed.engine.exchanges) == 1


def test_a_leader_that_sleeps_holds_up_nobody_elsewhere(doomed: House) -> None:
    leading, following = under_way(doomed)
    doomed.here.popen.send_signal(signal.SIGSTOP)
    try:
        assert [one.told() for one in following] == [WHOLE] * 4
        assert not any(one.over for one in leading)
        assert len(doomed.engine.exchanges) == 2
    finally:
        doomed.here.popen.send_signal(signal.SIGCONT)
    assert [one.told() for one in leading] == [WHOLE] * 4
    assert len(doomed.engine.exchanges) == 2
    assert [ask(one.client, GREEDY) for one in doomed.controllers] == [(WHOLE, "hit")] * 2


def test_without_redis_each_works_on_its_own_until_it_is_back(doomed: House) -> None:
    def linked(state: str) -> bool:
        told = [one.client.get("/v1/status").json()["redis"] for one in doomed.controllers]
        return told == [state, state]

    exchanges = doomed.engine.exchanges
    leading, following = under_way(doomed)
    try:
        doomed.redis.kill()
        assert [one.told() for one in leading + following] == [WHOLE] * 8
        assert len(exchanges) <= 2
        until(lambda: linked("away"))
        doomed.engine.default = recites(length=40)
        exchanges.clear()
        body = question("And alone?", temperature=0)
        alone = "".join(recital("And alone?", 40))
        assert [ask(one.client, body) for one in doomed.controllers] == [(alone, "miss")] * 2
        assert [ask(one.client, body) for one in doomed.controllers] == [(alone, "hit")] * 2
        assert len(exchanges) == 2
    finally:
        doomed.redis.kill()
        doomed.redis.start()
    until(lambda: linked("up"))
    exchanges.clear()
    doomed.engine.default = recites(length=40, gap_s=0.02)
    again = question("And together?", temperature=0)
    leading, following = under_way(doomed, again)
    together = "".join(recital("And together?", 40))
    assert [one.told() for one in leading + following] == [together] * 8
    assert len(exchanges) == 1
