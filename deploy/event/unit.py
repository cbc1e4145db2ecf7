"""The kit as a service of systemd, so that it comes up by itself after a cut of power."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Mapping, Sequence

from deploy.event.children import ROOT

_UNIT = """\
# The MERaLiON demo, served to a room. Put this into /etc/systemd/system/meralion-event.service, then:
#   systemctl daemon-reload && systemctl enable --now meralion-event
# Settings of the controller and the pages are not in here: add a line Environment=MERALION_...=... for each
# that you have set; keys in a file of root's, by EnvironmentFile=.
[Unit]
Description=MERaLiON demo for an event
After=network.target
StartLimitIntervalSec=0

[Service]
User={user}
WorkingDirectory={root}
{environment}ExecStart={command}
Restart=always
RestartSec=2
KillMode=mixed
TimeoutStopSec=20
# Ports 443 and 80, and no other right of root's.
AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
NoNewPrivileges=true
PrivateTmp=true
ProtectSystem=full

[Install]
WantedBy=multi-user.target
"""


def unit(arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    """Return the unit's text for this user, this checkout, these flags and variables."""
    words = [sys.executable, "-m", "deploy.event", *arguments]
    lines = "".join(f"Environment={name}={value}\n" for name, value in environment.items())
    command = " ".join(map(_quoted, words))
    return _UNIT.format(user=getpass.getuser(), root=ROOT, command=command, environment=lines)


def _quoted(word: str) -> str:
    """Write a word as systemd.syntax(7) wants it: % and $ doubled, in quotes where it has a space."""
    plain = word.replace("%", "%%").replace("$", "$$")
    escaped = plain.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"' if escaped != plain or " " in plain or "'" in plain else plain
