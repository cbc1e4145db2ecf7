"""Which ports guests come in by: the usual ones where they can be had, a sentence where they cannot."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass

from deploy.event.settings import EventError


@dataclass(frozen=True)
class Chosen:
    """A port, and what to tell the host about it; nothing where it is the usual one."""

    port: int
    sentence: str = ""


def choose(wanted: int, usual: int, other: int, flag: str) -> Chosen:
    """Return `wanted`; where that is 0, the usual port or else the other. Raises EventError."""
    if wanted:
        if why := _trouble(wanted):
            raise EventError(
                f"Port {wanted} cannot be used: {why}. End that program, or choose another port with "
                f"{flag}, such as {other}."
            )
        return Chosen(wanted)
    why = _trouble(usual)
    if not why:
        return Chosen(usual)
    if other_why := _trouble(other):
        raise EventError(
            f"Neither port {usual} ({why}) nor port {other} ({other_why}) can be used. "
            f"End the program that listens there, or choose a port with {flag}."
        )
    return Chosen(other, f"Port {usual} is not used ({why}); port {other} is, so it stands in the address.")


def free() -> int:
    """Return a port of this machine alone that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _trouble(port: int) -> str:
    """Say why a port cannot be listened on; nothing where it can."""
    both = socket.has_dualstack_ipv6()
    family, everywhere = (socket.AF_INET6, "::") if both else (socket.AF_INET, "0.0.0.0")  # noqa: S104
    try:
        socket.create_server((everywhere, port), family=family, dualstack_ipv6=both).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return "another program listens there"
        if error.errno in (errno.EACCES, errno.EPERM):
            return "this user may not listen there"
        return (error.strerror or "it cannot be had").lower()
    return ""
