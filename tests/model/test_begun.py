"""An answer that was begun at another engine goes on here as it would have gone on there."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from model.embedded.begun import Begun, ForeignBeginning
from tests.model.conftest import Engine
from tests.speech import CASCADE, sample

ONWARD = {"continue_final_message": True, "add_generation_prompt": False}
CLIP = "sg-school"


def asks(text: str, clip: str | None = None) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"type": "text", "text": text}]
    if clip:
        sound = {"data": base64.b64encode(sample(clip)).decode(), "format": "wav"}
        parts.insert(0, {"type": "input_audio", "input_audio": sound})
    return {"model": CASCADE, "messages": [{"role": "user", "content": parts}]}


def begun(body: dict[str, Any], text: str) -> dict[str, Any]:
    return {**body, **ONWARD, "messages": [*body["messages"], {"role": "assistant", "content": text}]}


def streamed(engine: Engine, body: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """The pieces of an answer, and what it cost."""
    asked = {**body, "stream": True, "stream_options": {"include_usage": True}}
    with engine.http.stream("POST", "/v1/chat/completions", json=asked) as reply:
        assert reply.status_code == 200, reply.read()
        lines = [json.loads(line[6:]) for line in reply.iter_lines() if line.startswith("data: {")]
    texts = [choice["delta"].get("content") for line in lines for choice in line["choices"]]
    return [text for text in texts if text], lines[-1]["usage"]


@pytest.mark.engine
@pytest.mark.parametrize(
    ("prompt", "clip", "written"),
    [
        ("Tell me about chicken rice.", None, "all"),
        ("When is the science fair?", CLIP, "last"),
        ("Please transcribe this speech.", CLIP, "none"),
        ("Transcribe the clip, then summarise it.", CLIP, "last"),
        ("Who is speaking?", CLIP, "none"),
    ],
    ids=["words only", "question", "transcript", "two tasks", "refusal"],
)
def test_it_goes_on_wherever_it_was_cut(engine: Engine, prompt: str, clip: str | None, written: str) -> None:
    """What is always the same is the same again; the model's words go on, and none comes twice."""
    body = {**asks(prompt, clip), "max_tokens": 32}
    pieces, cost = streamed(engine, body)
    whole = "".join(pieces)
    fixed = {"all": "", "last": whole[: whole.rfind("\n\n") + 2], "none": whole}[written]
    for cut in sorted({1, len(pieces) - 2} & set(range(1, len(pieces)))):
        text = "".join(pieces[:cut]).rstrip()
        rest, less = streamed(engine, begun(body, text))
        assert (text + "".join(rest)).startswith(fixed)
        assert not "".join(rest).startswith(text[:8])
        if written == "all":
            assert less["prompt_tokens"] == cost["prompt_tokens"] + cut
        if written != "none":
            assert rest and less["completion_tokens"] <= 32


@pytest.mark.engine
def test_a_form_of_answer_keeps_its_length(engine: Engine) -> None:
    """A summary has 120 tokens at most, in however many engines it is written."""
    body = asks("What is it about?", CLIP)
    _, cost = streamed(engine, begun(body, "The science fair, and more" + " and more" * 55))
    assert cost["completion_tokens"] <= 10


@pytest.mark.engine
def test_what_was_not_begun_here_is_refused(engine: Engine) -> None:
    body = begun(asks("Please transcribe this speech.", CLIP), "I would rather not.")
    reply = engine.http.post("/v1/chat/completions", json=body)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "answer_not_begun_here")


@pytest.mark.engine
@pytest.mark.parametrize(
    "fields",
    [
        {"continue_final_message": True},
        {"add_generation_prompt": False},
        {"continue_final_message": True, "add_generation_prompt": True},
        ONWARD,  # and the last message is the user's
    ],
)
def test_half_of_the_two_fields_is_refused(engine: Engine, fields: dict[str, bool]) -> None:
    reply = engine.http.post("/v1/chat/completions", json={**asks("Hello"), **fields})
    assert reply.status_code == 400
    assert "continue_final_message" in reply.json()["error"]["message"]


def test_what_is_always_the_same_is_left_out_as_far_as_it_was_said() -> None:
    said = Begun("In the clip: “Rice.”\n\nIt is ")
    assert said.beyond("In the clip: ") == ""
    assert said.beyond("“Rice.”\n\n") == ""
    assert said.written() == ("It is", False)
    assert said.beyond("\n\n") == "\n\n"


def test_a_part_that_was_written_is_told_from_one_that_was_begun() -> None:
    said = Begun("A summary.\n\nA transc")
    said.at_last_part = False
    assert said.written() == ("A summary.", True)
    assert said.beyond("\n\n") == ""
    assert said.beyond("A transcript.") == "ript."


def test_another_beginning_is_told() -> None:
    with pytest.raises(ForeignBeginning):
        Begun("Hello").beyond("Help")
