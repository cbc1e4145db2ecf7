"""Instances found by DNS: they come, go and come back as the name says, and no answer notices."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend import registry
from backend.discovery import MOST, Discovery, resolve
from backend.errors import StartError
from tests.backend.asking import CHAT, Asker
from tests.backend.conftest import Start, error_of, question, row, streamed, text_of
from tests.backend.controller_process import begun, ready
from tests.backend.dns_server import DnsServer, dns_server, needs_root
from tests.backend.fake_engine import FakeEngine, recital, recites, stalls_after
from tests.backend.test_start import Process
from tests.backend.test_status import until
from tests.model import clips

NAME = "engines.test"


def by_name(port: int, more: str = "", host: str = NAME, **fields: str) -> str:
    return row([], **fields).replace("= []", f'= [{{ dns = "http://{host}:{port}"{more} }}]')


def names(status: dict[str, Any]) -> list[str]:
    """Where the model runs now."""
    instances: list[str] = status["models"][0]["instances"]
    return instances


# The registry


def test_a_name_is_an_instance_for_each_address(tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    file.write_text(by_name(8001, ", weight = 2, places = 32"))
    (service,) = registry.load(file)["tiny"].instances
    assert isinstance(service, registry.Service)
    assert (service.host, service.name) == (NAME, f"{NAME}:8001")
    found = [service.at(ip) for ip in ("10.0.0.5", "fd00::5")]
    assert [(one.url, one.name, one.weight, one.places) for one in found] == [
        ("http://10.0.0.5:8001", "10.0.0.5:8001", 2.0, 32),
        ("http://[fd00::5]:8001", "[fd00::5]:8001", 2.0, 32),
    ]


def test_a_name_may_have_a_path_and_no_port(tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    file.write_text(row([]).replace("= []", '= [{ dns = "http://engines.test/small/v1" }]'))
    (service,) = registry.load(file)["tiny"].instances
    assert isinstance(service, registry.Service)
    assert service.at("10.0.0.5").url == "http://10.0.0.5:80/small"


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        ('{ dns = "https://engines.test" }', r"`instances\[0\].dns`.*http://"),
        ('{ dns = "engines.test:8001" }', r"`instances\[0\].dns`.*must start with http"),
        ('{ dns = "http://me:very-secret@x" }', r"`instances\[0\].dns`.*no password"),
        ('{ dns = "http://x", wieght = 2 }', r"`instances\[0\].wieght`.*Did you mean `weight`"),
        ('{ dns = "http://x", url = "http://x" }', r"`instances\[0\].url`.*leave it out"),
        ('{ dns = "http://x:80" }, { dns = "http://x" }', "names x:80 twice"),
    ],
)
def test_a_name_that_cannot_be_used_stops_the_start(listed: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    file.write_text(row([]).replace("= []", f"= [{listed}]"))
    with pytest.raises(StartError, match=words) as caught:
        registry.load(file)
    assert "very-secret" not in str(caught.value)


def test_two_rows_say_the_same_about_a_name(tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    file.write_text(by_name(1) + by_name(1, name="b"))
    assert set(registry.load(file)) == {"tiny", "b"}
    file.write_text(by_name(1) + by_name(1, ", places = 4", name="b"))
    with pytest.raises(StartError, match=f"tiny and b both run at {NAME}:1 and differ"):
        registry.load(file)


# The system's resolver, as it is here


def test_every_address_is_told_once_and_in_order() -> None:
    assert resolve("127.0.0.1") == ("127.0.0.1",)
    assert resolve("::1") == ("::1",)
    assert resolve("::ffff:10.0.0.5") == ("10.0.0.5",)
    assert resolve("fe80::1%1") == ()  # of no use without the interface
    assert "127.0.0.1" in resolve("localhost")
    with pytest.raises(UnicodeError):
        resolve("x" * 64 + ".test")
    with pytest.raises(socket.gaierror):
        resolve("nobody.invalid")


def test_a_name_of_the_hosts_file_is_asked_for_answers(start: Start, engine: FakeEngine) -> None:
    client = start(by_name(engine.port, host="localhost") + by_name(engine.port, host="localhost", name="b"))
    here = f"127.0.0.1:{engine.port}"
    status = until(client, lambda status: here in names(status) and status["models"][0]["state"] == "up")
    (instance,) = (one for one in status["instances"] if one["name"] == here)
    assert instance["models"] == ["tiny", "b"]
    with client.stream("POST", CHAT, json=question(stream=True)) as response:
        assert response.headers["x-meralion-instance"] == here
        response.read()
    assert f'meralion_instance_state{{instance="{here}",state="up"}} 1.0' in client.get("/metrics").text


def test_a_name_that_is_not_followed_any_more_leaves_nothing_behind() -> None:
    told: list[tuple[str, ...]] = []

    async def main() -> None:
        found = Discovery(0.01, 60.0, lambda: told.append(found.addresses("localhost")))
        found.follow(["localhost", "x" * 64])
        async with found.running():
            async with asyncio.timeout(5):
                while not told:  # noqa: ASYNC110 - the lookup is another thread's
                    await asyncio.sleep(0.005)
            assert "127.0.0.1" in found.addresses("localhost")
            assert found.addresses("x" * 64) == ()
            found.follow([])
            assert found.addresses("localhost") == ()
            await asyncio.sleep(0)
            assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


# A name server that does as it is told, and a controller as a process that asks it


class House:
    """A controller whose only name server is the test's, and engines on addresses of their own."""

    def __init__(self, folder: Path, dns: DnsServer, stack: contextlib.ExitStack) -> None:
        self.dns = dns
        self.engines: list[FakeEngine] = []
        self._folder = folder
        self._stack = stack
        # Engines of one name share a port; it is free on 127.0.0.1, and nobody uses the other addresses.
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]

    def engine(self, number: int) -> FakeEngine:
        """The engine at 127.0.9.NUMBER."""
        engine = FakeEngine("tiny", host=f"127.0.9.{number}", port=self.port)
        self._stack.callback(engine.shut_down)
        self.engines.append(engine)
        return engine

    def at(self, *engines: FakeEngine) -> list[str]:
        """What the controller calls them."""
        return [one.url.removeprefix("http://") for one in engines]

    def name(self, *engines: FakeEngine) -> None:
        """Let the name have these addresses now."""
        self.dns.hosts[NAME] = [one.host for one in engines]

    def start(self, models: str = "", **settings: object) -> Process:
        file = self._folder / "models.toml"
        file.write_text(models or by_name(self.port))
        quick: dict[str, object] = {
            "port": 0,
            "models": file,
            "cache_store": "none",
            "cache_max_bytes": 0,
            "discovery_interval_s": 0.1,
            "probe_interval_s": 0.2,
            "slow_start_s": 0,
            "hedge_first_s": 0,
            "hedge_silence_s": 0,
        }
        log = self._folder / "log"
        before = self.dns.asked_by(self._folder)
        popen = begun(self._stack, log, before, **(quick | settings))
        return ready(self._stack, popen, log)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with dns_server() as dns, contextlib.ExitStack() as stack:
        yield House(tmp_path, dns, stack)


