"""The host of an event: who is let in, what the card tells, and what each button does."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from starlette.requests import HTTPConnection

from backend import host_key
from backend.errors import Busy, StartError, Unauthorized
from backend.host import Decisions
from backend.recent_errors import WINDOW_S, RecentErrors
from backend.settings import Settings
from tests.backend.conftest import OTHER, Start, error_of, question, row, streamed, text_of
from tests.backend.fake_engine import FakeEngine, recites, refuses, says, stalls_after
from tests.backend.redis_server import redis_server
from tests.backend.test_engines import COMMAND, EMBEDDED, PATH, answer
from tests.backend.test_models import until_up
from tests.backend.test_openapi import conforms
from tests.model import clips

KEY = "kopi-7Xq-susu-92mB-Zt"
HOST = {"authorization": f"Bearer {KEY}"}


def until(client: httpx.Client, met: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """The card once it is as wanted."""
    deadline = time.monotonic() + 10
    while True:
        card: dict[str, Any] = client.get("/v1/host", headers=HOST).json()
        if met(card):
            return card
        assert time.monotonic() < deadline, card
        time.sleep(0.02)


def press(client: httpx.Client, button: str, **body: Any) -> dict[str, Any]:
    done = client.post(f"/v1/host/{button}", headers=HOST, **({"json": body} if body else {}))
    assert done.status_code == 200, done.text
    card: dict[str, Any] = done.json()
    return card


def ending(client: httpx.Client, body: dict[str, Any], **options: Any) -> str:
    """The last that comes of an answer, begun or not."""
    with client.stream("POST", PATH, json={**body, "stream": True}, **options) as response:
        return [line for line in response.iter_lines() if line][-1]


@pytest.fixture
def client(start: Start, engine: FakeEngine) -> httpx.Client:
    started = start(
        row([engine.url], more="places = 1\n"), host_key=KEY, silence_timeout_s=20.0, hedge_silence_s=0
    )
    until_up(started)
    return started


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong keys wait for less than a second, so that the tests need not."""
    monkeypatch.setattr(host_key, "_WRONG_S", 0.15)


@pytest.fixture
def busy(client: httpx.Client, engine: FakeEngine) -> Iterator[tuple[httpx.Client, list[Any]]]:
    """One is being answered for as long as it takes, and one waits."""
    engine.default = stalls_after("a")
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ending, client, question("First?"))
        until(client, lambda card: len(card["answering"]) == 1)
        second = pool.submit(ending, client, question("Second?"), headers=OTHER)
        until(client, lambda card: len(card["waiting"]) == 1)
        yield client, [first, second]
        press(client, "start_over")


def test_without_a_host_key_there_is_nothing(start: Start, engine: FakeEngine) -> None:
    client = start(row([engine.url]))
    assert error_of(client.get("/v1/host", headers=HOST), 404)["code"] == "not_found"
    for path in ("pause", "start_over", "instances/embedded/restart"):
        assert client.post(f"/v1/host/{path}", headers=HOST, json={}).status_code == 404


