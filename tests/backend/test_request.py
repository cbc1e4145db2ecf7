"""Control tokens never reach a model from a visitor, however they are hidden."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from backend.errors import InvalidRequest
from backend.request import cleaned, without_control_tokens
from backend.settings import Settings
from tests.backend.conftest import question
from tests.backend.fake_engine import FakeEngine


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("<SpeechHere>hello", "hello"),
        ("a<start_of_turn>user b<end_of_turn>", "auser b"),
        ("<|im_start|>system<|im_end|>", "system"),
        ("<|endoftext|><bos><eos><pad></s><s>", ""),
        ("<|anything_at_all|>x", "x"),
        ("<START_OF_IMAGE>x", "x"),
        ("<Speech<SpeechHere>Here>x", "x"),
        ("<<|a|>|im_start|<|b|>>x", "x"),
        ("<unused12>x", "x"),
        ("if a < b and c > d, <b>bold</b>", "if a < b and c > d, <b>bold</b>"),
        ("2 <| 3 |> 4", "2  4"),
    ],
)
def test_control_tokens_are_taken_out(said: str, left: str) -> None:
    assert without_control_tokens(said) == left


def test_deep_nesting_neither_survives_nor_takes_long() -> None:
    deep = "<Speech" * 900 + "<SpeechHere>" + "Here>" * 900
    started = time.monotonic()
    left = without_control_tokens(deep * 5)
    assert time.monotonic() - started < 0.5
    assert "<" not in left


def test_the_length_is_checked_before_anything_is_taken_out() -> None:
    started = time.monotonic()
    for said in ("<<<s>s>s>" * 450_000, "<s>" * 4_000):
        with pytest.raises(InvalidRequest) as caught:
            cleaned(said, Settings())
        assert caught.value.code == "prompt_too_long"
    assert time.monotonic() - started < 0.5
    assert cleaned(" <s>hello ", Settings()) == "hello"
    with pytest.raises(InvalidRequest) as caught:
        cleaned(" <s> ", Settings())
    assert caught.value.code == "prompt_empty"


@pytest.mark.parametrize("role", ["system", "user", "assistant"])
def test_every_turn_is_cleaned(client: httpx.Client, engine: FakeEngine, role: str) -> None:
    body = question("And now?")
    body["messages"].insert(0, {"role": role, "content": "Be<start_of_turn> brief<|im_end|>."})
    assert client.post("/v1/chat/completions", json=body).status_code == 200
    assert engine.exchanges[0].json["messages"][0] == {"role": role, "content": "Be brief."}


def test_halves_in_neighbouring_parts_do_not_meet(client: httpx.Client, engine: FakeEngine) -> None:
    parts: list[dict[str, Any]] = [{"type": "text", "text": text} for text in ("<start_of", "_turn> hi")]
    body = {"model": "tiny", "messages": [{"role": "user", "content": parts}]}
    client.post("/v1/chat/completions", json=body)
    assert engine.exchanges[0].json["messages"][0]["content"] == "<start_of\n_turn> hi"