def ask(client: httpx.Client, number: int) -> tuple[Asker, str]:
    text = f"Question {number}?"
    return Asker(client, question(text)), "".join(recital(text, 40))


def steady(status: dict[str, Any], wanted: list[str]) -> bool:
    """Whether the model runs at these, all of them up."""
    up = [one["name"] for one in status["instances"] if one["state"] == "up" and not one["draining"]]
    return sorted(names(status)) == sorted(up) == sorted(wanted)


@needs_root
def test_from_one_to_three_and_back_with_streams_open(house: House) -> None:
    one, two, three = (house.engine(number) for number in (1, 2, 3))
    for engine in house.engines:
        engine.default = recites(length=40, gap_s=0.05)
    house.name(one)
    client = house.start().client
    until(client, lambda status: steady(status, house.at(one)))
    asked = [ask(client, number) for number in range(8)]
    until(client, lambda status: status["queue"]["busy"] == 8)

    house.name(one, two, three)
    until(client, lambda status: steady(status, house.at(one, two, three)))
    asked += [ask(client, number) for number in range(8, 32)]
    until(client, lambda status: status["queue"]["busy"] == 32)
    assert all(engine.exchanges for engine in house.engines)

    house.name(two)
    status = until(client, lambda status: names(status) == house.at(two))
    leaving = {card["name"]: card["busy"] for card in status["instances"] if card["draining"]}
    assert set(leaving) == set(house.at(one, three))
    assert all(leaving.values())  # they still speak
    asked += [ask(client, number) for number in range(32, 36)]
    assert [asker.told() for asker, _ in asked] == [whole for _, whole in asked]
    status = until(client, lambda status: [card["name"] for card in status["instances"]] == house.at(two))
    assert sum(len(engine.exchanges) for engine in house.engines) == len(asked)  # nobody asked twice
    assert (status["instances"][0]["failed"], status["queue"]["waiting"]) == (0, 0)


