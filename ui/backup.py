"""A backup of all donations as one tar file, and what comes back from it: never what was deleted since.

The same donations make the same file, byte for byte. It is not encrypted: it is for the host's eyes alone
(mode 0600), and belongs on a disk that is.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path

from ui.donations import DELETED, Donations, hashed, read_deleted
from ui.records import PRIVATE_FILE, NotKept, put

_MEMBER = re.compile(r"([a-z2-7]{16})\.(wav|json)")
_MOST = 256 * 2**20  # bytes of one member; recordings are of 25 MiB at most


class BackupError(Exception):
    """A backup that could not be made or read; the message says what to do."""


@dataclass(frozen=True)
class Restored:
    """What became of the donations in a backup."""

    back: int
    there: int  # already
    deleted: int  # since, or before: they stay away


def backup(donations: Donations, target: Path) -> int:
    """Write all donations and the list of deletions to a new file; say how many. Raises BackupError.

    The file is read again, and is there only if it holds what was to be kept.
    """
    receipts = [one.receipt for one in donations.all()]
    names = [f"{receipt}.{kind}" for receipt in receipts for kind in ("json", "wav")]
    beside = target.with_name(f".{target.name}.tmp")
    sums: dict[str, str] = {}
    try:
        if target.exists():
            raise BackupError(f"{target} is there already. Name another file.")
        beside.unlink(missing_ok=True)
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
        with os.fdopen(handle, "wb") as file, tarfile.open(fileobj=file, mode="w") as tar:
            for name in [*sorted(names), DELETED]:
                source = donations.folder / name
                if not source.is_file():  # deleted meanwhile, or nothing was deleted yet
                    continue
                data = source.read_bytes()
                sums[name] = hashlib.sha256(data).hexdigest()
                about = tarfile.TarInfo(name)
                about.size, about.mode, about.mtime = len(data), PRIVATE_FILE, int(source.stat().st_mtime)
                tar.addfile(about, io.BytesIO(data))
            file.flush()
            os.fsync(file.fileno())
        if {name: hashlib.sha256(data).hexdigest() for name, data in _members(beside)} != sums:
            raise BackupError(f"{target} does not read as it was written. Look at that disk, then try again.")
        beside.replace(target)
    except OSError as error:
        raise BackupError(f"{target} cannot be written: {error.strerror or error}. Name another.") from None
    finally:
        beside.unlink(missing_ok=True)
    return len(receipts)


def restore(donations: Donations, source: Path, further: Path | None = None) -> Restored:
    """Bring back what is neither there nor deleted. Raises BackupError.

    Deletions are taken from the folder, from the backup, and from `further`, a later list of them.
    """
    try:
        members = dict(_members(source))
        later = further.read_bytes() if further else b""
    except (OSError, tarfile.TarError) as error:
        raise BackupError(f"{source} cannot be read: {error}. Take another backup.") from None
    gone = donations.deleted() | read_deleted(members.pop(DELETED, b"")) | read_deleted(later)
    back = there = deleted = 0
    for receipt in sorted({name.partition(".")[0] for name in members}):
        files = {name: members[name] for name in (f"{receipt}.json", f"{receipt}.wav") if name in members}
        if hashed(receipt) in gone:
            deleted += 1
        elif (donations.folder / f"{receipt}.json").exists():
            there += 1
        elif len(files) == 2:  # never a recording without its consent
            try:
                put(donations.folder, files, donations.max_bytes)
            except NotKept as error:
                raise BackupError(f"After {back} donations: {error}. Make room, then try again.") from None
            back += 1
    donations.note_deleted(sorted(gone - donations.deleted()))
    return Restored(back, there, deleted)


def _members(file: Path) -> list[tuple[str, bytes]]:
    """Read a backup. Raises OSError, TarError, and BackupError for a file that is none."""
    found = []
    with tarfile.open(file) as tar:
        for member in tar:
            if not (member.isfile() and (_MEMBER.fullmatch(member.name) or member.name == DELETED)):
                raise BackupError(
                    f"{file} holds {member.name!r}, which is no donation: it is no backup of ours."
                )
            if member.size > _MOST:
                raise BackupError(f"{file} holds {member.name} of {member.size:,} bytes, which is too large.")
            data = tar.extractfile(member)
            assert data is not None
            found.append((member.name, data.read()))
    return found
