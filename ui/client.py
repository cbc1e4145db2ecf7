"""The one module that talks to the controller: models, clips, answers. Every failure is a ClientError."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import httpx

from ui.sending import carried, sending
from ui.sound import with_true_length
from ui.stream import CONNECT_TIMEOUT_S, refusal, sentences
from ui.stream import AnswerStream as AnswerStream
from ui.transcript_stream import TranscriptStream
from ui.visitor import Visitor
from ui.wire import ClientError, Decisions, ModelCard, StoredClip, model_card

VISITOR_HEADER = "x-meralion-visitor"
REPLY_TIMEOUT_S = 30.0  # for everything but an answer
LOOK_TIMEOUT_S = 5.0  # for what every run of a page asks first: over a link that is cut it would stand still
TRANSCRIPT_TIMEOUT_S = 300.0
SPEECH_TIMEOUT_S = 120.0  # for a first sentence to be said, on a busy machine and after a queue
GONE = "The demo's backend has stopped. It is being started again: press Ask again."
ELSEWHERE = "The demo's backend does not answer. Please tell the host, then try again."
_LOOK = httpx.Timeout(LOOK_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)


class Client:
    """The controller as one visitor sees it. Safe to use from several threads."""

    def __init__(
        self, base_url: Callable[[], str], visitor: Visitor, http: httpx.Client, local: bool
    ) -> None:
        """Use the controller at `base_url()`, asked at each call since a restarted one has a new port."""
        self._base_url = base_url
        self._visitor = visitor
        self._http = http
        self._gone = GONE if local else ELSEWHERE

    def models(self) -> list[ModelCard]:
        """Return the models that the controller knows, up or not. Raises ClientError."""
        body = self._json("GET", "/v1/models", timeout=_LOOK)
        with sentences(self._gone):
            return [model_card(row) for row in body["data"]]

    def decisions(self) -> Decisions:
        """Return what the host of an event has decided. Raises ClientError."""
        said = self._json("GET", "/v1/status", timeout=_LOOK).get("event") or {}
        with sentences(self._gone):
            return Decisions(bool(said.get("paused")), int(said.get("visits_epoch", 0)))

    def upload(self, data: bytes, name: str) -> StoredClip:
        """Hand a clip to the controller, which decodes and keeps it. Raises ClientError."""
        files = {"file": (name, data, "application/octet-stream")}
        body = self._json("POST", "/v1/files", data={"purpose": "user_data"}, files=files)
        with sentences(self._gone):
            return StoredClip(str(body["id"]), float(body["meralion"]["seconds"]))

    def content(self, file_id: str) -> bytes:
        """Return a clip as the models hear it: WAV, 16 kHz, mono. Raises ClientError."""
        return self._send("GET", f"/v1/files/{file_id}/content", "/v1/files/{id}/content").content

    def has(self, file_id: str) -> bool:
        """Say whether the controller still keeps a clip. Raises ClientError."""
        try:
            self._send("GET", f"/v1/files/{file_id}", "/v1/files/{id}")
        except ClientError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return False
            raise
        return True

    def delete(self, file_id: str) -> None:
        """Make the controller forget a clip. Raises ClientError."""
        self._send("DELETE", f"/v1/files/{file_id}", "/v1/files/{id}")

    def ask(self, model: str, prompt: str, file_id: str, max_tokens: int, timeout_s: float) -> AnswerStream:
        """Ask one question about a clip. Temperature 0, so that the same question gives the same answer."""
        content: list[dict[str, Any]] = [{"type": "file", "file": {"file_id": file_id}}]
        content.append({"type": "text", "text": prompt})
        messages = [{"role": "user", "content": content}]
        return self.chat(model, messages, timeout_s, temperature=0, max_tokens=max_tokens)

    def chat(
        self, model: str, messages: Sequence[Mapping[str, Any]], timeout_s: float, **sampling: float | int
    ) -> AnswerStream:
        """Ask with a whole conversation; `sampling` holds temperature, top_p, max_tokens, seed."""
        body = {
            "model": model,
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True},
            **sampling,
        }
        address = (self._url(""), "/v1/chat/completions")
        return AnswerStream(address, self._visitor_header(), body, timeout_s, self._gone)

    def transcribe(
        self, model: str, wav: bytes, language: str = "", timeout_s: float = TRANSCRIPT_TIMEOUT_S
    ) -> TranscriptStream:
        """Write down a recording with times while it is read: two hours and 256 MiB at most, any format.

        It is sent whole and kept nowhere: `upload`, which takes five minutes, is not needed first. `language`
        is a code such as "en"; without one the model finds out. `timeout_s` is the longest silence: to pass
        over an hour in which nobody speaks takes a while.
        """
        fields = {"model": model, **({"language": language} if language else {})}
        address = (self._url(""), "/v1/audio/transcriptions")
        return TranscriptStream(address, self._visitor_header(), fields, wav, timeout_s, self._gone)

    def speak(self, text: str, model: str, voice: str = "", speed: float = 1.0) -> bytes:
        """Read a text aloud; return a WAV. Raises ClientError.

        Without `voice` the model's own is used; `speed` is 0.25 to 4 times the usual.
        """
        body: dict[str, Any] = {"model": model, "input": text, "response_format": "wav", "speed": speed}
        if voice:
            body["voice"] = voice
        timeout = httpx.Timeout(SPEECH_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        return with_true_length(self._send("POST", "/v1/audio/speech", json=body, timeout=timeout).content)

    def for_openai(self) -> tuple[str, dict[str, str]]:
        """Return what an OpenAI client needs to ask as this visitor: the address and the headers."""
        return self._url("/v1"), self._visitor_header() | carried()

    def _json(self, method: str, path: str, **arguments: Any) -> Any:
        response = self._send(method, path, **arguments)
        with sentences(self._gone):
            return response.json()

    def _send(self, method: str, path: str, route: str = "", **arguments: Any) -> httpx.Response:
        url = self._url(path)
        with sending(method, route or path) as sent:
            headers = self._visitor_header() | sent.headers
            with sentences(self._gone):
                response = self._http.request(method, url, headers=headers, **arguments)
            sent.status = response.status_code
            if response.is_error:
                raise refusal(response)
            return response

    def _visitor_header(self) -> dict[str, str]:
        return {VISITOR_HEADER: self._visitor.token()}

    def _url(self, path: str) -> str:
        return self._base_url().rstrip("/") + path


def new_http() -> httpx.Client:
    """Make the connections that all visitors of this server share; the environment's proxies are not used."""
    timeout = httpx.Timeout(REPLY_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
    return httpx.Client(timeout=timeout, trust_env=False)
