"""Recordings are sent once, belong to whom sent them, and go away."""

from __future__ import annotations

import asyncio
import contextlib
import io
import time
import wave
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.audio import Clip
from backend.errors import NotFound
from backend.files import File, FileStore
from backend.redis_link import RedisLink
from backend.seal import row_id, seal
from backend.shared_files import SharedFiles
from model.audio import pcm_sha256
from tests.backend.conftest import OTHER, Start, error_of, question, row
from tests.backend.fake_engine import FakeEngine
from tests.backend.redis_server import RedisServer, redis_server
from tests.model import clips


def test_a_file_is_described_played_listed_and_deleted(client: httpx.Client) -> None:
    data = clips.encoded("ipod", "aac")
    card = client.post(
        "/v1/files", files={"file": ("../../me.m4a", data)}, data={"purpose": "user_data"}
    ).json()
    assert card["id"].startswith("file-")
    assert (card["object"], card["bytes"], card["purpose"]) == ("file", len(data), "user_data")
    assert card["expires_at"] > card["created_at"]
    assert card["meralion"]["seconds"] == pytest.approx(2.0, abs=0.1)
    assert card["meralion"]["sample_rate"] == 16_000
    assert card["meralion"]["decode_ms"] >= 0
    content = client.get(f"/v1/files/{card['id']}/content")
    assert content.headers["content-type"] == "audio/wav"
    with wave.open(io.BytesIO(content.content)) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    assert pcm_sha256(pcm) == card["meralion"]["sha256_pcm"]
    assert [file["id"] for file in client.get("/v1/files").json()["data"]] == [card["id"]]
    assert client.get(f"/v1/files/{card['id']}").json()["filename"] == "../../me.m4a"
    assert client.delete(f"/v1/files/{card['id']}").json()["deleted"] is True
    assert error_of(client.get(f"/v1/files/{card['id']}"), 404)["code"] == "file_not_found"


def test_a_stranger_sees_hears_and_deletes_nothing(client: httpx.Client) -> None:
    file_id = client.post("/v1/files", files={"file": ("a.wav", clips.plain_wav())}).json()["id"]
    for headers in (OTHER, {"authorization": "Bearer somebody"}, {}):
        with httpx.Client(base_url=client.base_url, headers=headers, trust_env=False) as stranger:
            assert stranger.get("/v1/files").json()["data"] == []
            assert stranger.get(f"/v1/files/{file_id}").status_code == 404
            assert stranger.get(f"/v1/files/{file_id}/content").status_code == 404
            assert stranger.delete(f"/v1/files/{file_id}").status_code == 404
    assert client.get(f"/v1/files/{file_id}").status_code == 200


def test_files_of_nobody_in_particular_are_not_listed(client: httpx.Client) -> None:
    with httpx.Client(base_url=client.base_url, trust_env=False) as anonymous:
        file_id = anonymous.post("/v1/files", files={"file": ("a.wav", clips.plain_wav())}).json()["id"]
        assert anonymous.get("/v1/files").json()["data"] == []
        assert anonymous.get(f"/v1/files/{file_id}").status_code == 200


def test_a_visitor_keeps_only_so_many(start: Start, engine: FakeEngine) -> None:
    client = start(row([engine.url]), files_per_visitor=2)
    ids = [
        client.post("/v1/files", files={"file": ("a.wav", clips.plain_wav(1 + number))}).json()["id"]
        for number in range(3)
    ]
    assert [file["id"] for file in client.get("/v1/files").json()["data"]] == [ids[2], ids[1]]


def clip(seconds: float) -> Clip:
    pcm = np.full(round(seconds * 16_000), 500, np.int16)
    return Clip(pcm, public=False)


def test_the_store_is_bounded_in_bytes_and_holds_the_same_sound_once() -> None:
    async def check() -> None:
        store = FileStore(max_bytes=120_000, max_age_s=60, per_owner=50)
        same = [await store.add("a", clip(1), "", 1) for _ in range(20)]  # 32,000 bytes each if kept apart
        assert len({id((await store.get("a", file.id)).clip) for file in same}) == 1
        for file in same[1:]:
            await store.delete("a", file.id)
        assert (await store.get("a", same[0].id)).clip.seconds == 1.0
        first = await store.add("b", clip(2), "", 1)
        second = await store.add("b", clip(1.5), "", 1)
        with pytest.raises(NotFound):
            await store.get("b", first.id)
        assert [await store.list(owner) for owner in "ab"] == [same[:1], [second]]
        assert (store.count, store.held_bytes) == (2, 80_000)

    asyncio.run(check())


