"""The addresses and names by which guests reach this machine, as they are at this moment."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass

import ifaddr

_LOCAL = ("localhost", "127.0.0.1", "::1")
# Networks inside the machine, or to elsewhere: nobody in the room is there.
_INNER = re.compile(
    r"(docker|br-|virbr|vmnet|vboxnet|lxc|cni|flannel|cali|tailscale|zt|tun|utun|wg|awdl|llw)"
)
_WIFI = re.compile(r"(wl|ath|wifi)")


@dataclass(frozen=True)
class Place:
    """Where this machine can be reached: the best address first, then names."""

    addresses: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def best(self) -> str:
        """The address to tell guests; this machine's own while it is in no network."""
        return self.addresses[0] if self.addresses else "localhost"

    def is_ours(self, name: str) -> bool:
        """Whether a certificate may be made for this."""
        bare = name.partition("%")[0].lower().rstrip(".")
        return bare in {*_LOCAL, *self.addresses, *self.names}


def here(names: Sequence[str] = ()) -> Place:
    """Look at this machine's interfaces and name; `names` are further ones."""
    found: list[tuple[int, str]] = []
    for adapter in ifaddr.get_adapters():
        for one in adapter.ips:
            text = one.ip if isinstance(one.ip, str) else one.ip[0]
            address = ipaddress.ip_address(text)
            if not (address.is_loopback or address.is_multicast or address.is_unspecified):
                found.append((_rank(str(adapter.name), address), str(address)))
    host = socket.gethostname().lower().partition(".")[0]
    own = (f"{host}.local", f"{host}.lan") if host and host != "localhost" else ()
    addresses = dict.fromkeys(address for _, address in sorted(found, key=lambda pair: pair[0]))
    return Place(tuple(addresses), tuple(dict.fromkeys((*names, *own))))


def _rank(adapter: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> int:
    """Say how far down the list an address belongs: guests are on the Wi-Fi, and type no IPv6."""
    inner = 8 if _INNER.match(adapter) else 0
    kind = 4 if address.version == 6 else 2 if address.is_link_local else 0
    return inner + kind + (0 if _WIFI.match(adapter) else 1)
