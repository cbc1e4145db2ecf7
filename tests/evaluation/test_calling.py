from __future__ import annotations

import asyncio
import base64
import io
import json
import wave
from collections.abc import Mapping
from typing import Any

import pytest

from evaluation import asking
from evaluation.calling import Caller
from evaluation.core import Answer, Example, written
from evaluation.errors import EndpointError, RegistryError
from evaluation.registry import Dataset
from evaluation.stream import LONGEST_ANSWER
from evaluation.systems import System
from tests.backend.fake_engine import (
    Behaviour,
    Exchange,
    breaks_after,
    ends_after,
    refuses,
    says,
    sends,
    stalls_after,
)
from tests.evaluation import scripted
from tests.evaluation.scripted import (
    QUICK,
    SILENT_S,
    Scripted,
    dataset,
    in_turn,
    refuses_for,
    system,
    wav,
    words,
)

HASTY = QUICK.model_copy(update={"first_s": SILENT_S, "between_s": SILENT_S})
HTML = sends(b"<html>Bad gateway</html>", content_type="text/html")
TALK = {"task": "sqa", "id": "talk"}


def ask(
    row: System,
    example: Example | None = None,
    data: Dataset | None = None,
    rows: Mapping[str, System] | None = None,
) -> Answer:
    async def once() -> Answer:
        async with Caller(row, data or dataset(), rows or {}) as caller:
            await caller.find()
            return await caller.answer(example or scripted.examples(2)[1])

    return asyncio.run(once())


def sound_sent(body: Mapping[str, Any]) -> float:
    """Seconds of the WAV in a chat body."""
    (part,) = [each for each in body["messages"][0]["content"] if each["type"] == "input_audio"]
    with wave.open(io.BytesIO(base64.b64decode(part["input_audio"]["data"]))) as file:
        return file.getnframes() / file.getframerate()


def test_what_is_asked_and_what_is_kept() -> None:
    with Scripted() as endpoint:
        answer = ask(system(endpoint, prompt="Do: {instruction}", max_tokens=99, extra={"seed": 3}))
        (body,) = endpoint.bodies
    assert {key: body[key] for key in ("model", "temperature", "max_tokens", "stream", "seed")} == {
        "model": "tiny", "temperature": 0, "max_tokens": 99, "stream": True, "seed": 3,
    }  # fmt: skip
    assert [part["type"] for part in body["messages"][0]["content"]] == ["input_audio", "text"]
    assert body["messages"][0]["content"][1]["text"] == "Do: Write clip-1 down."
    assert (answer.answer, answer.problem, answer.finish, answer.tokens) == (words("clip-1"), "", "stop", 1)
    assert answer.audio_s == 1.2
    assert 0 < answer.first_token_s <= answer.total_s


def test_words_may_come_first() -> None:
    with Scripted() as endpoint:
        ask(system(endpoint, audio_first=False))
        assert [part["type"] for part in endpoint.bodies[0]["messages"][0]["content"]] == [
            "text",
            "input_audio",
        ]


@pytest.mark.parametrize(
    ("task", "seconds", "sent"),
    [("asr", 65, [30.0, 30.0, 5.0]), ("sqa", 65, [30.0]), ("sqa", 0.5, [1.5])],
)
def test_long_speech_goes_in_pieces_and_other_tasks_hear_the_head(
    task: str, seconds: float, sent: list[float]
) -> None:
    with Scripted() as endpoint:
        (example,) = scripted.examples(1, audio=wav(seconds))
        answer = ask(system(endpoint), example, dataset(task=task))
        assert [sound_sent(body) for body in endpoint.bodies] == sent
    assert answer.answer == " ".join(["clip 0"] * len(sent))


