"""Recordings are sent once, belong to whom sent them, and go away."""

from __future__ import annotations

import io
import wave

import httpx
import numpy as np
import pytest

from backend.audio import Clip
from backend.errors import NotFound
from backend.files import FileStore
from model.audio import pcm_sha256
from tests.backend.conftest import OTHER, Start, error_of, row
from tests.backend.fake_engine import FakeEngine
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
    return Clip(pcm_sha256(pcm), pcm, public=False)


def test_the_store_is_bounded_in_bytes_and_holds_the_same_sound_once() -> None:
    store = FileStore(max_bytes=120_000, max_age_s=60, per_owner=50)
    same = [store.add("a", clip(1), "", 1) for _ in range(20)]  # 32,000 bytes each if they were kept apart
    assert len({id(store.get("a", file.id).clip) for file in same}) == 1
    for file in same[1:]:
        store.delete("a", file.id)
    assert store.get("a", same[0].id).clip.seconds == 1.0
    store.add("b", clip(2), "", 1)
    store.add("b", clip(1.5), "", 1)
    with pytest.raises(NotFound):
        store.get("a", same[0].id)
    assert len(store.list("b")) == 2


def test_files_expire() -> None:
    now = 1_000.0
    store = FileStore(max_bytes=100_000, max_age_s=60, per_owner=50, clock=lambda: now)
    file = store.add("a", clip(1), "", 1)
    now = 1_059.0
    assert store.get("a", file.id) is file
    now = 1_061.0
    assert store.list("a") == []
    with pytest.raises(NotFound):
        store.get("a", file.id)
