"""The kit as it runs: Caddy, the pages and the controller, watched over until the host ends it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx

from deploy.event import addresses, certificate, site
from deploy.event.allow import Allow
from deploy.event.authority import Authority, authority
from deploy.event.caddy import Ports, config
from deploy.event.children import LEASH, Child
from deploy.event.data import Data, write
from deploy.event.ports import choose, free
from deploy.event.settings import PREFIX, EventError, Settings
from deploy.event.telling import Doors, doors, say, tell

_LOOK_S = 2.0  # between looks at this machine's addresses
_READY_LOOK_S = 0.3
ADDRESS_FILE = "address"


class Kit:
    """Everything that is decided before anything is started. Raises EventError in a sentence."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.caddy = _caddy()
        real = settings.cert and settings.key and (settings.cert, settings.key)
        self._names = (*settings.names, *(certificate.names_of(*real) if real else ()))
        self.data = Data(settings.data)
        https = choose(settings.https_port, 443, 8443, "--https-port")
        http = choose(settings.http_port, 80, 8080, "--http-port")
        self.notes = [chosen.sentence for chosen in (https, http) if chosen.sentence]
        self.host_key, self._secret = self.data.host_key(), self.data.visitor_secret()
        self.own: Authority | None = None if real else self._authority()
        self._real_name = self._names[len(settings.names)] if real else ""
        self.place = addresses.here(self._names)
        self._allow = Allow(lambda name: addresses.here(self._names).is_ours(name))
        self.ports = Ports(https.port, http.port, free(), self._allow.port)
        self._controller_port = free()
        given = (*real, self._real_name) if real else None
        # Caddy makes all of it again in a moment; whatever a cut of power left half written is gone.
        shutil.rmtree(self.data.path("caddy"), ignore_errors=True)
        site.lay_out(self.data, https.port, self.own)
        write(self.data.path("caddy.json"), json.dumps(config(self.ports, self.data.folder, given)).encode())

    @property
    def doors(self) -> Doors:
        """The ways in at this moment."""
        address = self._real_name or self.place.best
        return doors(address, self.ports.https, self.ports.http, own=self.own is not None)

    async def run(self) -> None:
        """Serve until told to stop, then end everything that was started."""
        for note in self.notes:
            say(note)
        self._write_address()
        ended = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        say("The demo is starting.")
        jobs = [child.run() for child in self.children()]
        tasks = [
            asyncio.create_task(job) for job in (*jobs, self._watch_addresses(), self._tell_when_ready())
        ]
        try:
            await ended.wait()
        finally:
            say("The demo ends.")
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._allow.close()

    def children(self) -> list[Child]:
        """Return the programs to be kept running."""
        python, data = sys.executable, self.data
        usual = {**self._usual(), **_without_ours(os.environ)}
        pages = [python, "-m", "streamlit", "run", "Home.py", "--server.address", "127.0.0.1"]
        pages += ["--server.port", str(self.ports.pages), "--server.headless", "true"]
        caddy = [str(self.caddy), "run", "--config", str(data.path("caddy.json"))]
        programs: dict[str, tuple[str, list[str], Mapping[str, str]]] = {
            "controller": ("The controller", [python, "-m", "backend"], usual | self._of_controller()),
            "pages": ("The page server", [*LEASH, *pages], usual | self._of_pages()),
            "caddy": ("Caddy, which serves https,", [*LEASH, *caddy], _bare(os.environ)),
        }
        return [
            Child(title, command, data.path("logs") / f"{name}.log", say, environment, (data.lock,))
            for name, (title, command, environment) in programs.items()
        ]

    def _authority(self) -> Authority:
        own = authority(self.data, self.settings.names)
        if lacking := own.lacks(self.settings.names):
            raise EventError(
                f"The authority in {self.data.folder} may not vouch for {lacking[0]}, which was not among "
                "the names when it was made. Leave that name out; or delete authority.crt and authority.key "
                "there, and phones must trust the new authority once more."
            )
        if own.is_new:
            self.notes.append(
                "A new certificate authority was made: phones that are to use it must trust it once."
            )
        return own

    def _usual(self) -> dict[str, str]:
        """Return the controller's and the pages' settings for an event, which the environment may change."""
        chosen = self.settings
        return {
            "MERALION_KIOSK": "1" if chosen.kiosk else "0",
            "MERALION_CACHE_FILE": str(self.data.path("answers.sqlite")),
            "MERALION_HOST_STATE_FILE": str(self.data.path("host.json")),
            "MERALION_VISITOR_REQUESTS_PER_MINUTE": str(chosen.requests_per_minute),
            "MERALION_QUEUE_PER_VISITOR": str(chosen.waiting_per_visitor),
            "MERALION_FILES_PER_VISITOR": str(chosen.files_per_visitor),
        }

    def _of_controller(self) -> dict[str, str]:
        return {
            "MERALION_HOST": "127.0.0.1",
            "MERALION_PORT": str(self._controller_port),
            "MERALION_TRUSTED_PROXIES": "127.0.0.1,::1",
            "MERALION_EXIT_WITH_PARENT": "1",
            "MERALION_VISITOR_SECRET": self._secret,
            "MERALION_HOST_KEY": self.host_key,
        }

    def _of_pages(self) -> dict[str, str]:
        return {
            "MERALION_BACKEND_URL": f"http://127.0.0.1:{self._controller_port}",
            "MERALION_VISITOR_SECRET": self._secret,
            "MERALION_UI_ADDRESS_FILE": str(self.data.path(ADDRESS_FILE)),
        }

    async def _watch_addresses(self) -> None:
        """Notice when the network comes, goes, or gives another address; Caddy needs no word of it."""
        while True:
            await asyncio.sleep(_LOOK_S)
            now = addresses.here(self._names)
            if now != self.place:
                before, self.place = self.doors, now
                if self.doors == before:
                    continue
                self._write_address()
                say(
                    "This machine has another address now."
                    if now.addresses
                    else "This machine is in no network."
                )
                self._tell()

    async def _tell_when_ready(self) -> None:
        """Tell the addresses once the pages answer."""
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            for url in (f"http://127.0.0.1:{self._controller_port}/healthz", self._page_health):
                answered = False
                while not answered:
                    with contextlib.suppress(httpx.TransportError):
                        await client.get(url)
                        answered = True
                    await asyncio.sleep(0 if answered else _READY_LOOK_S)
        say("The demo is ready.")
        self._tell()

    @property
    def _page_health(self) -> str:
        return f"http://127.0.0.1:{self.ports.pages}/_stcore/health"

    def _tell(self) -> None:
        fingerprint = self.own.fingerprint if self.own else ""
        tell(self.doors, self.host_key, self.data.path("host-key"), fingerprint)

    def _write_address(self) -> None:
        with contextlib.suppress(OSError):  # a full disk: the pages show the code from before
            write(self.data.path(ADDRESS_FILE), self.doors.for_phones.encode())


def _caddy() -> Path:
    beside = Path(sys.executable).with_name("caddy")
    found = str(beside) if beside.is_file() else shutil.which("caddy")
    if not found:
        raise EventError("Caddy is not installed. Run `make event` once while there is internet.")
    return Path(found)


def _without_ours(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith(PREFIX)}


def _bare(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what a program needs that knows nothing of the demo, and no secret of it."""
    return {name: value for name, value in environment.items() if not name.startswith("MERALION")}