@needs_root
def test_a_sound_stays_with_its_instance_while_others_come_and_go(house: House) -> None:
    one, two, three = (house.engine(number) for number in (1, 2, 3))
    sounds = [base64.b64encode(clips.plain_wav(0.2 + number / 100)).decode() for number in range(12)]
    client = house.start().client

    def homes() -> list[str]:
        asked = [
            question("What?", {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}})
            for data in sounds
        ]
        return [client.post(CHAT, json=body).headers["x-meralion-instance"] for body in asked]

    def settle(*engines: FakeEngine) -> None:
        house.name(*engines)
        until(client, lambda status: steady(status, house.at(*engines)))

    settle(one, two, three)
    before = homes()
    assert len(set(before)) == 3
    (gone,) = house.at(three)
    settle(one, two)
    assert [new for new, old in zip(homes(), before, strict=True) if old != gone] == [
        old for old in before if old != gone
    ]
    settle(one, two, three)
    assert homes() == before


@needs_root
def test_without_an_address_a_question_waits_for_one(house: House) -> None:
    client = house.start().client
    house.dns.hosts[NAME] = []
    (model,) = client.get("/v1/status").json()["models"]
    assert (model["state"], model["instances"]) == ("starting", [f"{NAME}:{house.port}"])
    detail = f"No engine is found at {NAME}:{house.port} yet; the controller keeps looking."
    assert model["detail"] == detail
    assert client.get("/readyz").status_code == 503
    asker, whole = ask(client, 1)
    until(client, lambda status: status["queue"]["waiting"] == 1)
    engine = house.engine(1)
    engine.default = recites(length=40)
    house.name(engine)
    assert asker.told() == whole
    until(client, lambda status: steady(status, house.at(engine)))
    assert client.get("/readyz").status_code == 200


@needs_root
def test_a_question_waits_only_so_long(house: House) -> None:
    client = house.start(queue_timeout_s=0.3).client
    error = error_of(client.post(CHAT, json=question()), 503)
    assert (error["code"], error["message"]) == (
        "model_starting",
        "Tiny is still starting. Try again in a few seconds.",
    )


@needs_root
def test_a_fault_of_dns_is_none_of_the_engines(house: House) -> None:
    engine = house.engine(1)
    engine.default = recites(length=40, gap_s=0.01)
    house.name(engine)
    process = house.start()
    client = process.client
    until(client, lambda status: steady(status, house.at(engine)))

    def goes_on(number: int) -> None:
        asked = house.dns.asked
        asker, whole = ask(client, number)
        until(client, lambda _: house.dns.asked >= asked + 2)
        assert asker.told() == whole
        later, then = ask(client, number + 1)
        assert later.told() == then
        assert names(client.get("/v1/status").json()) == house.at(engine)

    del house.dns.hosts[NAME]  # no such name
    goes_on(1)
    house.dns.hosts[NAME] = []  # no address
    goes_on(3)
    house.dns.mood = "fails"
    goes_on(5)
    house.dns.mood = "silent"
    goes_on(7)
    process.popen.terminate()  # a lookup that is not answered keeps nobody
    process.popen.wait(10)


