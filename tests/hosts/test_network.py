"""The hosts themselves: who reaches whom, what each fault of the network looks like, what stays behind."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts.network import Host, Network, sweep

PORT = 5_000


@pytest.fixture
def network() -> Iterator[Network]:
    with Network("one", "other") as network:
        yield network


@pytest.fixture
def pair(network: Network) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A connection from one to the other."""
    one, other = network.hosts["one"], network.hosts["other"]
    with (
        other.do(lambda: socket.create_server((other.address, PORT))) as listening,
        one.do(lambda: socket.create_connection((other.address, PORT), 5)) as near,
        listening.accept()[0] as far,
    ):
        near.settimeout(30)
        far.settimeout(30)
        yield near, far


def connects(one: Host, other: Host) -> str:
    """What comes of connecting within half a second: connected, silence, or the error's name."""
    try:
        one.do(lambda: socket.create_connection((other.address, PORT), 0.5)).close()
    except TimeoutError:
        return "silence"
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "connected"


def hears(far: socket.socket, within_s: float = 0.5) -> bool:
    far.settimeout(within_s)
    try:
        return bool(far.recv(1_000))
    except TimeoutError:
        return False
    finally:
        far.settimeout(30)


def test_a_host_has_its_own_address_and_reaches_nothing_outside(network: Network) -> None:
    one = network.hosts["one"]
    assert connects(one, network.hosts["other"]) == "ECONNREFUSED"
    with pytest.raises(OSError, match="unreachable"):
        one.do(lambda: socket.create_connection(("192.0.2.1", 80), 1))


def test_what_is_lost_in_silence_arrives_when_the_link_is_whole(
    network: Network, pair: tuple[socket.socket, socket.socket]
) -> None:
    near, far = pair
    network.partition("one", "other")
    near.sendall(b"kept")
    assert not hears(far)
    assert connects(network.hosts["one"], network.hosts["other"]) == "silence"
    network.heal()
    assert far.recv(4) == b"kept"
    assert connects(network.hosts["one"], network.hosts["other"]) == "connected"


def test_a_cut_one_way_leaves_the_other(network: Network, pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    network.cut("other", "one")
    near.sendall(b"heard")
    assert hears(far, 30)
    far.sendall(b"answered")
    assert not hears(near)
    network.heal()
    assert hears(near, 30)


def test_a_refusal_and_a_pulled_cable_are_told_at_once(network: Network) -> None:
    one, other = network.hosts["one"], network.hosts["other"]
    network.partition("one", loss="unreachable")
    assert connects(one, other) in ("ENETUNREACH", "EHOSTUNREACH")
    network.heal()
    network.pull("other")
    assert connects(one, other) in ("ENETUNREACH", "EHOSTUNREACH")
    network.heal()
    assert connects(one, other) == "ECONNREFUSED"


def test_a_slow_link_drops_and_all_arrives(
    network: Network, pair: tuple[socket.socket, socket.socket]
) -> None:
    near, far = pair
    network.slow("other", 2_000)
    sent = os.urandom(200_000)
    began = time.monotonic()
    near.sendall(sent)
    got = b""
    while len(got) < len(sent):
        got += far.recv(65_536)
    assert got == sent
    assert time.monotonic() - began > 0.4  # 1.6 Mbit in all


def test_nothing_stays_behind(network: Network) -> None:
    host = network.hosts["one"]
    inside = subprocess.Popen(host.command("sleep", "600"))
    network.close()
    assert inside.wait(10) == -signal.SIGKILL
    assert not [path for path in Path("/run/netns").iterdir() if path.name.startswith(host.namespace)]


def test_what_a_killed_run_left_is_swept_away() -> None:
    code = (
        "import os, signal\n"
        "from tests.hosts.network import Network\n"
        "network = Network('lost').__enter__()\n"
        "print(network.hosts['lost'].namespace, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    namespace = done.stdout.strip()
    assert Path("/run/netns", namespace).exists(), done.stderr
    sweep()
    assert not Path("/run/netns", namespace).exists()