@pytest.mark.parametrize(
    "trouble",
    [
        refuses(429),
        refuses_for(503, "0"),
        refuses_for(429, "Thu, 01 Jan 2026 00:00:00 GMT"),
        refuses(500),
        breaks_after(),
        breaks_after("clip "),
        ends_after("clip "),
        HTML,
        sends(b'data: {"choices": [{"delta": {"con\n\n'),
        sends(b"data: [DONE]\n\n"),
        sends(b'data: {"error": {"message": "out of memory", "type": "server_error"}}\n\n'),
        sends(b'{"choices": []}', content_type="application/json"),
        sends(b"[1]", content_type="application/json"),
    ],
)  # fmt: skip
def test_what_may_pass_is_asked_again(trouble: Behaviour) -> None:
    with Scripted(in_turn(trouble, trouble)) as endpoint:
        answer = ask(system(endpoint))
    assert (answer.answer, answer.problem, answer.tries) == (words("clip-1"), "", 3)


@pytest.mark.parametrize("silence", [stalls_after(), stalls_after("clip ")])
def test_silence_is_not_waited_out(silence: Behaviour) -> None:
    with Scripted(in_turn(silence)) as endpoint:
        answer = ask(system(endpoint, patience=HASTY))
    assert (answer.answer, answer.problem) == (words("clip-1"), "")
    assert answer.tries >= 2


def test_an_answer_that_trickles_for_too_long_is_given_up() -> None:
    drip = says(*["word "] * 500, gap_s=0.05)
    with Scripted(in_turn(*[drip] * 2)) as endpoint:
        answer = ask(system(endpoint, patience=QUICK.model_copy(update={"whole_s": SILENT_S, "tries": 2})))
    assert "too long" in answer.problem
    assert answer.again


@pytest.mark.parametrize(
    ("trouble", "said", "again", "requests"),
    [
        (refuses(400, "clip too short"), "HTTP 400: clip too short", False, 1),
        (refuses(413), "larger than the endpoint takes", False, 1),
        (refuses(429, "slow down"), "rate limit is reached (HTTP 429: slow down)", True, 4),
        (HTML, "answered nonsense", True, 4),
        (ends_after("half"), "cut off", True, 4),
        (sends(b'data: {"error": {"type": "invalid_request_error"}}\n\n'), "broke off", False, 1),
    ],
)  # fmt: skip
def test_what_stays_wrong_is_a_problem_in_words(
    trouble: Behaviour, said: str, again: bool, requests: int
) -> None:
    with Scripted(lambda clip, asked: trouble) as endpoint:
        answer = ask(system(endpoint))
        assert len(endpoint.log) == requests
    assert said in answer.problem
    assert answer.problem.endswith(".")
    assert (answer.again, answer.tries, answer.answer) == (again, requests, "")
    assert answer.reference == "clip number 1"


def test_an_answer_without_end_is_cut_and_told() -> None:
    with Scripted(lambda clip, asked: scripted.goes_on_for_ever("word " * 500)) as endpoint:
        answer = ask(system(endpoint))
        assert len(endpoint.log) == 1  # the same question would have the same end
    assert len(answer.answer) == LONGEST_ANSWER
    assert "50,000 characters" in answer.problem
    assert not answer.again


def test_half_a_character_breaks_nothing() -> None:
    """JSON can hold what UTF-8 cannot; a character cut in two by the stream is put together again."""
    pieces = [
        f'data: {{"choices": [{{"delta": {{"content": "{half}"}}}}]}}\n\n'
        for half in (r"\ud83d", r"\ude00 \ud800.")
    ]
    with Scripted(
        lambda clip, asked: sends(*(piece.encode() for piece in [*pieces, "data: [DONE]\n\n"]))
    ) as endpoint:
        assert written(ask(system(endpoint))).count("😀 \N{REPLACEMENT CHARACTER}.".encode()) == 1


def test_an_empty_answer_is_an_answer() -> None:
    with Scripted(lambda clip, asked: says()) as endpoint:
        answer = ask(system(endpoint))
    assert (answer.answer, answer.problem, answer.tries) == ("", "", 1)


