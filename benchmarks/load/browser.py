"""A visitor's browser as the pages' server sees it: Streamlit's websocket, and nothing drawn.

It keeps what a browser keeps (which widgets there are, what was set in them, which messages it has already),
and runs the fragments that ask to be run at intervals, as a browser would.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from dataclasses import dataclass, field
from types import TracebackType

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

_ID = re.compile(r"\$\$ID-[0-9a-f]+-(.+)")
RUN_LIMIT_S = 60.0


@dataclass
class Browser:
    """One visit. `url` is the pages' address; use it as an async context manager."""

    url: str
    locale: str = "en-SG"
    widgets: dict[str, str] = field(default_factory=dict)  # id by key
    labels: dict[str, str] = field(default_factory=dict)  # what stands on them, by key
    pages: dict[str, str] = field(default_factory=dict)  # script hash by path; the first one's path is ""
    texts: str = ""  # all text that the run under way has sent
    troubles: list[str] = field(default_factory=list)  # exceptions and errors that were shown
    page: str = ""
    _set: dict[str, WidgetState] = field(default_factory=dict)
    _known: set[str] = field(default_factory=set)
    _finished: asyncio.Event = field(default_factory=asyncio.Event)
    _came: asyncio.Event = field(default_factory=asyncio.Event)
    _fragments: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    async def __aenter__(self) -> Browser:
        """Connect."""
        address = self.url.replace("http", "ws", 1) + "/_stcore/stream"
        self._socket: ClientConnection = await connect(
            address,
            subprotocols=[Subprotocol("streamlit")],
            origin=Origin(self.url),
            max_size=None,
            compression=None,
            proxy=None,
        )
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the tab."""
        self._stop_fragments()
        self._reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reader
        await self._socket.close()

    async def open(self, path: str = "") -> float:
        """Go to a page; return the seconds until all of it was there."""
        self.page = path
        self.widgets.clear()
        self._stop_fragments()
        return await self.run()

    async def click(self, key: str) -> float:
        """Press a button; return the seconds until the page stood still again."""
        return await self.run(WidgetState(id=self.widgets[key], trigger_value=True))

    async def enter(self, key: str, text: str) -> float:
        """Type into a field or choose from a list; return the seconds until the page stood still again."""
        return await self.run(self.write(key, text))

    def write(self, key: str, text: str) -> WidgetState:
        """Type into a field, to be sent with what comes next."""
        state = WidgetState(id=self.widgets[key], string_value=text)
        self._set[key] = state
        return state

    async def click_until(self, key: str, words: str) -> tuple[float, float]:
        """Press a button; return the seconds until words came, and until the page stood still again."""
        began = time.monotonic()
        self._begin()
        await self._send(WidgetState(id=self.widgets[key], trigger_value=True))
        async with asyncio.timeout(RUN_LIMIT_S):
            while words not in self.texts:
                self._came.clear()
                await self._came.wait()
            first = time.monotonic() - began
            await self._finished.wait()
        return first, time.monotonic() - began

    async def run(self, state: WidgetState | None = None) -> float:
        """Have the page run; return the seconds until it has. Raises TimeoutError."""
        began = time.monotonic()
        self._begin()
        await self._send(state)
        async with asyncio.timeout(RUN_LIMIT_S):
            await self._finished.wait()
        return time.monotonic() - began

    def _begin(self) -> None:
        self._finished.clear()
        self.texts = ""

    async def _send(self, state: WidgetState | None = None, fragment: str = "") -> None:
        message = BackMsg()
        request = message.rerun_script
        request.page_script_hash = self.pages.get(self.page, "")
        request.page_name = "" if self.pages else self.page
        request.cached_message_hashes.extend(self._known)
        request.context_info.locale = self.locale
        request.context_info.url = f"{self.url}/{self.page}"
        request.fragment_id, request.is_auto_rerun = fragment, bool(fragment)
        here = set(self.widgets.values())
        request.widget_states.widgets.extend(one for one in self._set.values() if one.id in here)
        if state is not None and state not in request.widget_states.widgets:
            request.widget_states.widgets.append(state)
        await self._socket.send(message.SerializeToString())

    async def _read(self) -> None:
        async for data in self._socket:
            message = ForwardMsg.FromString(data if isinstance(data, bytes) else data.encode())
            if message.metadata.cacheable and message.hash:
                self._known.add(message.hash)
            match message.WhichOneof("type"):
                case "navigation":
                    self.pages = {
                        "" if page.is_default else page.url_pathname: page.page_script_hash
                        for page in message.navigation.app_pages
                    }
                case "delta":
                    if message.delta.WhichOneof("type") == "new_element":
                        self._take(message.delta.new_element)
                case "auto_rerun":
                    self._run_at_intervals(message.auto_rerun.fragment_id, message.auto_rerun.interval)
                case "new_session":
                    if not message.new_session.fragment_ids_this_run:
                        self._stop_fragments()
                case "script_finished":
                    if message.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY:
                        self._finished.set()
            self._came.set()

    def _take(self, element: Element) -> None:
        kind = element.WhichOneof("type")
        content = getattr(element, kind) if kind else None
        named = _ID.fullmatch(getattr(content, "id", "") or "")
        if named:
            self.widgets[named[1]] = named[0]
            self.labels[named[1]] = str(getattr(content, "label", ""))
        if kind == "text":
            self.texts += f"{element.text.body}\n"
        elif kind == "exception":
            self.troubles.append(f"{element.exception.type}: {element.exception.message}")
        elif kind == "alert" and element.alert.format == element.alert.ERROR:
            self.troubles.append(element.alert.body)

    def _run_at_intervals(self, fragment: str, seconds: float) -> None:
        async def go_on() -> None:
            while True:
                await asyncio.sleep(seconds)
                await self._send(fragment=fragment)

        if fragment not in self._fragments:
            self._fragments[fragment] = asyncio.create_task(go_on())

    def _stop_fragments(self) -> None:
        for task in self._fragments.values():
            task.cancel()
        self._fragments.clear()
