"""Recordings that visitors give to the host, where the host asks for them: kept with the consent, deletable.

A donation is two files, RECEIPT.wav and RECEIPT.json. The receipt is drawn at random and is all that leads
from a visitor to a recording; whoever shows it may delete both. That it was deleted is noted in DELETED, by
the receipt's hash, so that no backup brings it back.

    python -m ui.donations list        # see python -m ui.donations --help
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ui import logs, records

RECEIPT_BYTES = 10  # 80 bits: nobody guesses one
DELETED = "deleted.jsonl"
_MAX_DELETED_BYTES = 64 * 2**20  # half a million deletions
_RECEIPT = re.compile(r"[a-z2-7]{16}")


@dataclass(frozen=True)
class Consent:
    """What a visitor agreed to: the very words, and the language that they were in."""

    text: str
    language: str

    @property
    def version(self) -> str:
        """A name that changes with the words."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Donation:
    """What may be told of a donation: nothing of what is in it."""

    receipt: str
    time: datetime
    seconds: float
    bytes: int
    consent: str  # the version of its words


@dataclass(frozen=True)
class Donations:
    """The folder of donations, and how much it may hold in all."""

    folder: Path
    max_bytes: int

    def keep(self, wav: bytes, seconds: float, consent: Consent) -> str:
        """Keep a recording; return its receipt. Raises records.NotKept, and then nothing is kept."""
        receipt = base64.b32encode(secrets.token_bytes(RECEIPT_BYTES)).decode().lower()
        about = {
            "receipt": receipt,
            "time": records.now(),
            "seconds": round(seconds, 2),
            "consent": {"version": consent.version, "language": consent.language, "text": consent.text},
        }
        written = json.dumps(about, ensure_ascii=False, indent=1).encode()
        # The consent first: a recording never lies there without one.
        files = {f"{receipt}.json": written, f"{receipt}.wav": wav}
        records.put(self.folder, files, self.max_bytes)
        return receipt

    def delete(self, receipt: str) -> bool:
        """Delete a recording; say whether there was one. Raises records.NotKept where it has to stay."""
        read = read_receipt(receipt)
        # The recording first: if the second cannot be deleted, no voice is left.
        there = bool(read) and records.remove(self.folder, [f"{read}.wav", f"{read}.json"])
        if there:
            self.note_deleted([hashed(read)])
        return there

    def all(self) -> list[Donation]:
        """Return what is kept, the oldest first."""
        found = [self._about(file) for file in self.folder.glob("*.json") if read_receipt(file.stem)]
        return sorted(found, key=lambda one: (one.time, one.receipt))

    def purge(self, days: float) -> int:
        """Delete what is older than so many days; say how many. Raises records.NotKept."""
        before = datetime.now(UTC) - timedelta(days=days)
        return sum(self.delete(one.receipt) for one in self.all() if one.time < before)

    def deleted(self) -> set[str]:
        """Return the hashes of the receipts of all that was deleted."""
        file = self.folder / DELETED
        return read_deleted(file.read_bytes()) if file.is_file() else set()

    def note_deleted(self, hashes: Iterable[str]) -> None:
        """Note deletions; where the disk is too full for that it is said in the log."""
        try:
            for one in hashes:
                note = {"sha256": one, "time": records.now()}
                records.append(self.folder / DELETED, note, _MAX_DELETED_BYTES)
        except records.NotKept:
            logs.event("deletion not noted", reason="a backup may bring the recording back")

    def _about(self, file: Path) -> Donation:
        """Read what was written down; a file that cannot be read is as old as its last change."""
        sound = file.with_suffix(".wav")
        size = sum(one.stat().st_size for one in (file, sound) if one.is_file())
        try:
            told = json.loads(file.read_bytes())
            time = datetime.fromisoformat(told["time"])
            return Donation(file.stem, time, float(told["seconds"]), size, str(told["consent"]["version"]))
        except (ValueError, KeyError, TypeError):
            return Donation(file.stem, datetime.fromtimestamp(file.stat().st_mtime, UTC), 0.0, size, "?")


def show_receipt(receipt: str) -> str:
    """Return a receipt as it is easily copied by hand: four groups of four."""
    return "-".join(receipt[i : i + 4] for i in range(0, len(receipt), 4))


def read_receipt(typed: str) -> str:
    """Return the receipt that somebody typed, or "" for what is none; so no path can ever be typed."""
    plain = re.sub(r"[\s-]", "", typed[:64]).lower()
    return plain if _RECEIPT.fullmatch(plain) else ""


def hashed(receipt: str) -> str:
    """Return what a deletion is noted by: the receipt itself is nobody's to know."""
    return hashlib.sha256(receipt.encode()).hexdigest()


def read_deleted(lines: bytes) -> set[str]:
    """Return the hashes in a list of deletions; half a line is passed over."""
    return {found[1].decode() for found in re.finditer(rb'"sha256": "([0-9a-f]{64})"', lines)}


if __name__ == "__main__":
    from ui.donations_command import main

    sys.exit(main())