def test_an_endpoint_that_does_not_stream() -> None:
    reply = {
        "choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}],
        "usage": {"completion_tokens": 4},
    }
    whole = sends(json.dumps(reply).encode(), content_type="application/json")
    with Scripted(lambda clip, asked: whole) as endpoint:
        answer = ask(system(endpoint))
    assert (answer.answer, answer.tokens, answer.finish) == ("hello", 4, "stop")


def test_a_clip_that_is_no_sound_is_a_problem_and_is_not_asked_about() -> None:
    with Scripted() as endpoint:
        (example,) = scripted.examples(1, audio=b"no sound")
        answer = ask(system(endpoint), example)
        assert endpoint.log == []
    assert "cannot be read as sound" in answer.problem
    assert not answer.again


def test_what_the_controller_says_is_kept() -> None:
    head = b"HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\nx-meralion-cache: hit\r\n\r\n"
    events = [
        b'data: {"choices": [{"delta": {}}], "meralion": {"heard": "good morning"}}\n\n',
        b'data: {"choices": [{"delta": {"content": "Good "}}]}\r\n\r\n',
        'data: {"choices": [{"delta": {"content": "早安"}, "finish_reason": "stop"}]}\n\n'.encode(),
        b"data: [DONE]\n\n",
    ]
    with Scripted(lambda clip, asked: scripted.raw(head, *events)) as endpoint:
        answer = ask(system(endpoint))
    assert (answer.answer, answer.cache, answer.heard) == ("Good 早安", "hit", "good morning")


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/v1", 401, "does not know the key"),
        ("/v1", 404, "no such path or model"),
        ("/other/v1", 401, "does not know the key"),  # where the list of models is refused already
        ("/other/v1", 403, "does not let this key in"),
    ],
)
def test_a_refusal_at_the_start_ends_the_run_in_words(path: str, status: int, said: str) -> None:
    script = lambda clip, _: refuses(status, "go away")  # noqa: E731
    with Scripted(script) as endpoint, pytest.raises(EndpointError) as caught:
        ask(system(endpoint, base_url=f"{endpoint.engine.url}{path}"))
    assert said in str(caught.value)
    assert "It runs within a test." in str(caught.value)


def test_a_key_goes_out_and_is_told_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "secret-7")
    with Scripted(lambda clip, asked: refuses(401, "no")) as endpoint:
        with pytest.raises(EndpointError) as caught:
            ask(system(endpoint, key_env="A_KEY"))
        assert endpoint.engine.exchanges[0].headers["authorization"] == "bearer secret-7"
    assert "A_KEY" in str(caught.value)
    assert "secret-7" not in str(caught.value)


def test_nothing_listens() -> None:
    with Scripted() as endpoint:
        row = system(endpoint)
    with pytest.raises(EndpointError, match="cannot be reached"):
        ask(row)


def test_a_model_that_is_not_there() -> None:
    with Scripted() as endpoint:
        with pytest.raises(EndpointError, match=r"has no model 'huge'. It has: tiny"):
            ask(system(endpoint, model="huge"))
        assert endpoint.log == []


def test_the_only_model_need_not_be_named() -> None:
    with Scripted() as endpoint:
        ask(system(endpoint, model=""))
        assert endpoint.bodies[0]["model"] == "tiny"


def cascade(endpoint: Scripted) -> dict[str, System]:
    rows = [
        system(endpoint, id="ears", kind="transcription", language="en"),
        system(endpoint, id="mind", max_tokens=77),
        system(
            endpoint, id="both", kind="cascade", asr="ears", text="mind", counts="after_answer",
            prompt="Heard: {transcript} Asked: {instruction}",
        ),
    ]  # fmt: skip
    return {row.id: row for row in rows}


