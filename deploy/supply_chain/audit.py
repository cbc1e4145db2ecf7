"""Known holes in the pinned packages, by pip-audit; and above all, whether anybody who knows was asked.

pip-audit says "no known vulnerabilities" of a package that its service does not know, and so of every package
where an index has packages but no advisories. So the service is first asked about a version whose holes have
long been known. If it does not know them, nothing was checked, and that is what is said.
"""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.supply_chain.pins import Pin, everything

CANARY = "requests==2.19.0"  # CVE-2018-18074
ACCEPTED = Path(__file__).with_name("accepted.toml")
NOT_CHECKED = "not checked: no advisory service reachable"
_TIMEOUT_S = 15  # for one answer of the service
_LIMIT_S = 600


@dataclass(frozen=True)
class Finding:
    """A known hole in a pinned package."""

    package: str
    version: str
    id: str
    mended_in: tuple[str, ...]

    def __str__(self) -> str:
        """Say it, and what to do."""
        to = f"Go to {' or '.join(self.mended_in)}" if self.mended_in else "There is no mended version yet"
        return f"{self.package} {self.version}: {self.id}. {to}, or accept it in {ACCEPTED.name} for a time."


@dataclass(frozen=True)
class Audit:
    """What came of it. Where nothing was `checked`, no findings mean nothing."""

    checked: bool
    findings: tuple[Finding, ...] = ()
    skipped: tuple[str, ...] = ()


def audit(command: Sequence[str] = (sys.executable, "-m", "pip_audit")) -> Audit:
    """Ask about every pin of every requirement file, once it is known that the service answers."""
    canary = asked([CANARY], command)
    if not canary.findings:
        return Audit(checked=False)
    return asked([f"{pin.name}=={_public(pin)}" for pin in everything()], command)


def asked(requirements: Sequence[str], command: Sequence[str]) -> Audit:
    """Ask about these. A run that fails counts as one that checked nothing."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(requirements) + "\n")
        file.flush()
        flags = ("--no-deps", "--disable-pip", "--progress-spinner", "off", "-f", "json")
        try:
            done = subprocess.run(
                [*command, *flags, "--timeout", str(_TIMEOUT_S), "-r", file.name],
                capture_output=True,
                text=True,
                timeout=_LIMIT_S,
            )
            told = json.loads(done.stdout)["dependencies"]
        except (OSError, ValueError, KeyError, subprocess.TimeoutExpired):
            return Audit(checked=False)
    findings = tuple(
        Finding(one["name"], one["version"], hole["id"], tuple(hole.get("fix_versions", ())))
        for one in told
        for hole in one.get("vulns", ())
    )
    return Audit(True, findings, tuple(one["name"] for one in told if "skip_reason" in one))


def unaccepted(findings: Sequence[Finding], today: datetime.date) -> list[Finding]:
    """Return those that accepted.toml does not name, or does not any more: every entry has a last day."""
    entries = tomllib.loads(ACCEPTED.read_text("utf-8")).get("accepted", [])
    known = {(one["package"], one["id"]) for one in entries if one["reason"] and one["until"] >= today}
    return [one for one in findings if (one.package, one.id) not in known]


def _public(pin: Pin) -> str:
    return pin.version.partition("+")[0]
