"""Whatever is sent, the answer is one specific error in OpenAI's form, soon, and the next request works."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from backend.settings import Settings
from tests.backend.conftest import VISITOR, Start, error_of, question, row, serving
from tests.backend.fake_engine import FakeEngine
from tests.model import clips

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """One controller for all of these: each test also shows that the ones before it did no harm."""
    models = tmp_path_factory.mktemp("bad") / "models.toml"
    engine = FakeEngine("tiny")
    models.write_text(row([engine.url]))
    with (
        serving(Settings(models=models)) as url,
        httpx.Client(base_url=url, headers=VISITOR, timeout=30, trust_env=False) as ready,
    ):
        yield ready
    engine.shut_down()


def recording(data: str) -> dict[str, Any]:
    return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}


WRONG_BODIES: dict[str, tuple[dict[str, Any], int, str]] = {
    "no model": ({"messages": [{"role": "user", "content": "hi"}]}, 400, "missing_field"),
    "unknown model": ({**question(), "model": "tinny"}, 404, "model_not_found"),
    "no messages": ({"model": "tiny", "messages": []}, 400, "invalid_field"),
    "empty prompt": (question(""), 400, "prompt_empty"),
    "blank prompt": (question(" \n\t"), 400, "prompt_empty"),
    "nothing but control tokens": (question("<SpeechHere><|im_end|>"), 400, "prompt_empty"),
    "empty prompt beside a recording": (
        question("", recording(base64.b64encode(clips.plain_wav()).decode())),
        400,
        "prompt_empty",
    ),
    "20,000 characters": (question("x" * 20_000), 400, "prompt_too_long"),
    "a very long talk": (
        {"model": "tiny", "messages": [{"role": "user", "content": "x" * 9_000}] * 12},
        400,
        "prompt_too_long",
    ),
    "the model's own turn last": (
        {"model": "tiny", "messages": [{"role": "assistant", "content": "hi"}]},
        400,
        "prompt_empty",
    ),
    "api_base": (question(api_base="http://169.254.169.254"), 400, "unknown_field"),
    "n of 1000": (question(n=1_000), 400, "invalid_field"),
    "a milliard tokens": (question(max_tokens=10**9), 400, "max_tokens_too_large"),
    "temperature of 3": (question(temperature=3), 400, "invalid_field"),
    "tools": (question(tools=[{"type": "function"}]), 400, "invalid_field"),
    "a URL to fetch": (
        question("hi", {"type": "audio_url", "audio_url": {"url": "file:///etc/passwd"}}),
        400,
        "invalid_field",
    ),
    "an unknown file": (
        question("hi", {"type": "file", "file": {"file_id": "../../etc"}}),
        404,
        "file_not_found",
    ),
    "not base64": (question("hi", recording("%%%")), 400, "audio_not_base64"),
    "empty recording": (question("hi", recording("")), 400, "audio_empty"),
    "nine recordings": (question("hi", *[recording("AAAA")] * 9), 400, "too_many_clips"),
}


@pytest.mark.parametrize("name", WRONG_BODIES)
def test_wrong_bodies(client: httpx.Client, name: str) -> None:
    body, status, code = WRONG_BODIES[name]
    started = time.monotonic()
    error = error_of(client.post(CHAT, json=body), status)
    assert time.monotonic() - started < 1.0
    assert error["code"] == code
    assert error["type"] == "invalid_request_error"
    assert client.post(CHAT, json=question()).status_code == 200


def test_an_unknown_model_is_told_which_there_are(client: httpx.Client) -> None:
    error = error_of(client.post(CHAT, json={**question(), "model": "tinny"}), 404)
    assert "Choose one of: tiny" in error["message"]


def test_an_unknown_field_is_named(client: httpx.Client) -> None:
    error = error_of(client.post(CHAT, json=question(temprature=1)), 400)
    assert error["param"] == "temprature"
    assert "`temperature`" in error["message"]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[1]", b'"text"', b"\xff\xfe", b"[" * 100_000, b'{"a":' * 300 + b"1" + b"}" * 300],
    ids=["empty", "cut", "list", "text", "not UTF-8", "deep list", "deep object"],
)
def test_broken_json(client: httpx.Client, body: bytes) -> None:
    response = client.post(CHAT, content=body, headers={"content-type": "application/json"})
    assert error_of(response, 400)["code"] in ("json_invalid", "missing_field")
    assert client.post(CHAT, json=question()).status_code == 200


def test_bodies_that_are_not_json_or_are_compressed(client: httpx.Client) -> None:
    plain = client.post(CHAT, content=json.dumps(question()), headers={"content-type": "text/plain"})
    assert error_of(plain, 415)["code"] == "content_type"
    gzip = {"content-type": "application/json", "content-encoding": "gzip"}
    assert error_of(client.post(CHAT, content=b"\x1f\x8b", headers=gzip), 415)["code"] == "content_encoding"
    assert error_of(client.post("/v1/files", json={}), 415)["code"] == "content_type"


def test_paths_and_methods_that_are_not_there(client: httpx.Client) -> None:
    assert error_of(client.get("/v2"), 404)["code"] == "not_found"
    assert error_of(client.get("//v1/models"), 404)["code"] == "not_found"
    wrong = client.get(CHAT)
    assert error_of(wrong, 405)["code"] == "method_not_allowed"
    assert wrong.headers["allow"] == "POST"
    assert error_of(client.get("/docs"), 404)["code"] == "not_found"


UPLOADS: dict[str, tuple[bytes, int, str]] = {
    "empty": (b"", 400, "audio_empty"),
    "truncated": (clips.plain_wav(2.0)[:30_000], 400, "audio_truncated"),
    "text named .wav": (b"only words\n" * 50, 400, "audio_not_audio"),
    "playlist": (b"#EXTM3U\nfile:///etc/passwd\n", 400, "audio_not_audio"),
    "silent": (clips.wav(bytes(32_000)), 400, "audio_silent"),
    "0.05 s": (clips.plain_wav(0.05), 400, "audio_too_short"),
    "3 h in a small FLAC": (clips.flac_of_silence(3), 400, "audio_too_long"),
    "8 channels": (clips.encoded("flac", "flac", layout="7.1"), 400, "audio_too_many_channels"),
    "655 kHz": (clips.wav(clips.pcm16(clips.tone(1)), rate=655_350), 400, "audio_sample_rate"),
    "30 MB": (bytes(30 * 2**20), 413, "audio_too_large"),
}


@pytest.mark.parametrize("name", UPLOADS)
def test_bad_uploads(client: httpx.Client, name: str) -> None:
    data, status, code = UPLOADS[name]
    client.post(
        "/v1/files", files={"file": ("warm-up.flac", clips.encoded("flac", "flac"))}
    )  # starts the decoder
    started = time.monotonic()
    response = client.post("/v1/files", files={"file": ("../../evil.wav", data)})
    assert time.monotonic() - started < 1.0
    assert error_of(response, status)["code"] == code
    assert client.post("/v1/files", files={"file": ("a.wav", clips.plain_wav())}).status_code == 200


def test_a_long_upload_without_a_length_is_stopped_while_it_comes(client: httpx.Client) -> None:
    sent = 0

    def endless() -> Any:
        nonlocal sent
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
        for _ in range(100):
            sent += 1
            yield bytes(2**20)

    headers = {"content-type": "multipart/form-data; boundary=b"}
    assert (
        error_of(client.post("/v1/files", content=endless(), headers=headers), 413)["code"]
        == "audio_too_large"
    )


def test_a_large_json_body_is_refused(client: httpx.Client) -> None:
    response = client.post(CHAT, content=bytes(40 * 2**20), headers={"content-type": "application/json"})
    assert error_of(response, 413)["code"] == "body_too_large"


def test_a_body_that_does_not_come_is_given_up(start: Start, engine: FakeEngine) -> None:
    client = start(row([engine.url]), body_timeout_s=0.3)

    def slow() -> Any:
        yield b'{"model":'
        time.sleep(0.6)
        yield b'"tiny"}'

    response = client.post(CHAT, content=slow(), headers={"content-type": "application/json"})
    assert error_of(response, 408)["code"] == "body_too_slow"


def test_forms_of_rubbish(client: httpx.Client) -> None:
    headers = {"content-type": "multipart/form-data; boundary=b"}
    assert (
        error_of(client.post("/v1/files", content=b"nothing", headers=headers), 400)["code"] == "form_invalid"
    )
    parts = b"".join(
        b'--b\r\nContent-Disposition: form-data; name="f%d"\r\n\r\nx\r\n' % number
        for number in range(100_000)
    )
    response = client.post("/v1/files", content=parts + b"--b--\r\n", headers=headers)
    assert error_of(response, 400)["code"] == "form_invalid"
    no_boundary = client.post("/v1/files", content=b"x", headers={"content-type": "multipart/form-data"})
    assert error_of(no_boundary, 400)["code"] == "form_invalid"
    assert error_of(client.post("/v1/files", files={"sound": ("a", b"x")}), 400)["param"] == "file"
    assert error_of(client.post("/v1/files", files={"purpose": (None, "x")}), 400)["code"] == "missing_field"


def test_a_visitor_must_be_a_sane_name(client: httpx.Client) -> None:
    response = client.get("/v1/files", headers={"x-meralion-visitor": "short"})
    assert error_of(response, 400)["code"] == "visitor_invalid"


def test_recordings_longer_than_the_model_takes(start: Start, engine: FakeEngine) -> None:
    client = start(row([engine.url], more="max_audio_seconds = 1.5\n"))
    second = base64.b64encode(clips.plain_wav(1.0)).decode()
    error = error_of(client.post(CHAT, json=question("hi", recording(second), recording(second))), 400)
    assert error["code"] == "audio_too_long"
    assert "1.5" in error["message"]
    assert client.post(CHAT, json=question("hi", recording(second))).status_code == 200
