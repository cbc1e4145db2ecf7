"""Reading what the controller sends."""

import json

import pytest

from ui.wire import Begun, ClientError, Done, Heard, Queued, Token, Usage, error_of, events, model_card


def lines(*values: object) -> list[str]:
    return [f"data: {value if isinstance(value, str) else json.dumps(value)}" for value in values]


def chunk(text: str | None = None, finish: str | None = None, **extra: object) -> dict[str, object]:
    delta = {} if text is None else {"content": text}
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **extra}


def test_an_answer_is_heard_then_told_then_timed():
    timing = {"total_ms": 2100.5, "cache": "miss", "instance": "a", "asr_ms": None}
    stream = lines(
        chunk(meralion={"heard": "dua kopi "}),
        chunk("Two "),
        chunk("coffees."),
        chunk(finish="stop", meralion={"timing": timing}),
        {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3}},
        "[DONE]",
    )
    *words, done, usage = events(iter([": a comment", "", *stream]))
    assert usage == Usage(read=9, written=3)
    assert words == [Heard("dua kopi "), Token("Two "), Token("coffees.")]
    assert isinstance(done, Done)
    assert (done.timing.total_ms, done.timing.cache, done.timing.asr_ms) == (2100.5, "miss", None)


def test_a_place_in_the_queue_is_told_until_the_wait_is_over():
    stream = lines(
        {"choices": [], "meralion": {"queued": {"position": 3, "waiting": 7}}},
        {"choices": [], "meralion": {"queued": {"position": 1, "waiting": 9}}},
        {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]},
        chunk("Two "),
        chunk(finish="stop"),
        "[DONE]",
    )
    *words, _ = events(iter(stream))
    assert words == [Queued(3, 7), Queued(1, 9), Begun(), Token("Two ")]


def test_an_error_in_the_stream_is_raised_in_its_own_words():
    error = {"error": {"message": "The model stopped. Ask again.", "type": "server_error", "code": "gone"}}
    with pytest.raises(ClientError, match=r"The model stopped\. Ask again\.") as raised:
        list(events(iter(lines(chunk("Two "), error))))
    assert raised.value.retryable


def test_a_stream_without_its_end_is_an_error():
    with pytest.raises(ClientError, match="broke off"):
        list(events(iter(lines(chunk("Two ")))))


def test_a_bare_openai_server_is_a_chat_model_that_is_up():
    card = model_card({"id": "gpt", "object": "model"})
    assert (card.title, card.state, card.kind) == ("gpt", "up", "chat")
    assert card.can("speaker").supported


@pytest.mark.parametrize(
    "body", [None, [], {}, {"error": "text"}, {"error": {"message": ""}}, {"detail": "x"}]
)
def test_other_bodies_are_not_taken_for_errors(body: object):
    assert error_of(body) is None