def test_who_keeps_most_makes_room() -> None:
    async def check() -> None:
        store = FileStore(max_bytes=320_000, max_age_s=60, per_owner=50)  # ten seconds
        modest = await store.add("modest", clip(1), "", 1)
        greedy = [await store.add("greedy", clip(2 + number / 100), "", 1) for number in range(8)]
        assert await store.list("modest") == [modest]
        assert await store.list("greedy") == greedy[:-5:-1]
        large = await store.add("large", clip(9), "", 1)  # it stays, though nobody keeps more
        assert [await store.list(owner) for owner in ("modest", "greedy", "large")] == [[modest], [], [large]]
        await store.add("later", clip(0.5), "", 1)
        assert await store.list("large") == []
        for owner in ("a", "b"):  # as much as each other
            await store.add(owner, clip(4 if owner == "a" else 4.25), "", 1)
        await store.add("a", clip(0.25), "", 1)
        assert (store.count, store.held_bytes) == (5, 320_000)
        await store.add("c", clip(0.125), "", 1)
        assert [len(await store.list(owner)) for owner in ("modest", "later", "a", "b", "c")] == [
            1,
            1,
            1,
            1,
            1,
        ]

    asyncio.run(check())


def test_behind_one_address_four_times_as_many_are_kept() -> None:
    async def check() -> None:
        store = FileStore(max_bytes=2**30, max_age_s=60, per_owner=2)
        files = [await store.add("anonymous-address-1", clip(1), "", 1) for _ in range(9)]
        other = await store.add("anonymous-address-2", clip(1), "", 1)
        with pytest.raises(NotFound):
            await store.get("anonymous-address-1", files[0].id)
        for file in (*files[1:], other):
            assert await store.get(file.owner, file.id) == file
        assert (store.count, store.held_bytes) == (9, 32_000)

    asyncio.run(check())


SHELF_STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "delete", "later"]), st.sampled_from("abc"), st.integers(1, 6)),
    max_size=40,
)


@given(SHELF_STEPS)
def test_whatever_comes_and_goes_the_store_counts_right(steps: list[tuple[str, str, int]]) -> None:
    async def check() -> None:
        now = 0.0
        store = FileStore(max_bytes=1_000, max_age_s=60, per_owner=3, clock=lambda: now)
        for step, owner, size in steps:
            files = await store.list(owner)
            if step == "later":
                now += 10 * size
            elif step == "add":
                new = await store.add(owner, Clip(np.full(50 * size, size, np.int16), public=False), "", 1)
                assert (await store.list(owner))[0] == new
            elif files:
                await store.delete(owner, files[size % len(files)].id)
            shelves = [await store.list(owner) for owner in "abc"]
            kept = [file for shelf in shelves for file in shelf]
            sounds = {file.clip.sha256: file.clip.pcm.nbytes for file in kept}
            assert (store.count, store.held_bytes) == (len(kept), sum(sounds.values()))
            assert store.held_bytes <= 1_000
            assert all(len(shelf) <= 3 for shelf in shelves)

    asyncio.run(check())


def test_files_expire() -> None:
    async def check() -> None:
        now = 1_000.0
        store = FileStore(max_bytes=100_000, max_age_s=60, per_owner=50, clock=lambda: now)
        file = await store.add("a", clip(1), "", 1)
        now = 1_059.0
        assert await store.get("a", file.id) is file
        now = 1_061.0
        assert await store.list("a") == []
        with pytest.raises(NotFound):
            await store.get("a", file.id)

    asyncio.run(check())


def test_openais_clients_may_say_any_purpose_and_turn_pages(client: httpx.Client) -> None:
    def upload(purpose: str) -> httpx.Response:
        files = {"file": ("a.wav", clips.plain_wav())}
        return client.post("/v1/files", files=files, data={"purpose": purpose})

    def listed(**query: object) -> tuple[list[str], bool]:
        page = client.get("/v1/files", params=query).json()  # type: ignore[arg-type]
        return [file["id"] for file in page["data"]], page["has_more"]

    cards = [upload(purpose).json() for purpose in ("assistants", "user_data", "vision")]
    assert [card["purpose"] for card in cards] == ["assistants", "user_data", "vision"]
    assert error_of(upload("mischief"), 400)["param"] == "purpose"
    one, two, three = (card["id"] for card in cards)
    assert listed() == ([three, two, one], False)
    assert listed(limit=2) == ([three, two], True)
    assert listed(limit=2, after=two) == ([one], False)
    assert listed(order="asc", limit=1) == ([one], True)
    assert listed(purpose="vision") == ([three], False)
    assert listed(after="file-that-is-gone") == ([], False)
    for query in ({"limit": "0"}, {"limit": "many"}, {"order": "any"}):
        assert error_of(client.get("/v1/files", params=query), 400)["param"] in query


