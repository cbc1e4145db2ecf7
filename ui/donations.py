"""Recordings that visitors give to the host, where the host asks for them: kept with the consent, deletable.

A donation is two files, RECEIPT.wav and RECEIPT.json. The receipt is drawn at random and is all that leads
from a visitor to a recording; whoever shows it may delete both.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from ui import records

RECEIPT_BYTES = 10  # 80 bits: nobody guesses one
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
        return bool(read) and records.remove(self.folder, [f"{read}.wav", f"{read}.json"])


def show_receipt(receipt: str) -> str:
    """Return a receipt as it is easily copied by hand: four groups of four."""
    return "-".join(receipt[i : i + 4] for i in range(0, len(receipt), 4))


def read_receipt(typed: str) -> str:
    """Return the receipt that somebody typed, or "" for what is none; so no path can ever be typed."""
    plain = re.sub(r"[\s-]", "", typed[:64]).lower()
    return plain if _RECEIPT.fullmatch(plain) else ""
