"""The one module that talks to the controller: models, clips, answers. Every failure is a ClientError."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Generator, Iterator, Mapping
from http import HTTPStatus
from typing import Any

import httpx

from ui.wire import ClientError, Event, ModelCard, StoredClip, error_of, events, model_card

VISITOR_HEADER = "x-meralion-visitor"
CONNECT_TIMEOUT_S = 3.0
REPLY_TIMEOUT_S = 30.0  # for everything but an answer
GONE = "The demo's backend has stopped. It is being started again: press Ask again."
ELSEWHERE = "The demo's backend does not answer. Please tell the host, then try again."
SLOW = "The demo's backend took too long. It may be busy: wait a moment, then try again."
STRANGE = "The demo's backend gave an answer that this page cannot read. Please tell the host."


class AnswerStream:
    """An answer on its way. Iterate it once; `close` from any thread ends it and frees the model's place."""

    def __init__(
        self, url: str, headers: Mapping[str, str], body: Mapping[str, Any], timeout_s: float, gone: str
    ) -> None:
        self._url = url
        self._headers = headers
        self._body = body
        self._timeout = httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S)
        self._gone = gone
        self._socket: socket.socket | None = None
        self._closed = False

    def __iter__(self) -> Generator[Event, None, None]:
        # A connection of its own, so that hanging up disturbs no other request.
        with (
            _sentences(self._gone),
            httpx.Client(timeout=self._timeout, trust_env=False) as http,
            http.stream(
                "POST", self._url, headers=self._headers, json=self._body, extensions={"trace": self._trace}
            ) as response,
        ):
            if response.is_error:
                response.read()
                raise _error(response)
            yield from events(response.iter_lines())

    def close(self) -> None:
        """Hang up, also while nothing has come yet: reading ends at once and the upstream sees it."""
        self._closed = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _trace(self, name: str, info: Mapping[str, Any]) -> None:
        if name in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._socket = info["return_value"].get_extra_info("socket")
            if self._closed:
                self.close()


class Client:
    """The controller as one visitor sees it. Safe to use from several threads."""

    def __init__(self, base_url: Callable[[], str], visitor: str, http: httpx.Client, local: bool) -> None:
        """Use the controller at `base_url()`, asked at each call since a restarted one has a new port."""
        self._base_url = base_url
        self._headers = {VISITOR_HEADER: visitor}
        self._http = http
        self._gone = GONE if local else ELSEWHERE

    def models(self) -> list[ModelCard]:
        """Return the models that the controller knows, up or not. Raises ClientError."""
        body = self._json("GET", "/v1/models")
        with _sentences(self._gone):
            return [model_card(row) for row in body["data"]]

    def upload(self, data: bytes, name: str) -> StoredClip:
        """Hand a clip to the controller, which decodes and keeps it. Raises ClientError."""
        files = {"file": (name, data, "application/octet-stream")}
        body = self._json("POST", "/v1/files", data={"purpose": "user_data"}, files=files)
        with _sentences(self._gone):
            return StoredClip(str(body["id"]), float(body["meralion"]["seconds"]))

    def content(self, file_id: str) -> bytes:
        """Return a clip as the models hear it: WAV, 16 kHz, mono. Raises ClientError."""
        return self._send("GET", f"/v1/files/{file_id}/content").content

    def has(self, file_id: str) -> bool:
        """Say whether the controller still keeps a clip. Raises ClientError."""
        try:
            self._send("GET", f"/v1/files/{file_id}")
        except ClientError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return False
            raise
        return True

    def delete(self, file_id: str) -> None:
        """Make the controller forget a clip. Raises ClientError."""
        self._send("DELETE", f"/v1/files/{file_id}")

    def ask(self, model: str, prompt: str, file_id: str, max_tokens: int, timeout_s: float) -> AnswerStream:
        """Ask about a clip. Temperature 0, so that the same question gives the same answer."""
        content: list[dict[str, Any]] = [{"type": "file", "file": {"file_id": file_id}}]
        content.append({"type": "text", "text": prompt})
        body = {
            "model": model,
            "messages": [{"role": "user", "content": content}],
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": 0,
            "max_tokens": max_tokens,
        }
        url = self._url("/v1/chat/completions")
        return AnswerStream(url, self._headers, body, timeout_s, self._gone)

    def _json(self, method: str, path: str, **arguments: Any) -> Any:
        response = self._send(method, path, **arguments)
        with _sentences(self._gone):
            return response.json()

    def _send(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        url = self._url(path)
        with _sentences(self._gone):
            response = self._http.request(method, url, headers=self._headers, **arguments)
        if response.is_error:
            raise _error(response)
        return response

    def _url(self, path: str) -> str:
        return self._base_url().rstrip("/") + path


def new_http() -> httpx.Client:
    """Make the connections that all visitors of this server share; the environment's proxies are not used."""
    timeout = httpx.Timeout(REPLY_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
    return httpx.Client(timeout=timeout, trust_env=False)


def _error(response: httpx.Response) -> ClientError:
    with contextlib.suppress(ValueError):
        if error := error_of(response.json()):
            error.status = response.status_code
            return error
    error = ClientError(f"{STRANGE} (HTTP {response.status_code})", "strange", response.is_server_error)
    error.status = response.status_code
    return error


@contextlib.contextmanager
def _sentences(gone: str) -> Iterator[None]:
    """Turn what httpx and a broken reply raise into a ClientError with a plain sentence."""
    try:
        yield
    except httpx.ConnectTimeout as error:
        raise ClientError(gone, "backend_gone", retryable=True) from error
    except httpx.TimeoutException as error:
        raise ClientError(SLOW, "timeout", retryable=True) from error
    except (httpx.TransportError, httpx.StreamError) as error:
        raise ClientError(gone, "backend_gone", retryable=True) from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ClientError(STRANGE, "strange") from error
