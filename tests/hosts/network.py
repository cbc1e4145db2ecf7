"""Several hosts on one machine: network namespaces, each on a link of its own to one router.

    client 10.77.1.2 ── 10.77.1.1 ┐
    engine 10.77.2.2 ── 10.77.2.1 ┼ router, which knows these links and nothing else
    redis  10.77.3.2 ── 10.77.3.1 ┘

None of it is seen from outside, so no address can collide. Faults happen at the router: packets from one host
to another vanish, are refused by ICMP, or a cable is pulled. Many kernels lack `tc netem`, so a bad link is a
slow one (`tbf`) that drops what it cannot hold.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, TypeVar

T = TypeVar("T")
Loss = Literal["blackhole", "unreachable"]
"""What the router does with a packet: drops it without a word, or tells its sender by ICMP."""

_PREFIX = "mhosts"
_NAMESPACES = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def missing() -> str:
    """Say what keeps this machine from having hosts; nothing when it can."""
    if os.geteuid() != 0:
        return "Network namespaces need root: run as root, as CI does."
    if not shutil.which("ip"):
        return "Network namespaces need `ip`: apt install iproute2."
    probe = f"{_PREFIX}{os.getpid()}-probe"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True, check=False)
    subprocess.run(["ip", "netns", "del", probe], capture_output=True, check=False)
    return f"No network namespace can be made here: {made.stderr.strip()}" if made.returncode else ""


class Host:
    """One host: its name and its address, which is the only one it has beside its loopback."""

    def __init__(self, name: str, namespace: str, number: int) -> None:
        self.name = name
        self.namespace = namespace
        self.address = f"10.77.{number}.2"
        self.gateway = f"10.77.{number}.1"
        self.link = f"to{number}"  # the router's end

    def command(self, *command: str) -> list[str]:
        """What runs a command on this host; `ip` becomes that command, so its process is the command's."""
        return ["ip", "netns", "exec", self.namespace, *command]

    def do(self, what: Callable[[], T]) -> T:
        """Call something, in a thread of its own, whose sockets are to be this host's."""
        result: list[T] = []
        problems: list[BaseException] = []

        def enter() -> None:
            try:
                with (_NAMESPACES / self.namespace).open() as entrance:
                    if _libc.setns(entrance.fileno(), _CLONE_NEWNET):
                        raise OSError(ctypes.get_errno(), "setns")
                result.append(what())
            except BaseException as problem:  # raised in the caller's thread
                problems.append(problem)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        if problems:
            raise problems[0]
        return result[0]


class Network:
    """The router and its hosts, for the length of a `with`."""

    def __init__(self, *names: str) -> None:
        self.hosts: dict[str, Host] = {}
        self._names = names
        self._stem = f"{_PREFIX}{os.getpid()}"
        self._router = f"{self._stem}-{_free_number(self._stem)}"
        self._lost: set[tuple[str, str, Loss]] = set()

    def __enter__(self) -> Network:
        sweep()
        try:
            self._make(self._router)
            self._run(
                "ip", "netns", "exec", self._router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"
            )
            for number, name in enumerate(self._names, 1):
                self.hosts[name] = self._joined(Host(name, f"{self._router}-{name}", number))
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove everything, and end what still runs there."""
        for host in self.hosts.values():
            _remove(host.namespace)
        _remove(self._router)

    def cut(self, source: str, target: str, loss: Loss = "blackhole") -> None:
        """Lose all packets from one host to another; what comes the other way still does."""
        if (source, target, loss) not in self._lost:
            self._lost.add((source, target, loss))
            self._rule("add", source, target, loss)

    def partition(self, one: str, *others: str, loss: Loss = "blackhole") -> None:
        """Lose all packets between one host and these others, both ways; without a name, all others."""
        for other in others or [name for name in self.hosts if name != one]:
            self.cut(one, other, loss)
            self.cut(other, one, loss)

    def pull(self, name: str) -> None:
        """Pull a host's cable: both ends see that the carrier is gone."""
        self._ip("link", "set", self.hosts[name].link, "down")

    def slow(self, name: str, kbit: int, burst_bytes: int = 4_096, hold_ms: int = 200) -> None:
        """Let so many kbit/s through to a host; what would wait longer than `hold_ms` is dropped."""
        link, rate, burst, hold = self.hosts[name].link, f"{kbit}kbit", str(burst_bytes), f"{hold_ms}ms"
        run = ["tc", "-n", self._router, "qdisc", "replace", "dev", link, "root"]
        self._run(*run, "tbf", "rate", rate, "burst", burst, "latency", hold)

    def heal(self) -> None:
        """Make all links whole again."""
        for source, target, loss in sorted(self._lost):
            self._rule("del", source, target, loss)
        self._lost.clear()
        for host in self.hosts.values():
            self._ip("link", "set", host.link, "up")
            run = ["tc", "-n", self._router, "qdisc", "del", "dev", host.link, "root"]
            subprocess.run(run, capture_output=True, check=False)  # there is none as a rule

    def _joined(self, host: Host) -> Host:
        self._make(host.namespace)
        peer = ("peer", "name", host.link, "netns", self._router)
        self._run("ip", "link", "add", "eth0", "netns", host.namespace, "type", "veth", *peer)
        self._ip("address", "add", f"{host.gateway}/24", "dev", host.link)
        self._ip("link", "set", host.link, "up")
        for words in (
            ("address", "add", f"{host.address}/24", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
            ("route", "add", "default", "via", host.gateway),
        ):
            self._run("ip", "-n", host.namespace, *words)
        return host

    def _make(self, namespace: str) -> None:
        self._run("ip", "netns", "add", namespace)
        self._run("ip", "-n", namespace, "link", "set", "lo", "up")

    def _rule(self, verb: str, source: str, target: str, loss: Loss) -> None:
        between = ("from", self.hosts[source].address, "to", self.hosts[target].address)
        self._ip("rule", verb, *between, loss)

    def _ip(self, *words: str) -> None:
        self._run("ip", "-n", self._router, *words)

    def _run(self, *command: str) -> None:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"`{' '.join(command)}`: {done.stderr.strip()}")


def sweep() -> None:
    """Remove what a run that was killed has left: namespaces named after a process that is no more."""
    for namespace in _ours():
        pid = namespace.removeprefix(_PREFIX).partition("-")[0]
        if not Path("/proc", pid).exists():
            _remove(namespace)


def _ours() -> Iterator[str]:
    for path in sorted(_NAMESPACES.glob(f"{_PREFIX}*-*")) if _NAMESPACES.is_dir() else ():
        if path.name.removeprefix(_PREFIX).partition("-")[0].isdecimal():
            yield path.name


def _free_number(stem: str) -> int:
    taken = {name.split("-")[1] for name in _ours() if name.startswith(f"{stem}-")}
    return next(number for number in range(1_000) if str(number) not in taken)


def _remove(namespace: str, within_s: float = 5.0) -> None:
    if not (_NAMESPACES / namespace).exists():
        return
    deadline = time.monotonic() + within_s
    while (pids := _inside(namespace)) and time.monotonic() < deadline:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    subprocess.run(["ip", "netns", "del", namespace], capture_output=True, check=False)


def _inside(namespace: str) -> list[int]:
    """The processes of a namespace that is ours alone; none of them is this one."""
    done = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, text=True, check=False)
    return [pid for pid in map(int, done.stdout.split()) if pid != os.getpid()]
