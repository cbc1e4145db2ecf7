"""Registry and keys change while answers run, and no answer notices."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend import registry
from backend.errors import StartError
from backend.fleet import Fleet
from backend.keys import Keys
from backend.keys import main as keys_command
from backend.reload import Reload
from backend.settings import Settings
from tests.backend.conftest import Start, error_of, question, row, streamed, text_of
from tests.backend.fake_engine import Behaviour, Exchange, FakeEngine, chunk
from tests.backend.test_models import until_up
from tests.backend.test_status import until

Rewrite = Any


@pytest.fixture
def rewrite(tmp_path: Path) -> Rewrite:
    """Put another registry in place of the one that `start` wrote, as an editor or Kubernetes would."""

    def write(text: str) -> None:
        new = tmp_path / "models.toml.new"
        new.write_text(text)
        new.replace(tmp_path / "models.toml")

    return write


def holds(gate: threading.Event) -> Behaviour:
    """Begin an answer, and end it when the gate opens."""

    async def behave(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.token("be")
        await asyncio.to_thread(gate.wait, 20)
        await exchange.token("gun")
        await exchange.event(chunk({}, "stop"))
        await exchange.event("[DONE]")
        await exchange.end()

    return behave


@contextlib.contextmanager
def begun(client: httpx.Client, **fields: Any) -> Iterator[Any]:
    """A stream whose first word has come; its words are read to the end by calling what is given."""
    body = question(stream=True, **fields)
    with client.stream("POST", "/v1/chat/completions", json=body) as response:
        lines = response.iter_lines()
        seen = [next(line for line in lines if '"be"' in line)]

        def rest() -> str:
            seen.extend(line for line in lines if line.startswith("data: "))
            assert seen[-1] == "data: [DONE]"
            return text_of([json.loads(line[6:]) for line in seen[:-1]])

        yield rest


def at(status: dict[str, Any]) -> list[str]:
    """Where the first model runs."""
    instances: list[str] = status["models"][0]["instances"]
    return instances


QUICK = {"reload_interval_s": 0.05, "silence_timeout_s": 20.0, "hedge_silence_s": 0.0, "cache_store": "none"}


def test_a_stream_outlives_its_instance_in_the_registry(
    start: Start, engine: FakeEngine, second_engine: FakeEngine, rewrite: Rewrite
) -> None:
    client = start(row([engine.url]), **QUICK)
    until_up(client)
    gate = threading.Event()
    engine.default = holds(gate)
    old, new = (one.url.removeprefix("http://") for one in (engine, second_engine))
    with begun(client) as rest:
        rewrite(row([second_engine.url]))
        status = until(client, lambda status: at(status) == [new] and status["models"][0]["state"] == "up")
        leaving = next(one for one in status["instances"] if one["name"] == old)
        assert (leaving["draining"], leaving["busy"], leaving["models"]) == (True, 1, [])
        assert status["config"]["error"] is None
        assert text_of(streamed(client, question())) == "Hello world"
        assert len(engine.exchanges) == 1
        gate.set()
        assert rest() == "begun"
    until(client, lambda status: [one["name"] for one in status["instances"]] == [new])


def test_a_stream_outlives_its_model(start: Start, engine: FakeEngine, rewrite: Rewrite) -> None:
    client = start(row([engine.url]), **QUICK)
    until_up(client)
    gate = threading.Event()
    engine.default = holds(gate)
    with begun(client) as rest:
        rewrite(row([engine.url], name="renamed"))
        status = until(client, lambda status: status["models"][0]["id"] == "renamed")
        (instance,) = status["instances"]  # the same: it is not started, watched or counted anew
        assert (instance["state"], instance["busy"], instance["draining"]) == ("up", 1, False)
        assert [card["id"] for card in client.get("/v1/models").json()["data"]] == ["renamed"]
        assert (
            error_of(client.post("/v1/chat/completions", json=question()), 404)["code"] == "model_not_found"
        )
        gate.set()
        assert rest() == "begun"
        assert text_of(streamed(client, {**question(), "model": "renamed"})) == "begun"


def test_titles_capabilities_weights_and_places_follow(
    start: Start, engine: FakeEngine, rewrite: Rewrite
) -> None:
    client = start(row([engine.url]), **QUICK)
    until_up(client)
    listed = f'[{{ url = "{engine.url}", weight = 3, places = 7 }}]'
    changed = row([]).replace("= []", f"= {listed}").replace('"Tiny"', '"Small"')
    rewrite(changed.replace("chat = true", 'chat = "Not today."'))
    status = until(client, lambda status: status["instances"][0]["places"] == 7)
    assert status["instances"][0]["weight"] == 3
    ours = client.get("/v1/models/tiny").json()["meralion"]
    assert ours["title"] == "Small"
    assert ours["capabilities"]["chat"] == {"supported": False, "reason": "Not today."}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[tiny\n", "not valid TOML"),
        ("", "lists no model"),
        (row(["localhost:1"]), "must start with http"),
        (row(["http://x"], more='api_key_env = "NOT_SET"\n'), "NOT_SET"),
    ],
)
def test_a_broken_registry_changes_nothing(
    text: str, words: str, start: Start, engine: FakeEngine, rewrite: Rewrite
) -> None:
    client = start(row([engine.url]), **QUICK)
    until_up(client)
    before = client.get("/v1/status").json()["config"]["loaded_at"]
    rewrite(text)
    status = until(client, lambda status: status["config"]["error"])
    assert words in status["config"]["error"]
    assert status["config"]["loaded_at"] == before
    assert at(status) == [engine.url.removeprefix("http://")]
    assert text_of(streamed(client, question())) == "Hello world"
    assert "meralion_config_refused 1.0" in client.get("/metrics").text
    rewrite(row([engine.url]))
    until(client, lambda status: status["config"]["error"] is None)


def test_a_missing_registry_changes_nothing(start: Start, engine: FakeEngine, tmp_path: Path) -> None:
    client = start(row([engine.url]), **QUICK)
    until_up(client)
    (tmp_path / "models.toml").unlink()
    status = until(client, lambda status: status["config"]["error"])
    assert "cannot be read" in status["config"]["error"]
    assert text_of(streamed(client, question())) == "Hello world"


def test_who_waits_for_a_model_that_goes_has_its_turn(
    start: Start, engine: FakeEngine, rewrite: Rewrite
) -> None:
    client = start(row([engine.url], more="places = 1\n"), **QUICK)
    until_up(client)
    gate = threading.Event()
    engine.default = holds(gate)
    answers: list[str] = []
    with begun(client) as rest:
        waiting = threading.Thread(target=lambda: answers.append(text_of(streamed(client, question("B?")))))
        waiting.start()
        until(client, lambda status: status["queue"]["waiting"] == 1)
        rewrite(row([engine.url], name="renamed", more="places = 1\n"))
        until(client, lambda status: status["models"][0]["id"] == "renamed")
        gate.set()
        assert rest() == "begun"
        waiting.join(10)
    assert answers == ["begun"]


def test_keys_come_and_go(start: Start, engine: FakeEngine, tmp_path: Path, capsys: Any) -> None:
    def new(name: str) -> tuple[str, str]:
        assert keys_command(["new", name]) == 0
        out = capsys.readouterr().out
        return next(line for line in out.splitlines() if line.startswith("mk-")), out.splitlines()[-1]

    file = tmp_path / "keys.toml"
    first, first_line = new("first")
    second, second_line = new("second")
    file.write_text(first_line)
    client = start(row([engine.url]), api_keys_file=file, **QUICK)
    client.headers["authorization"] = f"Bearer {first}"
    until_up(client)

    def status_with(key: str) -> int:
        return client.get("/v1/models", headers={"authorization": f"Bearer {key}"}).status_code

    assert (status_with(first), status_with(second)) == (200, 401)
    file.write_text(f"{first_line}\n{second_line}\n")
    until(client, lambda _: status_with(second) == 200)
    file.write_text("first = 5\n")
    until(client, lambda status: "first" in (status["config"]["error"] or ""))
    assert (status_with(first), status_with(second)) == (200, 200)
    file.write_text(first_line)
    until(client, lambda _: status_with(second) == 401)
    assert status_with(first) == 200


def test_sighup_reads_at_once(engine: FakeEngine, tmp_path: Path) -> None:
    models = tmp_path / "models.toml"
    models.write_text(row([engine.url]))
    names = {"PORT": "0", "MODELS": str(models), "RELOAD_INTERVAL_S": "0", "CACHE_STORE": "none"}
    environment = {**os.environ, **{f"MERALION_{name}": value for name, value in names.items()}}
    with subprocess.Popen(
        [sys.executable, "-m", "backend"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        assert process.stdout is not None
        try:
            port = json.loads(process.stdout.readline())["port"]
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10, trust_env=False) as client:
                models.write_text(row([engine.url], name="renamed"))
                process.send_signal(signal.SIGHUP)
                until(client, lambda status: status["models"][0]["id"] == "renamed")
        finally:
            process.terminate()
            process.wait(10)


async def _tasks_settle(wanted: int) -> int:
    for _ in range(200):
        if len(asyncio.all_tasks()) <= wanted:
            break
        await asyncio.sleep(0.01)
    return len(asyncio.all_tasks())


def test_fifty_reloads_leave_nothing_behind(engine: FakeEngine, tmp_path: Path) -> None:
    """Tasks, instances and pools are as many as after the first."""
    file = tmp_path / "models.toml"

    def rows(turn: int) -> Any:
        mine = row([engine.url, f"http://127.0.0.1:{1 + turn % 5}"], name=f"tiny{turn % 3}")
        file.write_text(mine + row([engine.url], name="other"))
        return registry.load(file)

    async def main() -> None:
        settings = Settings(models=file, probe_interval_s=0.05)
        async with httpx.AsyncClient(trust_env=False) as client:
            fleet = Fleet(settings, client, ())
            fleet.apply(rows(0))
            async with fleet.running():
                tasks = len(asyncio.all_tasks())
                (kept,) = fleet.pools["other"].instances
                for turn in range(1, 51):
                    fleet.apply(rows(turn))
                    if turn % 7 == 0:
                        await asyncio.sleep(0.01)
                assert await _tasks_settle(tasks) == tasks
                assert fleet.pools["other"].instances == (kept,)
                assert len(list(fleet)) == 2
                assert len(kept.listeners) == 2  # the two models that run there, and none that is gone
                assert set(fleet.pools) == {"tiny2", "other"}
            assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_a_refused_registry_is_refused_whole(
    engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "models.toml"
    file.write_text(row([engine.url]))
    refused = row(["http://new"]) + row(["http://b"], name="b", more='api_key_env = "NOT_SET"\n')

    async def main() -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            fleet = Fleet(Settings(models=file), client, ())
            fleet.apply(registry.load(file))
            before = dict(fleet.pools), fleet.pools["tiny"].instances
            file.write_text(refused)
            with pytest.raises(StartError, match="NOT_SET"):
                fleet.apply(registry.load(file))
            assert (dict(fleet.pools), fleet.pools["tiny"].instances) == before
            assert len(list(fleet)) == 1
            monkeypatch.setenv("NOT_SET", "a-key")
            fleet.apply(registry.load(file))
            assert fleet.pools["b"].instances[0].headers == {"Authorization": "Bearer a-key"}

    asyncio.run(main())


def test_a_file_of_keys_that_is_half_written_is_waited_for(tmp_path: Path) -> None:
    """An editor that empties the file before it writes shuts nobody out."""
    models, file = tmp_path / "models.toml", tmp_path / "keys.toml"
    models.write_text(row(["http://127.0.0.1:1"]))
    key = "mk-9tQ2vXkLrW8sYbN4cZpE7uHjD3mA6fGqTxR1oVi0K5e"
    line = f'one = "sha256:{hashlib.sha256(key.encode()).hexdigest()}"\n'
    file.write_text(line)
    settings = Settings(models=models, api_keys_file=file)

    async def main() -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            keys = Keys(settings)
            reload = Reload(settings, Fleet(settings, client, ()), keys)
            await reload.look()
            file.write_text("")
            looking = asyncio.create_task(reload.look())
            await asyncio.sleep(0.03)
            file.write_text(line + "# written whole\n")
            await looking
            assert keys.admits(key)
            await reload.look()
            assert (keys.admits(key), reload.error) == (True, "")
            file.write_text("one = 5\n")
            await reload.look()
            await reload.look()
            assert (keys.admits(key), "`one` must be" in reload.error) == (True, True)
            file.write_text("")
            await reload.look()
            assert (keys.admits(key), keys.required, reload.error) == (False, True, "")

    asyncio.run(main())
