"""An answer by a text model at any address that speaks OpenAI's protocol, by the `openai` client, as events.

Import it where an answer is asked for and not where a page is drawn: the client takes a second to load.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2
from openai import OpenAI

from ui import logs
from ui.cascade.failures import told
from ui.cascade.guard import Guard
from ui.cascade.secret import Secret
from ui.cascade.trouble import failure
from ui.wire import Done, Event, Queued, Token, Usage

CONNECT_TIMEOUT_S = 10.0
MAX_ANSWER_CHARACTERS = 40_000
MAX_ANSWER_S = 600.0
NO_KEY = "none"  # the client insists on one


@dataclass(frozen=True)
class Target:
    """Where a text model is and how it is asked."""

    address: str  # up to "/v1"
    model: str = ""  # empty: the first that it lists
    key: Secret | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    limit_field: str = "max_tokens"
    max_tokens: int = 512
    temperature: float | None = None
    usage: bool = True
    first_word_s: float = 60.0
    silence_s: float = 30.0
    any_peer: bool = True  # False for an address that a visitor gave


class ExternalStream:
    """A text model's answer on its way. Iterate it once; `close` from any thread hangs up."""

    def __init__(self, target: Target, messages: Sequence[Mapping[str, str]]) -> None:
        self._target = target
        self._messages = messages
        self._guard = Guard(target.any_peer)
        self._over = threading.Event()
        self._begun = False
        self._late = False
        self._ends_at = time.monotonic() + MAX_ANSWER_S
        self._due_at = 0.0

    def __iter__(self) -> Generator[Event, None, None]:
        """Yield the events as they come. Raises ClientError, which holds nothing of what was sent."""
        self._expect(self._target.first_word_s)
        threading.Thread(target=self._watch, name="text-model-watch", daemon=True).start()
        try:
            yield from self._events()
        except Exception as error:
            found = told(error, self._begun)
            if self._late:
                found = failure("text_silent" if self._begun else "text_slow", retryable=True)
            logs.event(
                "text model failed",
                request_id=logs.request_id.get(),
                code=found.code,
                reason=type(error).__name__,
            )
            problem = found
        else:
            return
        finally:
            self._over.set()
            self._guard.hang_up()
        # Raised out here, so that it does not carry the client's own error, which may repeat the key.
        raise problem

    def close(self) -> None:
        """Hang up, whatever is on its way."""
        self._over.set()
        self._guard.hang_up()

    def _events(self) -> Generator[Event, None, None]:
        target = self._target
        limit = max(target.first_word_s, target.silence_s)
        # Told to log all, as an environment variable of its own can, the client would log what visitors say.
        logging.getLogger("openai").setLevel(logging.WARNING)
        with httpx2.Client(
            transport=self._guard,
            trust_env=False,
            follow_redirects=False,
            timeout=httpx2.Timeout(limit, connect=min(CONNECT_TIMEOUT_S, limit)),
        ) as http:
            client = OpenAI(
                base_url=target.address,
                api_key=target.key.reveal() if target.key else NO_KEY,
                max_retries=0,
                http_client=http,
                default_headers=target.headers,
            )
            reply = client.chat.completions.with_raw_response.create(**self._request(client))
            kind = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind == "text/event-stream":
                yield from self._chunks(reply.parse())
            elif kind == "application/json":
                yield from self._whole(reply.http_response)
            else:
                raise failure("text_strange")  # a web page, most likely

    def _request(self, client: OpenAI) -> dict[str, Any]:
        target = self._target
        request: dict[str, Any] = {
            "model": target.model or _first_model(client),
            "messages": list(self._messages),
            "stream": True,
            target.limit_field: target.max_tokens,
        }
        if target.usage:
            request["stream_options"] = {"include_usage": True}
        if target.temperature is not None:
            request["temperature"] = target.temperature
        return request

    def _chunks(self, stream: Any) -> Generator[Event, None, None]:
        """Read a stream of chunks, of which nothing is taken for granted."""
        left, reason = MAX_ANSWER_CHARACTERS, ""
        for chunk in stream:
            about = getattr(chunk, "meralion", None)
            queued = about.get("queued") if isinstance(about, dict) else None
            if queued:
                yield Queued(int(queued["position"]), int(queued["waiting"]))
            if queued or any(_alive(choice) for choice in (chunk.choices or ())[:1]):
                self._expect(self._target.silence_s if self._begun else self._target.first_word_s)
            for choice in (chunk.choices or ())[:1]:
                text = choice.delta.content if choice.delta else None
                if isinstance(text, str) and text:
                    self._begun = True
                    self._expect(self._target.silence_s)
                    yield Token(text[:left])
                    left -= len(text)
                reason = str(choice.finish_reason or reason)
            if (usage := _usage(chunk.usage)) is not None:
                yield usage
            if left <= 0:
                reason = "length"
                break
        if not reason:
            raise failure("text_broke" if self._begun else "text_nothing", retryable=True)
        yield Done(finish_reason=reason)

    def _whole(self, response: httpx2.Response) -> Generator[Event, None, None]:
        """Read an answer that came in one piece, though a stream was asked for."""
        response.read()
        body = response.json()
        choice = body["choices"][0]
        text = str(choice["message"]["content"] or "")
        if text:
            yield Token(text[:MAX_ANSWER_CHARACTERS])
        usage = body.get("usage")
        if isinstance(usage, dict):
            yield Usage(int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0))
        cut = len(text) > MAX_ANSWER_CHARACTERS
        yield Done(finish_reason="length" if cut else str(choice.get("finish_reason") or "stop"))

    def _expect(self, within_s: float) -> None:
        self._due_at = min(time.monotonic() + within_s, self._ends_at)

    def _watch(self) -> None:
        """Hang up when words are overdue: bytes that are none, such as comments, do not count."""
        while not self._over.wait(max(self._due_at - time.monotonic(), 0.0)):
            if time.monotonic() >= self._due_at:
                self._late = True
                self._guard.hang_up()
                return


def _first_model(client: OpenAI) -> str:
    found = next((str(model.id) for model in client.models.list().data or ()), "")
    if not found:
        raise failure("text_no_model")
    return found


def _alive(choice: Any) -> bool:
    """Whether a model says something here, be it only to itself."""
    extra = choice.delta.model_extra if choice.delta else None
    return any(isinstance(value, str) and value for value in (extra or {}).values())


def _usage(usage: Any) -> Usage | None:
    try:
        return Usage(int(usage.prompt_tokens), int(usage.completion_tokens)) if usage else None
    except (AttributeError, TypeError, ValueError):
        return None
