"""A reply on its way as server-sent events, and how what goes wrong with a request is said in a sentence."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any, Generic, TypeVar

import httpx

from ui.sending import Sending, sending
from ui.speed import SPEEDS
from ui.wire import ClientError, Event, error_of, events

CONNECT_TIMEOUT_S = 3.0
SLOW = "The demo's backend took too long. It may be busy: wait a moment, then try again."
STRANGE = "The demo's backend gave an answer that this page cannot read. Please tell the host."

E = TypeVar("E")


class EventStream(Generic[E]):
    """Events on their way. Iterate it once; `close` from any thread ends it and frees the model's place."""

    def __init__(
        self,
        address: tuple[str, str],
        headers: Mapping[str, str],
        content: Mapping[str, Any],
        model: str,
        read: Callable[[Iterator[str]], Iterator[E]],
        timeout_s: float,
        gone: str,
    ) -> None:
        """POST `content`, which is what httpx takes (`json`, or `data` and `files`), to a server's route.

        `read` makes events of the reply's lines, `timeout_s` is the longest silence, also before the first
        word, and `gone` the sentence for a backend that is not there.
        """
        self._url, self._route = "".join(address), address[1]
        self._model = model
        self._headers = headers
        self._content = content
        self._read = read
        self._timeout = httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S)
        self._gone = gone
        self._socket: socket.socket | None = None
        self._sending: Sending | None = None
        self._closed = False

    def __iter__(self) -> Generator[E, None, None]:
        """Yield the events as they come. Raises ClientError."""
        with sending("POST", self._route, self._model) as self._sending:
            yield from self._reply(self._sending)

    def _reply(self, sent: Sending) -> Iterator[E]:
        # A connection of its own, so that hanging up disturbs no other request.
        with (
            sentences(self._gone),
            httpx.Client(timeout=self._timeout, trust_env=False) as http,
            http.stream(
                "POST",
                self._url,
                headers={**self._headers, **sent.headers},
                extensions={"trace": self._trace},
                **self._content,
            ) as response,
        ):
            sent.status = response.status_code
            if response.is_error:
                response.read()
                raise refusal(response)
            yield from self._read(response.iter_lines())

    def close(self) -> None:
        """Hang up, also while nothing has come yet: reading ends at once and the upstream sees it."""
        self._closed = True
        if self._sending is not None:
            self._sending.left = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _trace(self, name: str, info: Mapping[str, Any]) -> None:
        if name in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._socket = info["return_value"].get_extra_info("socket")
            if self._closed:
                self.close()


class AnswerStream(EventStream[Event]):
    """An answer on its way."""

    def __init__(
        self,
        address: tuple[str, str],
        headers: Mapping[str, str],
        body: Mapping[str, Any],
        timeout_s: float,
        gone: str,
    ) -> None:
        model = str(body.get("model", ""))

        def read(lines: Iterator[str]) -> Iterator[Event]:
            return SPEEDS.watched(model, events(lines))

        super().__init__(address, headers, {"json": body}, model, read, timeout_s, gone)


def refusal(response: httpx.Response) -> ClientError:
    """Return what a reply that is an error tells."""
    error = None
    with contextlib.suppress(ValueError):
        error = error_of(response.json())
    if error is None:
        error = ClientError(f"{STRANGE} (HTTP {response.status_code})", "strange", response.is_server_error)
    error.status = response.status_code
    again = response.headers.get("retry-after", "")
    error.retry_after_s = int(again) if again.isdecimal() and len(again) < 6 else 0
    return error


@contextlib.contextmanager
def sentences(gone: str) -> Iterator[None]:
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
