"""Parts 3 to 6: two people talk, a TextGrid for each; a recording for each, or one of both (part 3, far)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from training.data import tags
from training.data.audio import Pcm, Recording, mix
from training.data.clips import Clip, Unit, note_strays
from training.data.ledger import Ledger, Rejected
from training.data.nsc import speakers, textgrid
from training.data.schema import SAMPLE_RATE
from training.data.settings import Rules, Source
from training.data.windows import Turn, Window, windows
from training.errors import DataError

SAME_ROOM = re.compile(r"(?P<session>\d{4})-(?P<speaker>\d)")
SEPARATE_ROOMS = re.compile(r"(?P<session>conf_\d+_\d+)_(?P<speaker>\d+)")
BY_PHONE = re.compile(r"(?P<kind>sur|app)_(?P<session>\d+)_(?P<speaker>\d+)_(?P<setting>.+)")
SLACK = 0.05  # s that an interval may end after its recording


@dataclass(frozen=True)
class Side:
    """One speaker of a conversation: script and recording, of which either may be missing."""

    speaker: str
    script: str = ""
    sound: str = ""


def units(source: Source, number: int) -> list[Unit]:
    """A conversation each. Raises DataError where the folder holds none."""
    texts, sounds = _files(source)
    conversations: dict[str, list[Side]] = {}
    for stem in sorted({*texts, *sounds}):
        if names := _names(stem):
            conversation, speaker = names
            # A recording of both can only be cut into dialogues.
            both = sounds.get(conversation, "") if source.view == "dialogue" else ""
            side = Side(speaker, texts.get(stem, ""), sounds.get(stem, both))
            conversations.setdefault(conversation, []).append(side)
    if not conversations:
        raise DataError(
            f"{source.folder} holds no scripts of {source.corpus} (such as 3000-1.TextGrid or "
            "app_4001_6001_phnd_deb-1.TextGrid). Set the source's `folder` to the part as delivered."
        )
    found = [_unit(source, number, name, sides) for name, sides in conversations.items()]
    strays = sorted({*texts.values(), *sounds.values()} - {file for unit in found for file in unit.files})
    if strays:
        found.append(Unit(number, f"{source.label}-strays", tuple(strays), {"strays": True}))
    return found


def _unit(source: Source, number: int, conversation: str, sides: list[Side]) -> Unit:
    files = {file for side in sides for file in (side.script, side.sound) if file}
    details = {"sides": [[side.speaker, side.script, side.sound] for side in sides]}
    return Unit(number, f"{source.label}-{conversation}", tuple(sorted(files)), details)


def clips(source: Source, unit: Unit, rules: Rules, heard: Ledger, rows: Ledger) -> Iterator[Clip]:
    """Windows of a conversation: of both sides together, or of each by itself."""
    if unit.details.get("strays"):
        note_strays(unit, heard)
        return
    sides = [Side(*side) for side in unit.details["sides"]]
    groups = [[side] for side in sides] if source.view == "speaker" else [sides]
    for group in groups:
        yield from _windows(source, unit, group, rules, heard, rows)


def _windows(
    source: Source, unit: Unit, sides: list[Side], rules: Rules, heard: Ledger, rows: Ledger
) -> Iterator[Clip]:
    scripts = [_script(side, heard) for side in sides]
    turns = [
        turn
        for at, script in enumerate(scripts)
        if script
        for turn in _turns(script, at, sides[at], rules, heard)
    ]
    name = unit.name if source.view == "dialogue" else f"{unit.name}-{sides[0].speaker}"
    with ExitStack() as opened:
        try:
            recordings = _recordings(source, sides, scripts, rules, opened)
        except Rejected as error:
            said = [turn for turn in turns if turn.text is not None]
            if said:
                heard.drop(error.rule, f"{name}: {error.why}", len(said))
            return
        for recording in recordings:
            for kind in recording.repairs:
                heard.repair(kind, f"{recording.name}: {recording.rate:,} Hz, {recording.channels} ch")
        seconds = min(recording.seconds for recording in recordings)
        turns = _within(turns, seconds, name, heard)
        who = [speakers.of(source, side.speaker, heard) for side in sides]
        for window in windows(turns, seconds, rules.longest_s, rules.padding_s, heard, name):
            clip_name = f"{name}-{round(window.start * 100):07d}"
            try:
                pcm = _sound(recordings, window)[: round(rules.longest_s * SAMPLE_RATE)]
            except Rejected as error:
                rows.drop(error.rule, f"{clip_name}: {error.why}")
                continue
            text = window.dialogue if source.view == "dialogue" else window.words
            yield Clip(clip_name, pcm, text, tuple(who[side] for side in window.sides))


def _script(side: Side, heard: Ledger) -> textgrid.Script | None:
    if not side.script:
        heard.drop("no_transcript", Path(side.sound).name)
        return None
    try:
        return textgrid.read(Path(side.script), heard)
    except Rejected as error:
        heard.drop(error.rule, error.why)
        return None


def _turns(script: textgrid.Script, at: int, side: Side, rules: Rules, heard: Ledger) -> Iterator[Turn]:
    """A side's turns; one whose words cannot be written has none, and stands in the way of a window."""
    name = Path(side.script).name
    intervals = sorted(script.intervals, key=lambda interval: (interval.start, interval.end))
    for number, interval in enumerate(intervals):
        where = f"{name}, {interval.start:.2f} to {interval.end:.2f} s"
        text = None
        try:
            _check_order(intervals, number)
            text = tags.plain(interval.text, rules.tags)
        except Rejected as error:
            heard.drop(error.rule, f"{where}: {error.why}")
            if error.rule == "empty":  # noises: whoever makes them does not stand in the way
                continue
        yield Turn(interval.start, max(interval.start, interval.end), at, text)


