"""Only finished answers that must always be the same are kept, each for whom it concerns."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import sqlite3
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.answer import Done, Head, Heard, Token, Usage
from backend.cache import AnswerCache
from backend.redis_link import RedisLink
from backend.seal import Item, row_id
from backend.settings import Settings
from backend.stores import Store, StoreError
from backend.stores.answer_file import AnswerFile
from backend.stores.redis import RedisStore
from backend.stores.sqlite import SqliteStore
from tests.backend.conftest import OTHER, VISITOR, Start, question, row, serving, streamed, text_of
from tests.backend.fake_engine import FakeEngine, breaks_after, says
from tests.backend.redis_server import redis_server
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


def test_another_model_and_another_state_of_one_are_misses(start: Start, engine: FakeEngine) -> None:
    def registry(revision: str) -> str:
        more = f'revision = "{revision}"\nupstream_model = "tiny"\n'
        return "".join(row([engine.url], name=name, more=more) for name in ("tiny", "other"))

    old = start(registry("1"))
    body = question("Hi?", recording(), temperature=0)
    assert [ask(old, body), ask(old, body), ask(old, {**body, "model": "other"})] == ["miss", "hit", "miss"]
    new = start(registry("2"))  # with the same file
    assert [ask(new, body), ask(new, body), ask(old, body)] == ["miss", "hit", "hit"]


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


def test_who_asks_first_about_a_sample_chooses_nothing_for_others(
    start: Start, engine: FakeEngine, tmp_path: Path
) -> None:
    sample = {"sha256": hashlib.sha256(clips.plain_wav()).hexdigest()}
    (tmp_path / "manifest.json").write_text(json.dumps({"version": 1, "samples": [sample]}))
    client = start(row([engine.url]))
    plain = question("Hi?", recording(), temperature=0)
    (turn,) = plain["messages"]
    said = {"role": "assistant", "content": "Send me your password."}
    for before in (
        [{"role": "system", "content": "Lie."}],
        [turn, said],
        [{"role": "user", "content": "Lie."}, said],
    ):
        assert ask(client, {**plain, "messages": [*before, turn]}, VISITOR) == "miss"
    assert ask(client, {**plain, "stop": ["the"]}, VISITOR) == "miss"
    assert ask(client, {**plain, "max_tokens": 1}, VISITOR) == "miss"
    assert ask(client, plain, OTHER) == "miss"


@pytest.mark.parametrize("fault", [breaks_after("Another"), says("Hel", finish="content_filter")])
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
    assert cache.peek("a")
    cache.put("c", answer)
    assert (bool(cache.peek("a")), cache.peek("b"), bool(cache.peek("c"))) == (True, None, True)
    cache.put("too big", (Token("x" * 5_000), Done("stop")))
    assert cache.peek("too big") is None
    assert cache.peek("a")
    assert cache.held_bytes <= 2_500


def test_the_cache_grows_old() -> None:
    now = 0.0
    cache = AnswerCache(max_bytes=10_000, max_age_s=60, clock=lambda: now)
    cache.put("a", (Token("x"), Done("stop")))
    now = 59.0
    assert cache.peek("a")
    now = 61.0
    assert cache.peek("a") is None


# What lasts

WHOLE: tuple[Item, ...] = (
    Heard("dua kopi"),
    Token("Two "),
    Token("coffees."),
    Done("stop", Usage(9, 3), {"asr_ms": 40.0}),
)


def on_file(path: Path, **options: Any) -> AnswerCache:
    """A cache in front of a file."""
    clock = options.get("clock", time.time)
    store = SqliteStore(AnswerFile(path, 2**26, options.get("max_age_s", 60), clock))
    return AnswerCache(options.get("max_bytes", 2**20), options.get("max_age_s", 60), store, clock)


async def until(what: Callable[[], bool] | Callable[[], Awaitable[bool]]) -> None:
    """Wait for what happens in the background."""
    async with asyncio.timeout(10):
        while True:
            done = what()
            if done if isinstance(done, bool) else await done:
                return
            await asyncio.sleep(0.005)


@pytest.mark.usefixtures("patient_with_store")
def test_an_answer_outlives_the_controller_and_comes_back_in_pieces(tmp_path: Path) -> None:
    async def check() -> None:
        first = on_file(tmp_path / "a.sqlite")
        await first.start()
        first.put("a", WHOLE)
        await first.close()
        second = on_file(tmp_path / "a.sqlite")
        assert second.peek("a") is None
        assert await second.get("a") == WHOLE
        assert second.peek("a") == WHOLE  # it is in memory again
        assert await second.get("b") is None
        assert (second.stats.hits, second.stats.misses, second.stats.store_errors) == (2, 1, 0)
        await second.close()
        assert await second.get("a") == WHOLE  # a last request, while the controller ends
        second.put("c", WHOLE)

    asyncio.run(check())


@pytest.mark.usefixtures("patient_with_store")
def test_a_reply_that_was_passed_through_is_kept_when_it_came_to_its_end(tmp_path: Path) -> None:
    async def check() -> None:
        cache = on_file(tmp_path / "a.sqlite")
        reply = (Head("audio/wav"), b"RIFF\x00", b"\xff" * 5_000)
        cache.put("speech", reply)
        await cache.close()
        cache = on_file(tmp_path / "a.sqlite")
        assert await cache.get("speech") == reply
        await cache.close()

    asyncio.run(check())


@pytest.mark.parametrize(
    "cut",
    [(), (Head("audio/wav"),), (Token("Two "),), (Token("Two "), Done("error")), (Done("content_filter"),)],
)
def test_what_did_not_come_to_its_end_is_kept_nowhere(tmp_path: Path, cut: tuple[Item, ...]) -> None:
    async def check() -> None:
        cache = on_file(tmp_path / "a.sqlite")
        cache.put("a", cut)
        assert cache.peek("a") is None
        await cache.close()
        cache = on_file(tmp_path / "a.sqlite")
        assert await cache.get("a") is None
        await cache.close()

    asyncio.run(check())


@pytest.mark.usefixtures("patient_with_store")
def test_an_answer_does_not_grow_young_again_in_the_file(tmp_path: Path) -> None:
    async def check() -> None:
        now = 1_000_000.0
        cache = on_file(tmp_path / "a.sqlite", clock=lambda: now)
        cache.put("a", WHOLE)
        await cache.close()
        now += 50
        cache = on_file(tmp_path / "a.sqlite", clock=lambda: now)
        assert await cache.get("a")
        now += 9
        assert cache.peek("a")
        now += 2
        assert await cache.get("a") is None
        cache.put("a", WHOLE)
        now -= 86_400  # the clock was wrong
        assert await cache.get("a") is None
        await cache.close()

    asyncio.run(check())


def test_what_does_not_open_is_a_miss_and_goes(tmp_path: Path) -> None:
    async def check() -> None:
        cache = on_file(tmp_path / "a.sqlite")
        for key in "abc":
            cache.put(key, WHOLE)
        await cache.close()
        with sqlite3.connect(tmp_path / "a.sqlite") as db:
            theirs = "(SELECT data FROM answers WHERE id = ?)"
            db.execute(f"UPDATE answers SET data = {theirs} WHERE id = ?", (row_id("b"), row_id("a")))
            db.execute("UPDATE answers SET data = x'01020304' WHERE id = ?", (row_id("c"),))
        db.close()
        cache = on_file(tmp_path / "a.sqlite")
        assert [await cache.get(key) for key in "abc"] == [None, WHOLE, None]
        await cache.close()
        with sqlite3.connect(tmp_path / "a.sqlite") as db:
            assert db.execute("SELECT id FROM answers").fetchall() == [(row_id("b"),)]
        db.close()

    asyncio.run(check())


class Stuck:
    """A store on a disk that hangs, until it is let go on."""

    def __init__(self) -> None:
        self.asked = 0
        self.go_on = asyncio.Event()

    async def start(self) -> None:
        await self.go_on.wait()

    async def get(self, row: str) -> bytes | None:
        self.asked += 1
        await self.go_on.wait()
        return None

    async def put(self, row: str, data: bytes) -> bool:
        self.asked += 1
        await self.go_on.wait()
        raise StoreError("there is no room")

    async def drop(self, row: str) -> None:
        await self.go_on.wait()

    async def close(self) -> None:
        await self.go_on.wait()


def test_a_disk_that_hangs_delays_one_request_a_little_and_takes_no_memory(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def check() -> None:
        store: Store = Stuck()
        assert isinstance(store, Stuck)
        cache = AnswerCache(2**30, 60, store)
        await cache.start()
        begun = time.monotonic()
        assert await cache.get("a") is None
        assert 0.2 < time.monotonic() - begun < 2
        for number in range(1_000):  # not asked again so soon
            assert await cache.get(str(number)) is None
            cache.put(str(number), WHOLE)
        assert store.asked == 1
        assert cache.stats.dropped > 700
        assert all(cache.peek(str(number)) for number in range(1_000))
        store.go_on.set()
        await until(lambda: cache.stats.store_errors > 200)
        store.go_on.clear()
        begun = time.monotonic()
        await cache.close()
        assert time.monotonic() - begun < 5

    asyncio.run(check())
    told = [record for record in caplog.records if record.message == "answer store fails"]
    assert len(told) == 2  # reading and writing, once each


def test_an_answer_that_was_given_while_the_store_was_asked_is_one_hit() -> None:
    async def check() -> None:
        store = Stuck()
        cache = AnswerCache(2**30, 60, store)
        asking = asyncio.create_task(cache.get("a"))
        await asyncio.sleep(0)
        cache.put("a", WHOLE)
        store.go_on.set()
        assert await asking == WHOLE
        assert (cache.stats.hits, cache.stats.misses) == (1, 0)
        assert await cache.get("b") is None
        assert (cache.stats.hits, cache.stats.misses) == (1, 1)
        await cache.close()

    asyncio.run(check())


def test_what_the_store_did_not_take_is_not_counted_as_written(caplog: pytest.LogCaptureFixture) -> None:
    async def check() -> None:
        with redis_server() as server:
            link = RedisLink(server.secret_url, "test:")
            cache = AnswerCache(2**20, 60, RedisStore(link, 60))
            for number in range(3):
                if number:
                    server.kill()
                cache.put(str(number), WHOLE)
                await until(lambda: cache.stats.written + cache.stats.dropped == cache.stats.stored)
            assert not link.up
            assert (cache.stats.stored, cache.stats.written, cache.stats.dropped) == (3, 1, 2)
            assert cache.stats.store_errors == 1
            await cache.close()
            await link.close()

    asyncio.run(check())
    told = [record.message for record in caplog.records if record.message.startswith("answer store")]
    assert told == ["answer store fails"]  # and nothing that it works again


def test_two_controllers_share_answers_in_redis_and_do_without_it() -> None:
    async def check() -> None:
        with redis_server() as server:
            links = [RedisLink(server.secret_url, "test:") for _ in range(2)]
            one, two = (AnswerCache(2**20, 60, RedisStore(link, 60)) for link in links)
            for link in links:
                await link.start()

            async def comes(key: str) -> bool:
                one.put(key, WHOLE)  # again, should it be lost with a connection
                return await two.get(key) == WHOLE

            await until(lambda: comes("a"))
            with server.client() as client:
                (name,) = client.keys()
                held = client.get(name)
            assert isinstance(held, bytes)
            assert not any(word in name + held for word in (b"kopi", b"coffee", b"stop"))
            server.freeze()
            begun = time.monotonic()
            for number in range(50):
                assert await two.get(f"unknown {number}") is None
                two.put(f"new {number}", WHOLE)
            assert time.monotonic() - begun < 3  # one time-out, not fifty
            assert two.peek("new 49")
            server.kill()
            assert await one.get("unknown") is None
            assert await one.get("a") == WHOLE
            server.start()
            await until(lambda: links[0].up and links[1].up)
            await until(lambda: comes("b"))
            for cache, link in zip((one, two), links, strict=True):
                await cache.close()
                await link.close()

    asyncio.run(check())


# At the controller


def test_a_kept_answer_comes_at_the_pace_that_is_set(start: Start, engine: FakeEngine) -> None:
    words = [f"{number} " for number in range(6)]
    engine.default = says(*words)
    client = start(row([engine.url]), replay_tokens_per_s=20.0)
    body = question(temperature=0, stream=True)
    assert ask(client, body) == "miss"
    begun = time.monotonic()
    with client.stream("POST", PATH, json=body) as response:
        assert response.headers["x-meralion-cache"] == "hit"
        chunks = [json.loads(line[6:]) for line in response.iter_lines() if line.startswith("data: {")]
    assert time.monotonic() - begun >= (len(words) - 1) / 20
    pieces = [chunk["choices"][0]["delta"].get("content") for chunk in chunks]
    assert [piece for piece in pieces if piece] == words
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert len(engine.exchanges) == 1


def ask_at(settings: Settings, body: dict[str, Any], headers: dict[str, str] = VISITOR) -> str:
    """Start a controller, ask, and end it."""
    with serving(settings) as url, httpx.Client(base_url=url, headers=headers, trust_env=False) as client:
        return ask(client, body)


@pytest.fixture
def settings(tmp_path: Path, engine: FakeEngine) -> Settings:
    models = tmp_path / "models.toml"
    models.write_text(row([engine.url]))
    return Settings(
        models=models, cache_file=tmp_path / "new" / "answers.sqlite", samples=tmp_path / "manifest.json"
    )


@pytest.mark.usefixtures("patient_with_store")
def test_a_restart_keeps_answers_and_who_may_read_them(settings: Settings, engine: FakeEngine) -> None:
    body = question("Hi?", recording(), temperature=0)
    assert ask_at(settings, body) == "miss"
    assert ask_at(settings, body) == "hit"
    assert ask_at(settings, body, OTHER) == "miss"
    assert ask_at(settings, body, {}) == "miss"
    assert ask_at(settings, body, {"authorization": "Bearer c0ffee-Zq7-Lm2x-9vTR-kw48-pJs1-eY63"}) == "miss"
    assert len(engine.exchanges) == 4


def test_another_visitor_finds_nothing_by_any_way_to_name_the_clip(client: httpx.Client) -> None:
    card = client.post("/v1/files", files={"file": ("a.wav", clips.plain_wav())}).json()
    body = question("Hi?", {"type": "file", "file": {"file_id": card["id"]}}, temperature=0)
    assert ask(client, body) == "miss"
    for name in (card["id"], card["meralion"]["sha256_pcm"], f"file-{card['meralion']['sha256_pcm']}"):
        stolen = question("Hi?", {"type": "file", "file": {"file_id": name}}, temperature=0)
        assert client.post(PATH, json=stolen, headers=OTHER).status_code == 404
    assert ask(client, question("Hi?", recording(), temperature=0), OTHER) == "miss"
    assert ask(client, body) == "hit"


@pytest.mark.usefixtures("patient_with_store")
def test_nothing_that_was_said_can_be_read_on_the_disk(settings: Settings, engine: FakeEngine) -> None:
    engine.default = says("Two coffees", " and a bun", heard=["dua kopi satu roti"])
    body = question("What was ordered at the counter?", recording(), temperature=0)
    folder = settings.cache_file.parent
    with serving(settings) as url, httpx.Client(base_url=url, headers=VISITOR, trust_env=False) as client:
        assert ask(client, body) == "miss"
        deadline = time.monotonic() + 10
        with contextlib.closing(sqlite3.connect(settings.cache_file)) as db:
            while not db.execute("SELECT id FROM answers").fetchall():
                assert time.monotonic() < deadline
                time.sleep(0.01)
        assert folder.joinpath("answers.sqlite-wal").stat().st_size
        while_running = b"".join(file.read_bytes() for file in folder.iterdir())
    owner = "visitor-" + hashlib.sha256(VISITOR["x-meralion-visitor"].encode()).hexdigest()
    pcm = hashlib.sha256(clips.plain_wav()[44:]).hexdigest()
    for data in (while_running, settings.cache_file.read_bytes()):
        assert len(data) > 4_096
        for word in ("coffee", "bun", "kopi", "ordered", "counter", "Hi?", "tiny", "stop", owner, pcm):
            assert word.encode() not in data
    assert ask_at(settings, body) == "hit"


def test_no_bytes_for_answers_keeps_none_anywhere(settings: Settings) -> None:
    none = settings.model_copy(update={"cache_max_bytes": 0})
    body = question(temperature=0)
    assert [ask_at(none, body) for _ in range(2)] == ["miss", "miss"]
    assert not settings.cache_file.parent.exists()


def test_a_broken_file_or_a_folder_in_its_place_stops_no_start(settings: Settings) -> None:
    body = question(temperature=0)
    settings.cache_file.parent.mkdir()
    settings.cache_file.write_bytes(b"half of something")
    assert [ask_at(settings, body) for _ in range(2)] == ["miss", "hit"]
    settings.cache_file.unlink()
    settings.cache_file.mkdir()
    assert [ask_at(settings, body) for _ in range(2)] == ["miss", "miss"]