@needs_root
def test_what_is_gone_for_long_is_forgotten_and_its_answers_end(house: House) -> None:
    engine, other = house.engine(1), house.engine(2)
    engine.default = recites(length=40, gap_s=0.05)
    house.name(engine)
    client = house.start(discovery_keep_s=0.3).client
    until(client, lambda status: steady(status, house.at(engine)))
    asker, whole = ask(client, 1)
    until(client, lambda status: status["queue"]["busy"] == 1)
    house.dns.mood = "fails"
    status = until(client, lambda status: names(status) == [f"{NAME}:{house.port}"])
    assert (status["models"][0]["state"], status["queue"]["busy"]) == ("starting", 1)
    waiting, then = ask(client, 2)
    until(client, lambda status: status["queue"]["waiting"] == 1)
    assert asker.told() == whole
    house.dns.mood = "answers"
    other.default = recites(length=40)
    house.name(other)
    assert waiting.told() == then


@needs_root
def test_an_engine_that_died_is_passed_over_until_dns_knows(house: House) -> None:
    one, two = house.engine(1), house.engine(2)
    one.default = two.default = recites(length=40)
    house.name(one, two)
    client = house.start().client
    until(client, lambda status: steady(status, house.at(one, two)))
    one.script = [stalls_after("half")] * 9
    one.die()
    for number in range(6):
        asker, whole = ask(client, number)
        assert asker.told() == whole
    house.name(two)
    until(client, lambda status: [card["name"] for card in status["instances"]] == house.at(two))


@needs_root
def test_addresses_are_bounded(house: House) -> None:
    """A hundred do not fit into a datagram: they come over TCP, and the first of them are used."""
    addresses = [f"127.0.8.{number}" for number in range(1, 101)]
    house.dns.hosts[NAME] = addresses[::-1]
    process = house.start()
    status = until(process.client, lambda status: len(status["instances"]) > 1)
    assert names(status) == [f"{one}:{house.port}" for one in addresses[:MOST]]
    cut = [event for event in process.events() if event["event"] == "lookup cut"]
    assert [event["count"] for event in cut] == [100]


@needs_root
def test_an_address_that_is_listed_too_counts_once(house: House) -> None:
    one, two = house.engine(1), house.engine(2)
    house.name(one, two)
    listed = f'[{{ url = "{one.url}", places = 3 }}, {{ dns = "http://{NAME}:{house.port}" }}]'
    client = house.start(row([]).replace("= []", f"= {listed}")).client
    status = until(client, lambda status: steady(status, house.at(one, two)))
    assert {card["name"]: card["places"] for card in status["instances"]} == dict(
        zip(house.at(one, two), (3, 16), strict=True)
    )


def test_a_registry_that_names_another_service_is_followed(
    start: Start, engine: FakeEngine, tmp_path: Path
) -> None:
    client = start(by_name(engine.port, host="localhost"), reload_interval_s=0.05)
    here = f"127.0.0.1:{engine.port}"
    until(client, lambda status: here in names(status))
    replace: Callable[[str], int] = (tmp_path / "models.toml").write_text
    replace(by_name(engine.port, host="nobody.invalid"))
    until(client, lambda status: names(status) == [f"nobody.invalid:{engine.port}"])
    replace(by_name(engine.port, host="localhost"))
    until(client, lambda status: here in names(status))
    until_up_here(client, here)
    assert text_of(streamed(client, question())) == "Hello world"


def until_up_here(client: httpx.Client, name: str) -> None:
    until(
        client,
        lambda status: any(one["name"] == name and one["state"] == "up" for one in status["instances"]),
    )