def _check_order(intervals: list[textgrid.Interval], number: int) -> None:
    """Raise Rejected for an interval that ends before it starts or lies over a neighbour of its own tier."""
    this = intervals[number]
    if this.end <= this.start:
        raise Rejected("overlapping_intervals", "ends before it starts")
    neighbours = intervals[max(0, number - 1) : number] + intervals[number + 1 : number + 2]
    for other in neighbours:
        if min(this.end, other.end) - max(this.start, other.start) > 1e-3:
            raise Rejected("overlapping_intervals", f"lies over {other.start:.2f} to {other.end:.2f} s")


def _recordings(
    source: Source, sides: list[Side], scripts: list[textgrid.Script | None], rules: Rules, opened: ExitStack
) -> list[Recording]:
    """The recordings to mix, all of one length. Raises Rejected."""
    if source.view == "dialogue" and len(sides) != 2:
        raise Rejected("no_partner", f"{len(sides)} sides, two are needed")
    missing = [side.speaker for side in sides if not side.sound]
    if missing:
        raise Rejected("no_audio", f"nothing recorded of {' and '.join(missing)}")
    if None in scripts:
        raise Rejected("no_partner", "the other side's script is missing or cannot be read")
    paths = list(dict.fromkeys(side.sound for side in sides))
    recordings = [opened.enter_context(Recording(Path(path), Path(path).name)) for path in paths]
    lengths = [recording.seconds for recording in recordings] + [
        script.seconds for script in scripts if script
    ]
    if max(lengths) - min(lengths) > rules.alignment_s:
        said = ", ".join(f"{length:.2f}" for length in lengths)
        raise Rejected("misaligned", f"recordings and scripts are {said} s long")
    return recordings


def _within(turns: list[Turn], seconds: float, name: str, heard: Ledger) -> list[Turn]:
    """Turns that the recording holds."""
    held = []
    for turn in turns:
        where = f"{name}, {turn.start:.2f} to {turn.end:.2f} s of {seconds:.2f}"
        if turn.end <= seconds:
            held.append(turn)
        elif turn.end <= seconds + SLACK and turn.start < seconds:
            heard.repair("trimmed", where)
            held.append(Turn(turn.start, seconds, turn.side, turn.text))
        elif turn.text is not None:
            heard.drop("outside_audio", where)
    return held


def _sound(recordings: list[Recording], window: Window) -> Pcm:
    sides = [recording.read(window.start, window.end) for recording in recordings]
    shortest = min(side.size for side in sides)  # rates that differ round differently
    return mix([side[:shortest] for side in sides]) if len(sides) > 1 else sides[0]


def _names(stem: str) -> tuple[str, str] | None:
    """Conversation and speaker of a file's name; None: it has none of these forms."""
    if match := SAME_ROOM.fullmatch(stem):
        return match["session"], stem
    if match := SEPARATE_ROOMS.fullmatch(stem):
        return match["session"], match["speaker"]
    if match := BY_PHONE.fullmatch(stem):
        return f"{match['kind']}_{match['session']}_{match['setting']}", match["speaker"]
    return None


def _files(source: Source) -> tuple[dict[str, str], dict[str, str]]:
    """Scripts and recordings by stem, in the whole folder.

    Raises DataError where two files have one name and nothing says which is meant.
    """
    texts: dict[str, str] = {}
    sounds: dict[str, str] = {}
    for folder, folders, names in os.walk(source.folder):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            stem, kind = path.stem, path.suffix.lower()
            if kind == ".textgrid":
                _put(texts, stem, path)
            elif kind == ".wav" and _wanted(source, path):
                # The telephone's are named by the speaker, in a folder named by the conference.
                in_conference = stem.isdigit() and path.parent.name.startswith("conf_")
                _put(sounds, f"{path.parent.name}_{stem}" if in_conference else stem, path)
    return texts, sounds


def _put(files: dict[str, str], stem: str, path: Path) -> None:
    if files.setdefault(stem, str(path)) != str(path):
        raise DataError(
            f"{files[stem]} and {path} have one name. Take one away or give each a source of its own."
        )


def _wanted(source: Source, path: Path) -> bool:
    """Is it of the microphone asked for? Only part 3 has two."""
    if source.corpus != "nsc-3":
        return True
    far = re.search(r"boundary|ivr", str(path.relative_to(source.folder)), re.IGNORECASE) is not None
    return far == (source.microphone == "far")
