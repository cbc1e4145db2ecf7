"""An OpenAI-compatible endpoint: whether it is there, and one request to it, with a bound on each wait."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from evaluation.errors import EndpointError
from evaluation.retrying import Pace, persist
from evaluation.stream import Reply, Stream
from evaluation.systems import Patience, System
from evaluation.trouble import Trouble, nonsense, of_connection, of_status

_LARGEST_BODY = 4 * 2**20  # bytes of an answer that does not stream
_TAIL_S = 1.0  # for what may follow [DONE], so that the connection can be used again
_REFUSED = (401, 403, 404)  # at the start these end the run: they would end every request


class Endpoint:
    """A row of kind chat or transcription, and the connections to it."""

    def __init__(self, system: System) -> None:
        """Takes the key from the environment. Raises RegistryError where it is missing."""
        self.system = system
        self.model = system.model
        self.url = system.base_url.rstrip("/")
        self._key = system.key()
        self._pace = Pace(system.rate)
        # Somebody waits for the first word: an endpoint that was not started is said at once.
        self._hasty = system.patience.model_copy(update={"tries": min(system.patience.tries, 3)})
        self._answered = False
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        headers = {"authorization": f"Bearer {self._key}"} if self._key else {}
        # Waits are bounded here and not by httpx, which knows no whole and no first byte.
        timeout = httpx.Timeout(None, connect=system.patience.connect_s)
        self._http = httpx.AsyncClient(timeout=timeout, limits=limits, headers=headers)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def find(self) -> None:
        """Look for the endpoint and its model before anything is asked. Raises EndpointError."""
        try:
            names = await persist(self._names, self._hasty, self._pace)
        except Trouble as trouble:
            if trouble.status in (404, 405):  # it keeps no list: the first request will tell
                names = []
            else:
                raise self._away(trouble) from None
        if not self.model:
            if len(names) != 1:
                has = f"It has: {', '.join(sorted(names)[:20])}" if names else "It does not tell its models"
                raise EndpointError(
                    f"{self.url}: name the model in `model` of row [{self.system.id}]. {has}."
                )
            self.model = names[0]
        # Google writes models/NAME.
        if names and not any(name in (self.model, f"models/{self.model}") for name in names):
            raise EndpointError(
                f"{self.url} has no model {self.model!r}. It has: {', '.join(sorted(names)[:20])}. Start it: "
                f"{self.system.start}"
            )

    async def chat(self, body: Mapping[str, Any]) -> Reply:
        """Ask, and again where that may help. Raises Trouble, and EndpointError where it ends the run."""
        return await self._persist("/chat/completions", {"json": body}, streams=True)

    async def listen(self, route: str, wav: bytes, form: Mapping[str, str]) -> Reply:
        """Have sound written down at /audio/transcriptions or /audio/translations. Raises as `chat` does."""
        files = {"file": ("clip.wav", wav, "audio/wav")}
        return await self._persist(f"/audio/{route}", {"files": files, "data": form}, streams=False)

    async def _persist(self, path: str, content: Mapping[str, Any], *, streams: bool) -> Reply:
        try:
            reply = await persist(lambda: self._ask(path, content, streams), self.system.patience, self._pace)
        except Trouble as trouble:
            if trouble.status in _REFUSED and not self._answered:
                raise self._away(trouble) from None
            raise
        self._answered = True
        return reply

    async def _ask(self, path: str, content: Mapping[str, Any], streams: bool) -> Reply:
        """One request."""
        started, patience = time.monotonic(), self.system.patience
        reading = _Reading(patience)
        try:
            async with asyncio.timeout(patience.whole_s):
                request = self._http.build_request("POST", self.url + path, **content)
                async with asyncio.timeout(patience.first_s):
                    response = await self._http.send(request, stream=True)
                try:
                    await reading.read(response, streams)
                finally:
                    await response.aclose()
        except TimeoutError:
            raise Trouble(
                "The endpoint was silent or busy with the answer for too long.", again=True
            ) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise of_connection(error) from None
        reply = reading.stream.reply()
        reply.total_s = time.monotonic() - started
        reply.first_token_s = (reading.first_at or time.monotonic()) - started
        reply.cache = response.headers.get("x-meralion-cache", "")
        return reply

    async def _names(self) -> list[str]:
        """The ids of /models. Raises Trouble."""
        try:
            async with asyncio.timeout(self.system.patience.first_s):
                response = await self._http.get(f"{self.url}/models")
        except TimeoutError:
            raise Trouble("The endpoint was silent for too long.", again=True) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise of_connection(error) from None
        if response.status_code != httpx.codes.OK:
            raise of_status(response.status_code, response.headers, response.content)
        try:
            return [str(row["id"]) for row in response.json()["data"]]
        except (ValueError, LookupError, TypeError):
            raise nonsense("no list of models", response.content) from None

    def _away(self, trouble: Trouble) -> EndpointError:
        key = f" The key is taken from {self.system.key_env}." if self.system.key_env else ""
        return EndpointError(f"{self.url}: {trouble}{key} How to start or reach it: {self.system.start}")


class _Reading:
    """The body of one response, with a bound on each wait."""

    def __init__(self, patience: Patience) -> None:
        self.stream = Stream()
        self.first_at = 0.0  # when the first words came
        self._patience = patience

    async def read(self, response: httpx.Response, streams: bool) -> None:
        """Read it all. Raises Trouble, TimeoutError and httpx.HTTPError."""
        kind = response.headers.get("content-type", "")
        if response.status_code != httpx.codes.OK:
            raise of_status(response.status_code, response.headers, await self._whole(response))
        if streams and kind.startswith("text/event-stream"):
            await self._pieces(response, self._feed)
        else:
            body = await self._whole(response)
            self.stream.whole(body if streams else _as_chat(body))

    def _feed(self, piece: bytes) -> None:
        self.stream.feed(piece)
        if self.stream.text and not self.first_at:
            self.first_at = time.monotonic()

    async def _whole(self, response: httpx.Response) -> bytes:
        body = bytearray()

        def take(piece: bytes) -> None:
            body.extend(piece)
            if len(body) > _LARGEST_BODY:
                raise nonsense("a body of over 4 MB")

        await self._pieces(response, take)
        return bytes(body)

    async def _pieces(self, response: httpx.Response, take: Callable[[bytes], None]) -> None:
        pieces, wait = response.aiter_bytes(), self._patience.first_s
        while True:
            try:
                async with asyncio.timeout(wait):
                    take(await anext(pieces))
            except StopAsyncIteration:
                return
            except (TimeoutError, httpx.HTTPError):
                if self.stream.ended:  # all was said, and only the connection's own end is missing
                    return
                raise
            wait = _TAIL_S if self.stream.ended else self._patience.between_s


def _as_chat(body: bytes) -> bytes:
    """A transcription's {"text": ...} in the form of a chat's answer, so that one reader does for both."""
    try:
        text = json.loads(body)["text"]
    except (ValueError, LookupError, TypeError):
        raise nonsense("no transcript", body) from None
    return json.dumps({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}).encode()
