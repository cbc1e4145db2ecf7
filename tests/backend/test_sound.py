"""Sound on its way in: turns at the decoder, and a list of samples that is broken."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from backend.audio import Ingest
from backend.errors import Busy, StartError
from backend.settings import Settings
from tests.model import clips


def ingest(tmp_path: Path, **settings: Any) -> Ingest:
    return Ingest(Settings(samples=tmp_path / "manifest.json", **settings))


def test_another_callers_clip_does_not_wait_for_twenty_of_one(tmp_path: Path) -> None:
    data, plain = clips.encoded("ipod", "aac"), clips.plain_wav()
    ended: list[str] = []

    async def read(door: Ingest, owner: str, file: bytes) -> None:
        await door.clip(file, owner=owner)
        ended.append(owner)

    async def scene() -> None:
        door = ingest(tmp_path, queue_per_visitor=20)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(20):
                    group.create_task(read(door, "greedy", data))
                await asyncio.sleep(0)
                group.create_task(read(door, "modest", data))
                group.create_task(read(door, "plain", plain))
        finally:
            await door.close()

    asyncio.run(scene())
    assert len(ended) == 22
    assert ended.index("plain") == 0  # it needs no codec
    assert ended.index("modest") <= 3


@pytest.mark.parametrize("long", [False, True], ids=["clip", "recording"])
def test_beyond_their_share_clips_are_refused_with_what_to_do(tmp_path: Path, long: bool) -> None:
    data = clips.encoded("ipod", "aac")

    async def scene() -> list[Any]:
        door = ingest(tmp_path, queue_per_visitor=2)
        read = door.recording if long else door.clip
        try:
            return await asyncio.gather(*(read(data, owner="a") for _ in range(5)), return_exceptions=True)
        finally:
            await door.close()

    *read, fourth, fifth = asyncio.run(scene())
    assert not any(isinstance(one, Exception) for one in read)
    for refused in (fourth, fifth):
        assert isinstance(refused, Busy)
        assert (refused.status, refused.code) == (429, "decoder_busy")
        assert refused.headers["Retry-After"]
        assert "Several of your recordings" in refused.message
        assert "16 kHz mono WAV" in refused.message


def test_a_clip_waits_for_the_decoder_no_longer_than_the_queues_deadline(tmp_path: Path) -> None:
    data = clips.encoded("flac", "flac", seconds=200)

    async def scene() -> list[Any]:
        door = ingest(tmp_path, queue_timeout_s=0.05)
        try:
            return await asyncio.gather(*(door.clip(data, owner=one) for one in "ab"), return_exceptions=True)
        finally:
            await door.close()

    began = time.monotonic()
    read, refused = asyncio.run(scene())
    assert read.seconds == pytest.approx(200, abs=0.1)
    assert isinstance(refused, Busy)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "{}", '{"samples": 5}', '{"samples": [5]}', '{"samples": [{"file": "a.mp3"}]}', "\xff"],
)
def test_a_broken_list_of_samples_stops_the_start_in_words(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(StartError, match=r"manifest\.json is no list of samples.*MERALION_SAMPLES"):
        ingest(tmp_path)
