"""What the host is told: sentences as things happen, and once all addresses, with a code for phones."""

from __future__ import annotations

import io
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import segno

_WIDTH = 18


@dataclass(frozen=True)
class Doors:
    """Every way in, for one address of this machine."""

    demo: str
    trust: str  # where phones learn to trust the demo; empty with a real certificate
    here: str
    host_page: str

    @property
    def for_phones(self) -> str:
        """What a phone's camera is pointed at; it opens the demo by itself where that is trusted."""
        return self.trust or self.demo


def doors(address: str, https: int, http: int, *, own: bool) -> Doors:
    """Return the ways in."""
    host = f"[{address}]" if ":" in address else address
    demo = f"https://{host}{_port(https, 443)}"
    plain = f"http://{host}{_port(http, 80)}"
    return Doors(demo, f"{plain}/trust" if own else "", f"http://localhost{_port(http, 80)}", f"{demo}/host")


def say(sentence: str) -> None:
    """Tell the host that something has happened."""
    print(f"{time.strftime('%H:%M:%S')}  {sentence}", flush=True)  # noqa: T201


def tell(ways: Doors, key: str, key_file: Path, fingerprint: str) -> None:
    """Tell the host every address. The key is shown to a person, and never written to a log."""
    rows = [
        ("Guests", f"{ways.trust}  (how to trust the demo; then it opens)" if ways.trust else ways.demo),
        ("The demo", ways.demo),
        ("On this machine", f"{ways.here}  (for the big screen; it needs no trust)"),
        ("Host page", ways.host_page),
        ("Host key", key if sys.stdout.isatty() else f"in the file {key_file}"),
    ]
    if fingerprint:
        rows.append(("Fingerprint", fingerprint))
    lines = [f"  {title:<{_WIDTH}}{text}" for title, text in rows if text]
    print("\n" + "\n".join(lines) + "\n\n" + picture(ways.for_phones), flush=True)  # noqa: T201


def picture(address: str) -> str:
    """Return an address as a code that phones read from a terminal; nothing where that cannot draw it."""
    drawn = io.StringIO()
    segno.make(address, error="l").terminal(drawn, compact=True, border=2)
    text = drawn.getvalue()
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return ""
    return text


def _port(port: int, usual: int) -> str:
    return "" if port == usual else f":{port}"
