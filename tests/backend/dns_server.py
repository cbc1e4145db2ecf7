"""A small DNS server on a loopback address of its own, over UDP and TCP, which does as it is told.

    with dns_server() as server, contextlib.ExitStack() as stack:
        server.hosts["engines.test"] = ["127.0.0.2", "127.0.0.3"]
        begun(stack, log, before=server.asked_by(folder), ...)

A process asks it, and no other, when its /etc/resolv.conf says so: it gets one in a mount namespace of its
own. That, and port 53, want root.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 and "CI" not in os.environ,
    reason="Only root can give a process a name server of its own (a mount namespace, port 53). Run as root.",
)
_UDP_BYTES = 512  # what the system's resolver takes without EDNS; beyond it, it asks again over TCP


class DnsServer:
    """Answers A and AAAA for `hosts`, or as `mood` says: with a failure, or not at all."""

    def __init__(self) -> None:
        self.hosts: dict[str, list[str]] = {}
        self.mood: Literal["answers", "fails", "silent"] = "answers"
        self.asked = 0
        self.host, self._udp, self._tcp = _bound()
        self._threads = [threading.Thread(target=one, daemon=True) for one in (self._by_udp, self._by_tcp)]
        for thread in self._threads:
            thread.start()

    def asked_by(self, folder: Path) -> list[str]:
        """The command before one that shall ask this server only."""
        file = folder / "resolv.conf"
        # Longer than any test waits: a resolver that is not answered holds its thread.
        file.write_text(f"nameserver {self.host}\noptions timeout:30 attempts:2\n")
        script = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
        return ["unshare", "--mount", "sh", "-c", script, str(file)]

    def close(self) -> None:
        for one in (self._udp, self._tcp):
            with contextlib.suppress(OSError):  # a UDP socket has no other side; it wakes all the same
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive()

    def _by_udp(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                data, client = self._udp.recvfrom(4_096)
                if not data:
                    return
                if reply := self._reply(data):
                    wire = reply.to_wire()
                    if len(wire) > _UDP_BYTES:
                        reply.answer.clear()
                        reply.flags |= dns.flags.TC
                        wire = reply.to_wire()
                    self._udp.sendto(wire, client)

    def _by_tcp(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._tcp.accept()
                with client, contextlib.suppress(OSError, struct.error), client.makefile("rb") as told:
                    while length := told.read(2):
                        reply = self._reply(told.read(*struct.unpack("!H", length)))
                        if reply is None:
                            break
                        wire = reply.to_wire()
                        client.sendall(struct.pack("!H", len(wire)) + wire)

    def _reply(self, data: bytes) -> dns.message.Message | None:
        self.asked += 1
        mood = self.mood
        if mood == "silent":
            return None
        asked = dns.message.from_wire(data)
        reply = dns.message.make_response(asked, recursion_available=True)  # else an empty one counts as none
        question = asked.question[0]
        known = self.hosts.get(question.name.to_text(omit_final_dot=True))
        if mood == "fails":
            reply.set_rcode(dns.rcode.SERVFAIL)
        elif known is None:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        else:
            kind = dns.rdatatype.to_text(question.rdtype)
            found = [one for one in known if (":" in one) == (kind == "AAAA")]
            if found and kind in ("A", "AAAA"):
                reply.answer.append(dns.rrset.from_text(question.name, 1, "IN", kind, *found))
        return reply


def _bound() -> tuple[str, socket.socket, socket.socket]:
    """Sockets on port 53 of an address that nobody uses: a resolver can be told no other port."""
    lot = random.Random()
    for _ in range(20):
        host = f"127.53.{lot.randrange(256)}.{lot.randrange(1, 255)}"
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.bind((host, 53))
            return host, udp, socket.create_server((host, 53))
        except OSError:
            udp.close()
    raise AssertionError("No loopback address has a port 53 that is free.")


@contextlib.contextmanager
def dns_server() -> Iterator[DnsServer]:
    server = DnsServer()
    try:
        yield server
    finally:
        server.close()
