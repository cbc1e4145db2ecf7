"""1. What people and attackers send as sound, over HTTP: a clip, or one sentence that says what is wrong."""

from __future__ import annotations

import base64
import io
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from backend.settings import Settings
from tests.backend.asking import CHAT
from tests.backend.conftest import VISITOR, error_of, question, row, serving
from tests.backend.fake_engine import FakeEngine
from tests.backend.test_start import ROOT
from tests.model import clips
from tests.model.test_audio import REFUSED

MARKUP = b"<html><script>alert(1)</script></html>"
TONE = clips.pcm16(clips.tone(1))


@pytest.fixture(scope="module")
def engine() -> Iterator[FakeEngine]:
    fake = FakeEngine("tiny")
    yield fake
    fake.shut_down()


@pytest.fixture(scope="module")
def client(engine: FakeEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """One controller for all of them: what one file does to it, the next would show."""
    models = tmp_path_factory.mktemp("sound") / "models.toml"
    models.write_text(row([engine.url]))
    with (
        serving(Settings(models=models, cache_store="none")) as url,
        httpx.Client(base_url=url, headers=VISITOR, timeout=30, trust_env=False) as client,
    ):
        send(client, clips.encoded("flac", "flac"))  # starts the decoder
        yield client


def send(client: httpx.Client, data: bytes, name: str = "a.wav") -> httpx.Response:
    return client.post("/v1/files", files={"file": (name, data)})


def inline(data: bytes) -> dict[str, Any]:
    return {
        "type": "input_audio",
        "input_audio": {"data": base64.b64encode(data).decode(), "format": "wav"},
    }


@pytest.mark.parametrize("name", REFUSED)
def test_1_what_is_no_clip_is_refused_in_a_sentence(
    client: httpx.Client, engine: FakeEngine, name: str
) -> None:
    data, code = REFUSED[name]
    status = 413 if code == "audio_too_large" else 400
    before = len(engine.exchanges)
    started = time.monotonic()
    assert error_of(send(client, data), status)["code"] == code
    if status == 400:
        assert error_of(client.post(CHAT, json=question("What?", inline(data))), 400)["code"] == code
    assert time.monotonic() - started < 3
    assert len(engine.exchanges) == before
    assert send(client, clips.plain_wav()).status_code == 200


def _zipped() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("page.html", MARKUP)
    return held.getvalue()


def _tagged(data: bytes) -> bytes:
    """MP3 or ADTS behind a tag that holds a page."""
    size = len(MARKUP)
    return b"ID3\x04\x00\x00" + bytes([0, 0, size >> 7, size & 127]) + MARKUP + data


TAKEN = {
    "a size of 0xFFFFFFFF": clips.wav(TONE, size=0xFFFFFFFF),
    "8 bits": clips.encoded("wav", "pcm_u8"),
    "24 bits": clips.encoded("wav", "pcm_s24le"),
    "32 bits": clips.encoded("wav", "pcm_s32le"),
    "floats": clips.wav(clips.tone(1).astype("<f4").tobytes(), bits=32, codec=3),
    "stereo": clips.encoded("wav", "pcm_s16le", layout="stereo"),
    "M4A named .wav": clips.encoded("ipod", "aac"),
    "WebM named .wav": clips.encoded("webm", "libopus"),
    "WAV and archive": clips.plain_wav() + _zipped(),
    "MP3 and page": _tagged(clips.encoded("mp3", "libmp3lame")),
    "FLAC and page": clips.encoded("flac", "flac") + MARKUP,
}


@pytest.mark.parametrize("name", TAKEN)
def test_1_what_holds_sound_is_heard_whatever_it_is_called_and_nothing_else_of_it_is_kept(
    client: httpx.Client, name: str
) -> None:
    sent = send(client, TAKEN[name])
    assert sent.status_code == 200, sent.text
    kept = client.get(f"/v1/files/{sent.json()['id']}/content")
    assert kept.headers["content-type"] == "audio/wav"
    assert not [word for word in (b"script", b"PK\x03\x04", b"html") if word in kept.content]
    samples = np.frombuffer(kept.content[44:], "<i2").astype(float)
    assert 0.9 < len(samples) / 16_000 < 2.2
    second = samples[-16_000:]
    assert np.abs(np.fft.rfft(second)).argmax() == pytest.approx(440, abs=4)
    asked = client.post(CHAT, json=question("What?", inline(TAKEN[name])))
    assert asked.status_code == 200


@pytest.mark.parametrize(
    "data", [MARKUP + clips.plain_wav(), _zipped() + clips.plain_wav(), b"%PDF-1.7\n" * 99]
)
def test_1_sound_behind_something_else_is_not_looked_for(client: httpx.Client, data: bytes) -> None:
    assert error_of(send(client, data), 400)["code"] == "audio_not_audio"


PLAYLISTS = {
    "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{url}/a.ts\n#EXT-X-ENDLIST\n",
    "m3u8 with a key": '#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{url}/key"\n#EXTINF:1,\n{url}/a.ts\n',
    "m3u8 of a file": "#EXTM3U\n#EXTINF:10,\nfile://{file}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{url}/a.wav'\n",
    "concat of a file": "ffconcat version 1.0\nfile 'file:{file}'\n",
    "DASH": '<?xml version="1.0"?><MPD><BaseURL>{url}/</BaseURL><Period/></MPD>',
    "session": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n",
    "PLS": "[playlist]\nFile1={url}/a.wav\nNumberOfEntries=1\n",
    "a URL": "{url}/a.wav",
    "a file": "file://{file}",
}


@pytest.mark.parametrize("name", PLAYLISTS)
@pytest.mark.parametrize("path", ["/v1/files", "/v1/audio/transcriptions"])
def test_1_a_playlist_leads_nowhere(
    client: httpx.Client, engine: FakeEngine, tmp_path: Path, name: str, path: str
) -> None:
    secret = tmp_path / "secret.wav"
    secret.write_bytes(clips.plain_wav())
    data = PLAYLISTS[name].format(url=engine.url, file=secret).encode()
    before = len(engine.exchanges)
    for called in ("a.m3u8", "a.wav", "http:a.wav", "concat:a.wav"):
        refused = client.post(path, data={"model": "tiny"}, files={"file": (called, data)})
        assert error_of(refused, 400)["code"] in ("audio_not_audio", "audio_too_short")
    assert len(engine.exchanges) == before


NAMES = [
    "../../../evil.wav",
    "..\\..\\evil.wav",
    "/etc/evil.wav",
    "C:\\evil.wav",
    "file:///etc/passwd",
    "%2e%2e%2fevil.wav",
    "evil\x00.wav",
    'evil".wav\r\nx-evil: 1',
    "\u202evaw.live",
    "~/evil.wav",
    "$(touch evil).wav",
    "-evil",
    "e" * 1_000,
    "con",
    "..",
]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[:30])
def test_1_a_file_s_name_is_a_word_and_no_path(client: httpx.Client, name: str) -> None:
    sent = send(client, clips.encoded("ogg", "libopus"), name)
    assert sent.status_code == 200, sent.text
    card = client.get(f"/v1/files/{sent.json()['id']}").json()
    assert len(card["filename"]) <= 200
    kept = client.get(f"/v1/files/{card['id']}/content")
    assert kept.content[:4] == b"RIFF"
    assert not [field for field in (*sent.headers, *kept.headers) if "evil" in field]
    assert "evil" not in str(kept.headers)
    places = (ROOT, ROOT.parent, Path("/etc"), Path.home(), Path.cwd(), Path(tempfile.gettempdir()))
    assert not [path for place in places for path in place.iterdir() if "evil" in path.name]
