"""What is wrong with an answer, whatever was asked: our engines are well, so nothing above 499 may come."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.fuzzing.line import HANGS_S, Answer
from benchmarks.fuzzing.message import Message
from benchmarks.fuzzing.plan import carries_name

_FIELDS = {"message", "type", "param", "code"}
_NO_HTTP = b"Invalid HTTP request received."  # the server's own words, before a request is one
_ENDED = "The file could not be decoded."  # of a recording whose decoder crashed, or took too long
_STRAY = (b"Traceback (most", b'"code":"internal"', b"site-packages", b"root:x:0:0")


def wrong(message: Message, answer: Answer) -> str:
    """Say what is wrong, or nothing."""
    if answer.hung:
        return f"no answer in {HANGS_S:.0f} s"
    if answer.cut:
        return f"cut in the middle of a {answer.status}"
    if not answer.status:
        return "" if message.framing == "broken" else "closed without an answer"
    if answer.status >= 500:
        return f"status {answer.status} {code_of(answer)}".rstrip()
    if any(stray in answer.body for stray in _STRAY):
        return "words in the answer that no caller should see"
    if message.framing != "right" and answer.body == _NO_HTTP:
        return ""
    if carries_name(message) and answer.headers.get(b"x-request-id") != message.name:
        return "another request's answer"
    return "" if message.is_head else _wrong_body(answer)


def code_of(answer: Answer) -> str:
    """The code of an error, where it is one of ours."""
    try:
        error = json.loads(answer.body)["error"]
        ended = error["message"].startswith(_ENDED)
        return f"{error['code']}{' (its decoder ended)' if ended else ''}"
    except (ValueError, TypeError, KeyError, AttributeError):
        return ""


def _wrong_body(answer: Answer) -> str:
    kind = answer.headers.get(b"content-type", b"").partition(b";")[0]
    if kind == b"text/event-stream":
        ends = answer.body.rstrip().endswith(b"data: [DONE]")
        return "" if ends else "a stream without an end"
    if answer.status < 400 and kind != b"application/json":
        return ""
    try:
        body = json.loads(answer.body)
    except ValueError:
        return f"a {answer.status} that is no JSON"
    return "" if answer.status < 400 or _is_error(body) else f"a {answer.status} not in OpenAI's form"


def _is_error(body: Any) -> bool:
    error = body.get("error") if isinstance(body, dict) and len(body) == 1 else None
    if not isinstance(error, dict) or set(error) != _FIELDS:
        return False
    words, param = error["message"], error["param"]
    return (
        isinstance(words, str)
        and bool(words)
        and isinstance(error["code"], str)
        and isinstance(param, str | None)
    )
