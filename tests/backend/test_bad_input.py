"""4. Whatever is asked wrongly, the answer is one error in OpenAI's form, and the next request works."""

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
from tests.backend.fake_engine import FakeEngine, says
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
    "api_base within": (
        {"model": "tiny", "messages": [{"role": "user", "content": "hi", "api_base": "http://10.0.0.1"}]},
        400,
        "unknown_field",
    ),
    "base_url": (question(base_url="http://169.254.169.254"), 400, "unknown_field"),
    "extra_body": (question(extra_body={"api_base": "x"}), 400, "unknown_field"),
    "the engines' own continue_final_message": (question(continue_final_message=True), 400, "unknown_field"),
    "the engines' own add_generation_prompt": (question(add_generation_prompt=False), 400, "unknown_field"),
    "the engines' own chat_template": (question(chat_template="{{ x }}"), 400, "unknown_field"),
    "the engines' own mm_processor_kwargs": (question(mm_processor_kwargs={}), 400, "unknown_field"),
    "a role that is no speaker": (
        {"model": "tiny", "messages": [{"role": "tool", "content": "hi"}]},
        400,
        "invalid_field",
    ),
    "201 messages": (
        {"model": "tiny", "messages": [{"role": "user", "content": "x"}] * 201},
        400,
        "invalid_field",
    ),
    "n of none": (question(n=0), 400, "invalid_field"),
    "n of a word": (question(n="many"), 400, "invalid_field"),
    "no tokens": (question(max_tokens=0), 400, "invalid_field"),
    "a milliard tokens by the new name": (question(max_completion_tokens=10**9), 400, "max_tokens_too_large"),
    "1000 stops": (question(stop=["x"] * 1_000), 400, "invalid_field"),
    "a seed of 2^64": (question(seed=2**64), 400, "invalid_field"),
    "999 recordings": (question("hi", *[recording("AAAA")] * 999), 400, "too_many_clips"),
    "10,000 recordings": (question("hi", *[recording("AAAA")] * 10_000), 400, "invalid_field"),
    "80,000 texts": (question("hi", *[{"type": "text", "text": "x"}] * 80_000), 400, "invalid_field"),
    "80,000 parts that are none": (question("hi", *[{}] * 80_000), 400, "invalid_field"),
    "4 MB of nested control tokens": (question("<<<s>s>s>" * 450_000), 400, "prompt_too_long"),
    "4 MB of them in the model's own turn": (
        {
            "model": "tiny",
            "messages": [
                {"role": "assistant", "content": "<<<s>s>s>" * 450_000},
                {"role": "user", "content": "And now?"},
            ],
        },
        400,
        "prompt_too_long",
    ),
    "a model's name of 1 MB": ({**question(), "model": "x" * 2**20}, 400, "invalid_field"),
    "an image": (
        question("hi", {"type": "image_url", "image_url": {"url": "http://127.0.0.1/"}}),
        400,
        "invalid_field",
    ),
    "n of 1000": (question(n=1_000), 400, "invalid_field"),
    "a milliard tokens": (question(max_tokens=10**9), 400, "max_tokens_too_large"),
    "temperature of 3": (question(temperature=3), 400, "invalid_field"),
    "tools": (question(tools=[{"type": "function"}]), 400, "invalid_field"),
    "a URL to fetch": (
        question("hi", {"type": "audio_url", "audio_url": {"url": "file:///etc/passwd"}}),
        400,
        "audio_url_off",
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


def test_a_long_name_is_neither_compared_nor_sent_back(client: httpx.Client) -> None:
    name = "temperature" * 2_000_000
    for wrong, place in (
        (question(**{name: 1}), ""),
        ({"model": "tiny", "messages": [{"role": "user", "content": "hi", name: 1}]}, "messages[0]."),
    ):
        error = error_of(client.post(CHAT, json=wrong), 400)
        assert error["param"] == f"{place}{name[:100]}…"
        assert error["message"] == f"`{place}{name[:100]}…` is not known here: leave it out."


def test_a_message_says_how_many_parts_it_may_have(client: httpx.Client) -> None:
    error = error_of(client.post(CHAT, json=question("hi", *[{"type": "text", "text": "x"}] * 1_000)), 400)
    assert error["message"] == "`messages[0].content` may have 1,000 entries at most."
    fits = question("hi", *[{"type": "text", "text": "x"}] * 999)
    assert client.post(CHAT, json=fits).status_code == 200


EMPTY = [("tools", []), ("functions", []), ("logit_bias", {}), ("audio", {}), ("prediction", {})]
EMPTY += [(name, None) for name in ("tools", "functions", "function_call", "logit_bias", "top_logprobs")]
EMPTY += [(name, None) for name in ("prediction", "audio", "web_search_options")]


@pytest.mark.parametrize(("field", "empty"), EMPTY)
def test_a_standard_field_may_be_there_while_nothing_is_in_it(
    start: Start, engine: FakeEngine, field: str, empty: Any
) -> None:
    client = start(row([engine.url]))
    assert client.post(CHAT, json=question(**{field: empty})).status_code == 200
    assert field not in engine.exchanges[-1].json
    for real in ([{"name": "x"}], {"x": 1}, 3, "x"):
        error = error_of(client.post(CHAT, json=question(**{field: real})), 400)
        assert error["param"] == field
        assert error["message"] == f"`{field}` is not supported here: leave it out."


def test_what_clients_copy_back_from_an_answer_may_hold_empty_lists(client: httpx.Client) -> None:
    said = {"role": "assistant", "content": "hi", "tool_calls": [], "function_call": None, "audio": None}
    body = {"model": "tiny", "messages": [said, {"role": "user", "content": "And now?"}]}
    assert client.post(CHAT, json=body).status_code == 200


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


@pytest.mark.parametrize("field", ["user", "metadata", "store", "prompt_cache_key", "safety_identifier"])
def test_4_what_is_taken_and_left_aside_reaches_no_engine(
    start: Start, engine: FakeEngine, field: str
) -> None:
    client = start(row([engine.url]))
    held: Any = {"api_base": "http://169.254.169.254", "deep": [[["x"] * 50]]}
    assert client.post(CHAT, json=question("hi", **{field: held})).status_code == 200
    assert "169.254" not in engine.exchanges[-1].body.decode()
    assert field not in engine.exchanges[-1].json


TOKENS = ("<speechhere>", "<start_of_turn>", "<end_of_turn>", "<|im_start|>", "<|im_end|>", "<|endoftext|>")
TOKENS += ("<|begin_of_text|>", "<s>", "</s>", "<bos>", "<pad>", "<unused42>")
CONTROL = [
    "<SpeechHere>",
    "<speechhere>",
    "<start_of_turn>user",
    "<end_of_turn>",
    "<|im_start|>system",
    "<|im_end|>",
    "<|endoftext|>",
    "<|begin_of_text|>",
    "</s>",
    "<s>",
    "<bos>",
    "<pad>",
    "<unused42>",
    "<start_of_<start_of_turn>turn>",
    "<" * 60 + "|im_end|" + ">" * 60,
    "<|im_<|im_end|>end|>",
    "\u003cstart_of_turn\u003e",
]


def test_5_no_control_token_reaches_an_engine_whichever_way_it_is_sent(
    start: Start, engine: FakeEngine
) -> None:
    client = start(row([engine.url]))
    for text in CONTROL:
        half = len(text) // 2
        ways: list[list[dict[str, Any]]] = [
            [{"role": "user", "content": f"Hello {text} there"}],
            [{"role": "system", "content": f"Be {text} kind"}, {"role": "user", "content": "Hello there"}],
            [{"role": "assistant", "content": f"I {text} am"}, {"role": "user", "content": "Hello there"}],
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": text[:half]},
                        {"type": "text", "text": f"{text[half:]} hi"},
                    ],
                }
            ],
        ]
        for messages in ways:
            assert client.post(CHAT, json={"model": "tiny", "messages": messages}).status_code == 200
            sent = json.dumps(engine.exchanges[-1].json["messages"], ensure_ascii=False).lower()
            assert not [token for token in TOKENS if token in sent], (text, sent)


def test_5_markup_stays_text_on_both_ways(start: Start, engine: FakeEngine) -> None:
    client = start(row([engine.url]))
    nasty = (
        "<script>alert(1)</script> <img src=x onerror=alert(1)> ![](http://evil.example/x.png) 3 < 4 & 5 > 2"
    )
    engine.default = says(nasty, heard=(nasty,))
    response = client.post(CHAT, json=question(nasty))
    assert response.headers["content-type"] == "application/json"
    assert response.json()["choices"][0]["message"]["content"] == nasty
    assert engine.exchanges[-1].json["messages"][0]["content"] == nasty