def hears_and_thinks(heard: str, thought: str) -> scripted.Script:
    """A recogniser and a text model behind one door, told apart by what is asked."""

    def script(clip: str, asked: int) -> Behaviour:
        async def behave(exchange: Exchange) -> None:
            transcript = sends(json.dumps({"text": heard}).encode(), content_type="application/json")
            await (transcript if "/audio/" in exchange.path else says(thought))(exchange)

        return behave

    return script


def test_a_cascade_asks_about_what_it_heard() -> None:
    with Scripted(hears_and_thinks("curly {instruction} words", "Well. Answer: blue")) as endpoint:
        rows = cascade(endpoint)
        (example,) = scripted.examples(1, audio=wav(31), instruction="Which colour?")
        answer = ask(rows["both"], example, dataset(**TALK), rows)
        paths = [exchange.path for exchange in endpoint.engine.exchanges]
        body = endpoint.bodies_of("/v1/chat/completions")[0]
        form = endpoint.engine.exchanges[0].body
    # The whole clip is heard, in pieces, and a brace in what was heard is no place for anything.
    assert paths == ["/v1/audio/transcriptions", "/v1/audio/transcriptions", "/v1/chat/completions"]
    heard = "curly {instruction} words curly {instruction} words"
    assert body["messages"][0]["content"] == f"Heard: {heard} Asked: Which colour?"
    assert body["max_tokens"] == 77
    assert b'name="language"\r\n\r\nen' in form
    assert (answer.answer, answer.scored, answer.heard) == ("Well. Answer: blue", "blue", heard)


@pytest.mark.parametrize(
    ("name", "task", "paths", "scored"),
    [
        ("tiny_asr", "asr", ["/v1/audio/transcriptions"], "so it is"),
        ("covost2_id_en_test", "st", ["/v1/audio/translations"], "so it is"),
        ("covost2_en_id_test", "st", ["/v1/audio/transcriptions", "/v1/chat/completions"], "thought"),
        ("openhermes_audio_test", "si", ["/v1/audio/transcriptions", "/v1/chat/completions"], "thought"),
    ],
)
def test_which_half_of_a_cascade_does_what(name: str, task: str, paths: list[str], scored: str) -> None:
    with Scripted(hears_and_thinks("so it is", "thought")) as endpoint:
        rows = cascade(endpoint)
        answer = ask(rows["both"], None, dataset(id=name, task=task), rows)
        assert [exchange.path for exchange in endpoint.engine.exchanges] == paths
        if task == "si":
            assert endpoint.bodies_of("/v1/chat/completions")[0]["messages"][0]["content"] == "so it is"
    assert answer.scored == scored


def test_a_recogniser_is_not_asked_questions() -> None:
    with Scripted() as endpoint, pytest.raises(RegistryError, match="only writes speech down"):
        ask(system(endpoint, kind="transcription"), None, dataset(**TALK))


@pytest.mark.parametrize(
    ("rule", "task", "answer", "expected"),
    [
        ("quoted", "asr", 'The speech says: "good \\"old\\" day".', 'good \\"old\\" day'),
        ("quoted", "asr", "The content is: 'it's fine'", "it's fine"),
        ("quoted", "asr", "good morning", "good morning"),
        ("quoted", "asr", '""', ""),
        ("quoted", "sqa", 'He said "no".', 'He said "no".'),
        ("after_answer", "sqa", "Sure. Answer: 7 Answer: 8", "7"),
        ("after_answer", "sqa", "Answer:7", "Answer:7"),
        ("whole", "asr", '"good"', '"good"'),
    ],
)
def test_the_part_of_an_answer_that_counts(rule: str, task: str, answer: str, expected: str) -> None:
    assert asking.counted(rule, answer, task) == expected


def test_each_piece_has_its_own_quotation() -> None:
    with Scripted(lambda clip, asked: says('He says "yes".')) as endpoint:
        (example,) = scripted.examples(1, audio=wav(31))
        answer = ask(system(endpoint, counts="quoted"), example)
    assert answer.answer == 'He says "yes". He says "yes".'
    assert answer.scored == "yes yes"
