"""HTTP on the wire, where uvicorn leaves gaps.

A request's head is bounded in bytes and time; what is no HTTP is refused in OpenAI's form; and who leaves is
noticed by the request that is being answered, not only by the newest that was read.
"""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from backend import identity, logs
from backend.errors import InvalidRequest

MAX_HEAD_BYTES = 64 * 2**10
HEAD_S = 20.0  # for a connection's first request, and for the head of each to arrive
LINGER_S = 3.0  # for who is refused to read why, while the rest of what was sent is let in
_LINGER_BYTES = 64 * 2**20
READER_S = 30.0  # for a reader to take something of what waits for it


class Protocol(HttpToolsProtocol):
    """One connection."""

    head_s = HEAD_S
    reader_s = READER_S
    linger_s = LINGER_S

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request, but not for ever."""
        super().connection_made(transport)
        self.access_log = False  # uvicorn's own has paths, in which a key may stand by mistake
        self._has_refused = False
        self._let_in = 0  # bytes after that
        self._running: RequestResponseCycle | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._refusal = HTTPStatus.BAD_REQUEST
        self._begin_head()

    def data_received(self, data: bytes) -> None:
        """Count what belongs to a head."""
        if self._has_refused:
            self._let_in += len(data)
            if self._let_in > _LINGER_BYTES:
                self.transport.abort()
            return
        if not (self._in_head or self._is_answering):  # the next request on a kept connection
            self._begin_head()
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES and not self._has_refused:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def on_message_begin(self) -> None:
        """Begin with a head, perhaps while the request before is being answered."""
        super().on_message_begin()
        if not self._in_head:
            self._begin_head()

    def on_headers_complete(self) -> None:
        """Begin to answer. Raises ValueError for a head that came at once and is too large."""
        self._in_head = False
        self._stop_waiting()
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > MAX_HEAD_BYTES:
            self._refusal = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            raise ValueError
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be read."""
        self._refuse(self._refusal)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the request that is being answered."""
        self._stop_waiting()
        self._no_longer_full()
        super().connection_lost(exc)
        self._leave()

    def pause_writing(self) -> None:
        """Wait for the reader, as long as it takes something now and then."""
        super().pause_writing()
        self._look_at_reader(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """Go on."""
        self._no_longer_full()
        super().resume_writing()

    def _look_at_reader(self, before: int) -> None:
        def look() -> None:
            left = self.transport.get_write_buffer_size()
            if left < before:
                self._look_at_reader(left)
            else:
                self.transport.abort()

        self._patience = self.loop.call_later(self.reader_s, look)

    def _no_longer_full(self) -> None:
        if self._patience:
            self._patience.cancel()
            self._patience = None

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    @property
    def _is_answering(self) -> bool:
        return self._running is not None and not self._running.response_complete

    def _begin_head(self) -> None:
        self._in_head, self._head_bytes = True, 0
        self._stop_waiting()
        self._deadline = self.loop.call_later(self.head_s, self._look)

    def _look(self) -> None:
        if self._is_answering:  # half of the next request is there, and has time until this one is answered
            self._deadline = self.loop.call_later(self.head_s, self._look)
        else:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)

    def _stop_waiting(self) -> None:
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, status: HTTPStatus) -> None:
        """Say what is wrong and hang up; where a whole request is being answered, when that is done.

        Closed at once, the caller would see a reset instead of the answer.
        """
        self._stop_waiting()
        self._has_refused = True
        running = self._running
        if running and self._is_answering and not running.more_body:
            self.pipeline.clear()
            running.keep_alive = False
            return
        if running and self._is_answering and running.response_started:
            self.transport.abort()  # a refusal in the middle of it could be taken for a part of it
        else:
            self._say(status)
            self._deadline = self.loop.call_later(self.linger_s, self.transport.close)
        self._leave()

    def _say(self, status: HTTPStatus) -> None:
        refusal, request_id = _REFUSALS[status], identity.new_request_id()
        body = json.dumps(refusal.body()).encode()
        head = (
            f"HTTP/1.1 {status} {status.phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nx-request-id: {request_id}\r\nconnection: close\r\n\r\n"
        )
        logs.event("request", request_id=request_id, status=int(status), code=refusal.code)
        self.transport.write(head.encode() + body)
        self.transport.write_eof()

    def _leave(self) -> None:
        self.pipeline.clear()
        if self._running and self._is_answering:
            self._running.disconnected = True
            self._running.message_event.set()


_REFUSALS = {
    HTTPStatus.BAD_REQUEST: InvalidRequest("http_invalid", "This is no HTTP request that can be read."),
    HTTPStatus.REQUEST_TIMEOUT: InvalidRequest(
        "head_too_slow", "The request's headers did not arrive in time. Check the network, try again."
    ),
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: InvalidRequest(
        "head_too_large", f"The request's headers are larger than {MAX_HEAD_BYTES // 2**10} KiB. Send fewer."
    ),
}
