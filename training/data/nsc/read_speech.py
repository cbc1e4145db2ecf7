"""Parts 1 and 2: sentences read aloud, a speaker's in one zip (or one folder), a script for each session."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from training.data import tags
from training.data.audio import Recording
from training.data.clips import Clip, Unit, note_strays
from training.data.ledger import Ledger, Rejected
from training.data.nsc import scripts, speakers
from training.data.settings import Rules, Source
from training.errors import DataError

SCRIPT = re.compile(r"\d(?P<speaker>\d{4})\d\.txt", re.IGNORECASE)  # channel, speaker, session
SOUNDS = re.compile(r"SPEAKER(?P<speaker>\d{4})(?:\.zip)?", re.IGNORECASE)
# 30 s in any format that the corpus could come in: 192 kHz, two channels, 32 bits.
LARGEST_BYTES = 30 * 192_000 * 2 * 4


def units(source: Source, number: int) -> list[Unit]:
    """A speaker on a channel each. Raises DataError where the part or a channel is not there."""
    found = []
    for channel in source.channels:
        folder = source.folder / "DATA" / f"CHANNEL{channel}"
        written: dict[str, list[Path]] = {}
        spoken: dict[str, list[Path]] = {}
        strays = []
        for kind, names, place in (("SCRIPT", SCRIPT, written), ("WAVE", SOUNDS, spoken)):
            for path in _inside(folder / kind):
                if match := names.fullmatch(path.name):
                    place.setdefault(match["speaker"], []).append(path)
                else:
                    strays.append(str(path))
        if not written and not spoken:
            raise DataError(
                f"{folder} has neither SCRIPT/*.TXT nor WAVE/SPEAKER*. "
                f"Set the source's `folder` to {source.corpus.replace('nsc-', 'PART')} as delivered."
            )
        for speaker in sorted({*written, *spoken}):
            texts, sounds = written.get(speaker, []), spoken.get(speaker, [])
            found.append(
                Unit(
                    number,
                    f"{source.label}-{channel}{speaker}",
                    tuple(map(str, (*texts, *sounds))),
                    {"speaker": speaker, "scripts": len(texts)},
                )
            )
        if strays:
            found.append(Unit(number, f"{source.label}-{channel}-strays", tuple(strays), {"strays": True}))
    return found


def clips(source: Source, unit: Unit, rules: Rules, heard: Ledger, rows: Ledger) -> Iterator[Clip]:
    """A clip a sentence that has both words and sound."""
    if unit.details.get("strays"):
        note_strays(unit, heard)
        return
    paths = list(map(Path, unit.files))
    entries = _entries(paths[: unit.details["scripts"]], heard)
    who = speakers.of(source, unit.details["speaker"], heard)
    with _Sounds(paths[unit.details["scripts"] :]) as sounds:
        for name in sounds.unknown(set(entries)):
            heard.drop("no_transcript", f"{unit.name}: {name}")
        for id, entry in entries.items():
            words = entry.normalised if source.text == "normalised" else entry.prompt
            try:
                text = tags.plain(words, rules.tags)
                with sounds.open(id) as recording:
                    if recording.seconds > rules.longest_s:
                        raise Rejected("too_long", f"{recording.name} has {recording.seconds:,.1f} s")
                    clip = Clip(f"{source.label}-{id}", recording.read(), text, (who,))
                    for kind in recording.repairs:
                        heard.repair(
                            kind, f"{recording.name}: {recording.rate:,} Hz, {recording.channels} ch"
                        )
            except Rejected as error:
                heard.drop(error.rule, f"{id}: {error.why}")
                continue
            heard.keep()
            yield clip


def _entries(paths: list[Path], heard: Ledger) -> dict[str, scripts.Entry]:
    """What all sessions say, by id."""
    found: dict[str, scripts.Entry] = {}
    for path in paths:
        try:
            entries = scripts.entries(path, heard)
        except Rejected as error:
            heard.drop(error.rule, error.why)
            continue
        for entry in entries:
            if found.setdefault(entry.id, entry) is not entry:
                heard.drop("duplicate_id", f"{path.name}: {entry.id} is in another session's script too")
    return found


def _inside(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


class _Sounds:
    """A speaker's recordings by their ids, in a zip or in folders."""

    def __init__(self, places: list[Path]) -> None:
        self._files: dict[str, Path] = {}
        self._members: dict[str, tuple[zipfile.ZipFile, zipfile.ZipInfo]] = {}
        self._archives: list[zipfile.ZipFile] = []
        self._broken: list[str] = []
        for place in places:
            if place.is_dir():
                wavs = (path for path in sorted(place.rglob("*")) if path.suffix.lower() == ".wav")
                self._files |= {path.stem: path for path in wavs}
                continue
            try:
                archive = zipfile.ZipFile(place)
            except (zipfile.BadZipFile, OSError) as error:
                self._broken.append(f"{place.name} is no whole zip ({error})")
                continue
            self._archives.append(archive)
            for member in archive.infolist():
                if member.filename.lower().endswith(".wav"):
                    self._members[Path(member.filename).stem] = archive, member

    def __enter__(self) -> _Sounds:
        return self

    def __exit__(self, *_: object) -> None:
        for archive in self._archives:
            archive.close()

    def unknown(self, ids: set[str]) -> list[str]:
        """Names of recordings that have none of the ids."""
        return sorted(f"{name}.wav" for name in {*self._files, *self._members} - ids)

    def open(self, id: str) -> Recording:
        """The recording of a sentence. Raises Rejected."""
        if id in self._files:
            return Recording(self._files[id], f"{id}.wav")
        if id not in self._members:
            why = f"no {id}.wav" + "".join(f"; {broken}" for broken in self._broken)
            raise Rejected("undecodable" if self._broken else "no_audio", why)
        archive, member = self._members[id]
        if member.file_size > LARGEST_BYTES:
            raise Rejected("too_long", f"{id}.wav has {member.file_size:,} bytes, too many for a clip")
        try:
            with archive.open(member) as stream:
                return Recording(stream.read(LARGEST_BYTES), f"{id}.wav")
        except (
            zipfile.BadZipFile,
            OSError,
            EOFError,
            NotImplementedError,
            RuntimeError,
            zlib.error,
        ) as error:
            raise Rejected("undecodable", f"{id}.wav in {archive.filename}: {error}") from None