# Several controllers


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@contextlib.asynccontextmanager
async def stores(
    redis: RedisServer, max_bytes: int = 2**26, max_age_s: float = 60
) -> AsyncIterator[tuple[FileStore, FileStore]]:
    """What two controllers keep."""
    links = [RedisLink(redis.secret_url, "test:") for _ in range(2)]
    both = [FileStore(max_bytes, max_age_s, 50, SharedFiles(link, max_bytes)) for link in links]
    for link in links:
        await link.start()
    try:
        yield both[0], both[1]
    finally:
        for store, link in zip(both, links, strict=True):
            await store.close()
            await link.close()


async def is_gone(store: FileStore, file: File, owner: str = "a") -> bool:
    try:
        await store.get(owner, file.id)
    except NotFound as error:
        assert error.message == "There is no such file, or it has expired. Upload the recording again."
        return True
    return False


async def until(what: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await what():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def tone(seconds: float) -> Clip:
    pcm = np.random.default_rng(7).integers(-3_000, 3_000, round(seconds * 16_000)).astype(np.int16)
    return Clip(pcm, public=False)


@pytest.mark.parametrize("seconds", [0.1, 1.0, 16.5, 300.0])
def test_a_file_can_be_used_at_another_controller_by_its_owner_alone(
    redis: RedisServer, seconds: float
) -> None:
    async def check() -> None:
        async with stores(redis) as (here, there):
            clip = tone(seconds)
            file = await here.add("a", clip, "\ud83d voice.m4a", 77, "assistants")
            assert await is_gone(there, file, "b")
            assert await is_gone(there, file, "anonymous")
            found = await there.get("a", file.id)
            assert (found.owner, found.filename, found.bytes) == ("a", "\ud83d voice.m4a", 77)
            assert (found.purpose, found.created_at, found.expires_at) == (
                "assistants",
                file.created_at,
                file.expires_at,
            )
            assert np.array_equal(found.clip.pcm, clip.pcm)
            assert found.clip.sha256 == pcm_sha256(found.clip.pcm)
            assert await is_gone(there, file, "b")  # now that it is in memory there, too
            assert (await there.get("a", file.id)).clip is found.clip

    asyncio.run(check())


def test_redis_sees_neither_sound_nor_owner_and_forgets_in_time(redis: RedisServer) -> None:
    async def check() -> None:
        async with stores(redis, max_age_s=60) as (here, _):
            clip = tone(1)
            file = await here.add("visitor-abcdef", clip, "my voice.m4a", 77)
            with redis.client() as client:
                (name,) = client.keys()
                data = client.get(name)
                lifetime_ms = client.pttl(name)
            assert isinstance(data, bytes)
            seen = name + data
            for secret in (b"visitor", b"abcdef", b"voice", file.id.encode(), clip.pcm[100:120].tobytes()):
                assert secret not in seen
            assert clip.sha256.encode() not in seen
            assert 50_000 < lifetime_ms <= 60_000

    asyncio.run(check())


@pytest.mark.parametrize("where", ["where it came from", "elsewhere"])
def test_a_deleted_file_is_gone_everywhere(redis: RedisServer, where: str) -> None:
    async def check() -> None:
        async with stores(redis) as (here, there):
            file = await here.add("a", tone(1), "", 1)
            await there.get("a", file.id)
            for store in (here, there):
                with pytest.raises(NotFound):
                    await store.delete("b", file.id)
            await (here if where == "where it came from" else there).delete("a", file.id)
            assert await is_gone(here, file)
            assert await is_gone(there, file)
            with redis.client() as client:
                assert [client.strlen(name) for name in client.scan_iter()] == [1]

    asyncio.run(check())


def test_a_deletion_while_redis_is_away_is_told_when_it_is_back(redis: RedisServer) -> None:
    async def check() -> None:
        async with stores(redis) as (here, there):
            file = await here.add("a", tone(1), "", 1)
            assert not await is_gone(there, file)
            redis.freeze()
            await here.delete("a", file.id)
            assert await is_gone(here, file)
            redis.thaw()
            await until(lambda: is_gone(there, file))
            assert await is_gone(here, file)

    asyncio.run(check())


def test_without_redis_files_are_local_and_nobody_waits(redis: RedisServer) -> None:
    async def check() -> None:
        async with stores(redis) as (here, there):
            first = await here.add("a", tone(1), "", 1)
            redis.freeze()
            begun = time.monotonic()
            files = [await here.add("a", tone(1), "", 1) for _ in range(20)]
            for file in (first, *files):
                assert not await is_gone(here, file)
                assert await is_gone(there, file)
            assert len(await here.list("a")) == 21
            assert time.monotonic() - begun < 4  # a time-out or two, not sixty
            redis.kill()
            assert not await is_gone(here, first)
            redis.start()

            async def is_shared() -> bool:
                return not await is_gone(there, await here.add("a", tone(1), "", 1))

            await until(is_shared)

    asyncio.run(check())


def test_a_controller_shares_only_as_many_bytes_as_it_may_hold(redis: RedisServer) -> None:
    async def check() -> None:
        async with stores(redis, max_bytes=100_000) as (here, there):
            files = [await here.add("a", tone(1), "", 1) for _ in range(6)]  # one sound, held once
            with redis.client() as client:

                async def has_room() -> bool:
                    return sum(client.strlen(name) for name in client.scan_iter()) <= 100_000

                await until(has_room)
                assert client.dbsize() == 3
            assert [await is_gone(there, file) for file in files] == [True] * 3 + [False] * 3
            assert not await is_gone(here, files[0])
            large = await here.add("a", tone(4), "", 1)
            assert await is_gone(there, large)

    asyncio.run(check())


def test_what_lies_in_redis_under_a_files_name_cannot_do_harm(redis: RedisServer) -> None:
    async def check() -> None:
        async with stores(redis, max_bytes=100_000) as (here, there):
            with redis.client() as client:
                for number, data in enumerate(
                    (
                        b"",
                        b"\x00",
                        b"\x01",
                        b"garbage" * 100,
                        bytes(5_000_000),
                        lambda name: seal(name, b""),
                        lambda name: seal(name, b"\x00\x00\x00\x02{}"),
                        lambda name: seal(name, b"\x00\x00\x00\x09[1, 2, 3]odd"),
                        lambda name: seal(name, b"\xff\xff\xff\xff{}"),
                        lambda name: seal("file-of-another", b"\x00\x00\x00\x02{}"),
                    )
                ):
                    file_id = f"file-{number:024}"
                    client.set(f"test:file:{row_id(file_id)}", data(file_id) if callable(data) else data)
                    for owner in ("a", "b"):
                        with pytest.raises(NotFound):
                            await there.get(owner, file_id)
                client.rpush(f"test:file:{row_id('file-' + 'x' * 24)}", "a list")
            for name in (
                "file-" + "x" * 24,
                "",
                "file-",
                "*",
                "file-*" + "x" * 23,
                "x" * 1_000_000,
                "\ud83d",
            ):
                with pytest.raises(NotFound):
                    await there.get("a", name)
            file = await here.add("a", tone(1), "", 1)
            assert not await is_gone(here, file)

    asyncio.run(check())


def test_two_controllers_take_a_file_as_one(start: Start, engine: FakeEngine, redis: RedisServer) -> None:
    here, there = (start(row([engine.url]), redis_url=redis.url) for _ in range(2))
    card = here.post("/v1/files", files={"file": ("a.m4a", clips.encoded("ipod", "aac"))}).json()
    path = f"/v1/files/{card['id']}"
    asked = question("Hi?", {"type": "file", "file": {"file_id": card["id"]}})
    assert there.post("/v1/chat/completions", json=asked, headers=OTHER).status_code == 404
    assert there.get(f"{path}/content", headers=OTHER).status_code == 404
    assert there.delete(path, headers=OTHER).status_code == 404
    assert there.post("/v1/chat/completions", json=asked).status_code == 200
    assert there.get(f"{path}/content").content == here.get(f"{path}/content").content
    assert there.get(path).json()["meralion"]["sha256_pcm"] == card["meralion"]["sha256_pcm"]
    assert there.delete(path).status_code == 200
    assert here.get(f"{path}/content").status_code == 404
    assert here.post("/v1/chat/completions", json=asked).status_code == 404