def test_only_the_host_is_let_in(quick: None, client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for wrong in (None, "Bearer wrong-1234-abcd-EFGH", f"Basic {KEY}", f"Bearer {KEY} "[:-2]):
        headers = {"authorization": wrong} if wrong else {}
        assert error_of(client.get("/v1/host", headers=headers), 401)["code"] == "host_key_wrong"
    card = until(client, lambda card: card["errors"])
    assert card["errors"][0]["code"] == "host_key_wrong"
    assert KEY not in caplog.text
    assert "EFGH" not in caplog.text


def test_guessing_is_slowed_and_the_host_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of wrong keys at once, one is answered after another and most are refused; the right one is let in."""
    monkeypatch.setattr(host_key, "_WRONG_S", 0.05)
    door = host_key.HostKey(Settings(host_key=SecretStr(KEY)))

    def shown(key: str) -> HTTPConnection:
        return HTTPConnection({"type": "http", "headers": [(b"authorization", f"Bearer {key}".encode())]})

    async def crowd() -> tuple[list[BaseException | None], float]:
        began = time.monotonic()
        guesses = [asyncio.create_task(door.admit(shown(f"guess-{number}"))) for number in range(12)]
        await asyncio.sleep(0)
        await door.admit(shown(KEY))
        assert not all(guess.done() for guess in guesses)
        told = await asyncio.gather(*guesses, return_exceptions=True)
        return told, time.monotonic() - began

    told, took_s = asyncio.run(crowd())
    assert [type(error) for error in told] == [Unauthorized] * 8 + [Busy] * 4
    assert took_s >= 8 * 0.05


@pytest.mark.parametrize("key", ["sh0rt", "aaaaaaaaaaaaaaaaaaaaaaa", "two words are no key at all", "0" * 32])
def test_a_weak_key_stops_the_start_and_is_not_repeated(start: Start, engine: FakeEngine, key: str) -> None:
    with pytest.raises(StartError, match="MERALION_HOST_KEY") as refused:
        start(row([engine.url]), host_key=key)
    assert key not in str(refused.value)


def test_callers_keys_and_the_host_s_are_apart(start: Start, engine: FakeEngine) -> None:
    callers = "c0ffee-Zq7-Lm2x-9vTR-kw48-pJs1-eY63"
    client = start(row([engine.url]), host_key=KEY, api_keys=callers)
    assert client.get("/v1/host", headers=HOST).status_code == 200
    assert client.get("/v1/host", headers={"authorization": f"Bearer {callers}"}).status_code == 401
    assert client.get("/v1/status", headers={**HOST, "x-meralion-visitor": ""}).status_code == 401


def test_the_card_tells_who_waits_and_what_goes_on(busy: tuple[httpx.Client, list[Any]]) -> None:
    client, _ = busy
    card = until(client, lambda card: card["waiting"][0]["waited_s"] > 0)
    conforms(card, "HostCard")
    assert (card["waiting"][0]["place"], card["waiting"][0]["model"]) == (1, "Tiny")
    (instance,) = card["instances"]
    assert (instance["condition"], instance["busy"], instance["can_restart"]) == ("full", 1, False)
    assert card["answering"][0]["instance"] == instance["name"]
    assert "visitor" not in json.dumps(card)
    assert "Second" not in json.dumps(card)


def test_the_hit_rate_is_told(client: httpx.Client) -> None:
    assert until(client, bool)["cache"]["hit_rate"] is None
    for _ in range(4):
        streamed(client, question(temperature=0))
    assert until(client, bool)["cache"] == {"hits": 3, "misses": 1, "hit_rate": 0.75}


def test_errors_are_counted_and_explained(client: httpx.Client, engine: FakeEngine) -> None:
    engine.default = refuses(401)
    for _ in range(2):
        error_of(client.post(PATH, json=question()), 502)
    client.post("/v1/files", files={"file": ("a.wav", b"no sound")})
    client.get("/v1/no-such-path")
    errors = {one["code"]: one for one in until(client, lambda card: len(card["errors"]) > 1)["errors"]}
    assert errors["upstream_key_refused"]["count"] == 2
    assert "controller's key" in errors["upstream_key_refused"]["sentence"]
    (sound,) = [one for code, one in errors.items() if code.startswith("audio_")]
    assert "recording" in sound["sentence"]
    assert "not_found" not in errors


def test_an_answer_that_breaks_off_is_counted(client: httpx.Client, engine: FakeEngine) -> None:
    engine.default = stalls_after("a")
    with client.stream("POST", PATH, json=question(stream=True)) as response:
        lines = (line for line in response.iter_lines() if line)
        assert any('"content":"a"' in line for line in lines)
        press(client, "start_over")
        assert "started_over" in list(lines)[-1]
    assert [one["code"] for one in until(client, lambda card: card["errors"])["errors"]] == ["started_over"]


def test_errors_are_forgotten_after_a_quarter_of_an_hour() -> None:
    now = 0.0
    errors = RecentErrors(lambda: now)
    errors.note("queue_full")
    now = WINDOW_S - 1
    errors.note("internal")
    assert {code for code, _, _ in errors} == {"queue_full", "internal"}
    now = WINDOW_S + 1
    assert list(errors) == [("internal", 1, 2.0)]


def test_a_pause_refuses_the_new_and_lets_the_old_end(client: httpx.Client, engine: FakeEngine) -> None:
    engine.default = recites(length=40, gap_s=0.02)
    with ThreadPoolExecutor(1) as pool:
        going = pool.submit(streamed, client, question("Going on?"))
        until(client, lambda card: card["answering"])
        assert press(client, "pause", paused=True)["paused"]
        refused = client.post(PATH, json=question())
        assert error_of(refused, 503)["code"] == "paused"
        assert refused.headers["retry-after"]
        sound = {"file": ("a.wav", clips.plain_wav())}
        listen = client.post("/v1/audio/transcriptions", data={"model": "tiny"}, files=sound)
        assert error_of(listen, 503)["code"] == "paused"
        assert going.result()[-1] == "[DONE]"
    assert client.get("/v1/status").json()["event"] == {"paused": True, "visits_epoch": 0}
    assert "meralion_paused 1.0" in client.get("/metrics").text
    assert not press(client, "pause", paused=False)["paused"]
    engine.default = says("a")
    assert text_of(streamed(client, question())) == "a"


def test_start_over_ends_answers_and_empties_queue_and_uploads(
    busy: tuple[httpx.Client, list[Any]], engine: FakeEngine
) -> None:
    client, asked = busy
    sent = client.post("/v1/files", files={"file": ("a.wav", clips.plain_wav())}).json()["id"]
    card = press(client, "start_over")
    assert card["visits_epoch"] > 0
    for one in asked:
        assert "started_over" in one.result()
    card = until(client, lambda card: not card["answering"] and card["instances"][0]["busy"] == 0)
    assert (card["waiting"], card["files"]["count"]) == ([], 0)
    assert client.get(f"/v1/files/{sent}").status_code == 404
    again = press(client, "start_over")["visits_epoch"]
    assert again > card["visits_epoch"]
    engine.default = says("anew")
    assert text_of(streamed(client, question())) == "anew"


def test_a_pause_and_the_epoch_outlive_a_restart(start: Start, engine: FakeEngine, tmp_path: Path) -> None:
    file = tmp_path / "host" / "state.json"
    first = start(row([engine.url]), host_key=KEY, host_state_file=file)
    epoch = press(first, "start_over")["visits_epoch"]
    press(first, "pause", paused=True)
    second = start(row([engine.url]), host_key=KEY, host_state_file=file)
    assert second.get("/v1/status").json()["event"] == {"paused": True, "visits_epoch": epoch}
    file.write_text('{"paused": tr')  # as a cut of power may leave it
    third = start(row([engine.url]), host_key=KEY, host_state_file=file)
    assert third.get("/v1/status").json()["event"] == {"paused": False, "visits_epoch": 0}


def test_both_hold_for_all_controllers_of_one_redis(
    start: Start, engine: FakeEngine, patient_with_redis: None
) -> None:
    with redis_server() as server:
        shared = {"host_key": KEY, "redis_url": server.secret_url}
        here, there = (start(row([engine.url]), **shared) for _ in range(2))
        press(here, "pause", paused=True)
        until(there, lambda card: card["paused"])
        press(there, "pause", paused=False)
        until(here, lambda card: not card["paused"])
        sent = there.post("/v1/files", files={"file": ("a.wav", clips.plain_wav())}).json()["id"]
        epoch = press(here, "start_over")["visits_epoch"]
        assert here.get(f"/v1/files/{sent}").status_code == 404
        assert until(there, lambda card: card["visits_epoch"])["visits_epoch"] == epoch
        until(there, lambda card: card["files"]["count"] == 0)
        server.kill()
        until(here, lambda card: card["redis"] == "away")
        press(here, "pause", paused=True)
        server.start()  # with nothing in it
        until(there, lambda card: card["paused"] and card["visits_epoch"] == epoch)


def test_the_later_word_counts_and_an_epoch_only_grows() -> None:
    early, late = Decisions(True, 10, 7), Decisions(False, 20, 5)
    assert early.merged(late) == late.merged(early) == Decisions(False, 20, 7)


def test_an_engine_elsewhere_is_not_ours_to_start(client: httpx.Client) -> None:
    name = until(client, bool)["instances"][0]["name"]
    refused = client.post(f"/v1/host/instances/{name}/restart", headers=HOST)
    told = error_of(refused, 409)
    assert told["code"] == "restart_elsewhere"
    assert name in told["message"]
    unknown = client.post("/v1/host/instances/nobody/restart", headers=HOST)
    assert error_of(unknown, 404)["code"] == "instance_not_found"


def test_an_engine_of_ours_is_started_again(start: Start) -> None:
    client = start(EMBEDDED, engine_command=COMMAND, host_key=KEY)
    first = int(answer(client))
    (instance,) = until(client, bool)["instances"]
    assert instance["can_restart"]
    press(client, f"instances/{instance['name']}/restart")
    assert int(answer(client)) != first
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)


def test_an_answer_goes_on_in_the_engine_that_is_started_again(start: Start) -> None:
    client = start(EMBEDDED, engine_command=(*COMMAND, "--slow"), host_key=KEY)
    with client.stream("POST", PATH, json=question(stream=True)) as response:
        found = (re.search(r'"content":"(\d+)"', line) for line in response.iter_lines())
        pids = (int(said[1]) for said in found if said)
        first = next(pids)
        press(client, "instances/embedded/restart")
        assert next(pid for pid in pids if pid != first)


def test_an_engine_that_cannot_start_is_tried_when_the_host_asks(start: Start, tmp_path: Path) -> None:
    mark = tmp_path / "mended"
    script = f"import pathlib, runpy, sys; pathlib.Path({str(mark)!r}).exists() or sys.exit(2); " + (
        "runpy.run_module('tests.backend.fake_engine', run_name='__main__')"
    )
    client = start(EMBEDDED, engine_command=(sys.executable, "-c", script), host_key=KEY)
    until(client, lambda card: card["instances"][0]["condition"] == "down")
    mark.touch()
    press(client, "instances/embedded/restart")
    assert int(answer(client)) > 0
