"""Redis that is there, is not, refuses, freezes, dies and returns."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator

import pytest
from pydantic import SecretStr

from backend.errors import StartError
from backend.redis_link import PATIENCE_S, RedisAway, RedisLink, RedisRefused
from tests.backend.redis_server import RedisServer, redis_server


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as running:
        yield running


async def until(true: Callable[[], bool], within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while not true():  # noqa: ASYNC110 - what is waited for is another's state
            await asyncio.sleep(0.01)


def test_commands_are_carried_as_bytes(server: RedisServer) -> None:
    async def main() -> None:
        link = RedisLink(server.secret_url, "x:")
        await link.start()
        assert link.up
        with link.guard():
            await link.client.set("a", b"\xff\x00")
            assert await link.client.get("a") == b"\xff\x00"
        await link.close()
        assert not link.up

    asyncio.run(main())


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "redis://:hidden@h:seven/0", "redis://:a/hidden@h:1", "?"]
)
def test_an_address_that_cannot_be_read_stops_the_start(url: str) -> None:
    with pytest.raises(StartError, match="MERALION_REDIS_URL") as caught:
        RedisLink(SecretStr(url), "x:")
    assert "hidden" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_wrong_password_stops_the_start() -> None:
    with redis_server("right") as server:
        RedisLink(server.secret_url, "x:")
        for wrong in (server.url.replace("right", "hidden"), server.url.replace(":right@", "")):
            with pytest.raises(StartError, match="refuses the name, the password") as caught:
                RedisLink(SecretStr(wrong), "x:")
            assert "hidden" not in str(caught.value)


def test_a_wrong_database_stops_the_start(server: RedisServer) -> None:
    with pytest.raises(StartError, match="database number"):
        RedisLink(SecretStr(server.url[:-1] + "99"), "x:")


def test_one_that_cannot_be_reached_does_not_stop_the_start() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert not RedisLink(SecretStr(f"redis://127.0.0.1:{port}/0"), "x:").up


def test_it_rests_after_a_failure_and_comes_back_by_itself(server: RedisServer) -> None:
    async def main() -> None:
        link = RedisLink(server.secret_url, "x:")
        await link.start()
        server.kill()
        with pytest.raises(RedisAway), link.guard():
            await link.client.get("a")
        assert not link.up
        server.start()
        await until(lambda: link.up)
        with link.guard():
            await link.client.get("a")
        assert link.up
        await link.close()

    asyncio.run(main())


def test_one_that_hangs_delays_nobody_for_long_and_is_noticed_without_a_request(server: RedisServer) -> None:
    async def main() -> None:
        link = RedisLink(server.secret_url, "x:")
        await link.start()
        with link.guard():
            await link.client.get("a")
        server.freeze()
        began = time.monotonic()
        with pytest.raises(RedisAway), link.guard():
            await link.client.get("a")
        assert time.monotonic() - began < 3 * PATIENCE_S
        server.thaw()
        await until(lambda: link.up)
        server.freeze()
        await until(lambda: not link.up)
        await link.close()

    asyncio.run(main())


def test_one_that_refuses_is_not_away(server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        link = RedisLink(server.secret_url, "x:")
        with link.guard():
            await link.client.set("a", b"what was said")
        with server.client() as operator:
            operator.config_set("maxmemory", 1)  # and `noeviction`, the default
            for _ in range(3):
                with pytest.raises(RedisRefused), link.guard():
                    await link.client.set("b", b"more")
                with pytest.raises(RedisRefused), link.guard():
                    await link.client.lrange("a", 0, -1)
                with link.guard():
                    assert await link.client.get("a") == b"what was said"
            assert link.up
            operator.config_set("maxmemory", 0)
        with link.guard():
            await link.client.set("b", b"more")
        await link.close()

    asyncio.run(main())
    told = [
        vars(record)["fields"]["reason"] for record in caplog.records if record.message == "redis refuses"
    ]
    assert told == ["OutOfMemoryError", "WRONGTYPE"]


@pytest.mark.usefixtures("patient_with_redis")
def test_many_at_once_share_a_few_connections(server: RedisServer) -> None:
    async def main() -> None:
        link = RedisLink(server.secret_url, "x:")
        with link.guard():
            await asyncio.gather(*(link.client.incr("a") for _ in range(300)))
            assert await link.client.get("a") == b"300"
            assert len(await link.client.client_list()) <= 40
        await link.close()

    asyncio.run(main())


@pytest.mark.usefixtures("patient_with_redis")
def test_a_crowd_of_ours_is_no_fault_of_redis(server: RedisServer) -> None:
    async def main() -> None:
        link = RedisLink(server.secret_url, "x:")
        for client in (link.client, link.reader):
            pool = client.connection_pool
            taken = [await pool.get_connection() for _ in range(pool.max_connections)]
            with pytest.raises(RedisAway), link.guard():
                await client.get("a")
            assert link.up
            for connection in taken:
                await pool.release(connection)
            with link.guard():
                await client.get("a")
        await link.close()

    asyncio.run(main())
