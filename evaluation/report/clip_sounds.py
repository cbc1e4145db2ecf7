"""The sound of a report's clips: linked from a folder that is there already, or written beside the page."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from urllib.parse import quote

from evaluation.core import Example
from evaluation.errors import RunError

SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".m4a", ".webm")
_KINDS = {b"RIFF": "wav", b"fLaC": "flac", b"OggS": "ogg", b"ID3": "mp3", b"\x1aE\xdf\xa3": "webm"}

Addresses = Mapping[str, str]  # by clip, relative to the page


def linked(folder: Path, page: Path) -> Addresses:
    """The clips of a data set's folder, FOLDER/<clip>.wav or the like; none where there is no folder."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    return {
        path.relative_to(folder).with_suffix("").as_posix(): quote(
            os.path.relpath(path, page).replace(os.sep, "/")
        )
        for path in found
    }


def copied(examples: Iterable[Example], wanted: Collection[str], folder: Path, page: Path) -> Addresses:
    """The sound of those examples that are wanted, written into a folder below the page. Raises RunError."""
    found: dict[str, str] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for example in examples:
            if example.id in wanted and example.audio:
                # Numbered: an id may hold what no file name can.
                path = folder / f"{len(found)}.{_kind(example.audio)}"
                path.write_bytes(example.audio)
                found[example.id] = quote(path.relative_to(page).as_posix())
    except OSError as error:
        raise RunError(
            f"{folder} cannot be written ({error.strerror}). Make room, or leave the sound out."
        ) from None
    return found


def _kind(audio: bytes) -> str:
    """The suffix by which a browser knows a file of this beginning; MPEG sound has no name at its start."""
    if audio[4:8] == b"ftyp":
        return "m4a"
    return next(
        (kind for start, kind in _KINDS.items() if audio.startswith(start)),
        "mp3" if audio[:1] == b"\xff" else "wav",
    )
