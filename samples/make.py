"""Make the sample clips: `make samples`, or `python -m samples.make [ID ...]`.

Each text in `texts/` becomes phonemes, then speech (Kokoro-82M), turn after turn; the result is a mono MP3 in
`clips/` and a row of `manifest.json`. A clip whose phonemes, voices and pauses did not change is left alone.
"""

import argparse
import hashlib
import json
import zlib
from pathlib import Path
from typing import Any

import av
import numpy as np
from pydub import AudioSegment

from model.embedded.phonemes import Phonemizer, sentences
from model.embedded.speech import SAMPLE_RATE, Speech
from samples import voices
from samples.scripts import CLIPS, FOLDER, MANIFEST, Script, read

MADE_WITH = "Kokoro-82M v1.0 (int8 ONNX), voices of kokoro-js 1.2.1, phonemes by this project"
NOTE = (
    "Synthetic speech made for this demo: nobody was recorded. Mandarin and Hindi voices of Kokoro-82M that "
    "read English stand in for Singapore's accents; real speakers sound different and livelier."
)
VOICES_NOTE = (
    "Names are Kokoro's: language, f or m, name. ONE+OTHER is 70 % of the first and 30 % of the second."
)
LICENCE = "Texts and clips: Apache-2.0, as this project"
BIT_RATE = 48_000  # bit/s
LOUDNESS = -20.0  # dBFS, root mean square of each turn
PEAK = -1.0  # dBFS
SHORTEST_PAUSE, PAUSE_RANGE = 0.25, 0.35  # s, between turns
EDGE_MS = 150  # silence before the first and after the last word


def pause_before(script: Script, turn: int) -> float:
    """Seconds between two turns: varied as between people, but the same at each making."""
    return SHORTEST_PAUSE + PAUSE_RANGE * zlib.crc32(f"{script.id}/{turn}".encode()) / 2**32


def recipe(script: Script, phonemizers: dict[str, Phonemizer]) -> str:
    """A hash of all that decides how the clip sounds."""
    spoken = [
        [turn.speaker, [phonemizers[accent_of(script, turn.speaker)](text) for text in sentences(turn.text)]]
        for turn in script.turns
    ]
    ingredients = [MADE_WITH, script.id, script.voices, script.speed, spoken, BIT_RATE, LOUDNESS, PEAK]
    ingredients += [SHORTEST_PAUSE, PAUSE_RANGE, EDGE_MS, float(voices.MAIN_SHARE)]
    return hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()[:16]


def accent_of(script: Script, speaker: str) -> str:
    """The lexicon that a speaker reads: the group's, else the voice's own."""
    return script.accent or ("gb" if script.voices[speaker].startswith("b") else "us")


def spoken(script: Script, speech: Speech) -> tuple[AudioSegment, list[dict[str, Any]]]:
    """The whole clip and its turns with their times in seconds."""
    clip = AudioSegment.silent(EDGE_MS, SAMPLE_RATE)
    turns: list[dict[str, Any]] = []
    for index, turn in enumerate(script.turns):
        pcm = np.concatenate(
            list(speech.synthesise(turn.text, script.voices[turn.speaker], script.speed, script.accent))
        )
        sound = AudioSegment(pcm.tobytes(), sample_width=2, frame_rate=SAMPLE_RATE, channels=1)
        sound = sound.apply_gain(min(LOUDNESS - sound.dBFS, PEAK - sound.max_dBFS))
        if index:
            clip += AudioSegment.silent(round(1000 * pause_before(script, index)), SAMPLE_RATE)
        start = clip.duration_seconds
        clip += sound
        text = " ".join(turn.text.split())
        turns.append(
            {
                "speaker": turn.speaker,
                "text": text,
                "start": round(start, 2),
                "end": round(clip.duration_seconds, 2),
            }
        )
    return clip + AudioSegment.silent(EDGE_MS, SAMPLE_RATE), turns


def write_mp3(clip: AudioSegment, path: Path, title: str) -> None:
    """Mono MP3 that says in its tags that it is synthetic."""
    path.parent.mkdir(exist_ok=True)
    unfinished = path.with_suffix(".part")
    with av.open(str(unfinished), "w", format="mp3", options={"fflags": "+bitexact"}) as container:
        container.metadata.update({"title": title, "comment": NOTE})
        stream = container.add_stream("libmp3lame", rate=SAMPLE_RATE, layout="mono", format="s16p")
        stream.bit_rate = BIT_RATE
        pcm = np.frombuffer(clip.raw_data, np.int16).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(pcm, format="s16p", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    unfinished.replace(path)


def entry(
    script: Script, path: Path, seconds: float, turns: list[dict[str, Any]], made_by: str
) -> dict[str, Any]:
    """The clip's row of the manifest."""
    return {
        "id": script.id,
        "file": path.relative_to(FOLDER).as_posix(),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "seconds": round(seconds, 2),
        "group": script.group,
        "title": script.title,
        "synthetic": True,
        "transcript": script.transcript,
        "speakers": len(script.voices),
        "voices": list(script.voices.values()),
        "made_with": MADE_WITH,
        "recipe": made_by,
        "turns": turns,
        "prompts": script.prompts,
        "reference": script.reference,
    }


def fresh(old: dict[str, Any] | None, path: Path, made_by: str) -> bool:
    """Whether the clip on disk is the one that this recipe makes."""
    return (
        old is not None
        and old["recipe"] == made_by
        and path.exists()
        and hashlib.sha256(path.read_bytes()).hexdigest() == old["sha256"]
    )


def make(only: list[str], again: bool, threads: int) -> None:
    """Make what is missing or out of date, drop clips without a script, write the manifest."""
    scripts = read()
    known = json.loads(MANIFEST.read_text(encoding="utf-8"))["samples"] if MANIFEST.exists() else []
    old: dict[str, dict[str, Any]] = {row["id"]: row for row in known}
    phonemizers = {"us": Phonemizer("us"), "gb": Phonemizer("gb")}
    speech: Speech | None = None
    rows: list[dict[str, Any]] = []
    for script in scripts:
        path = CLIPS / f"{script.id}.mp3"
        made_by = recipe(script, phonemizers)
        before = old.get(script.id)
        if before is not None and fresh(before, path, made_by) and not (again and script.id in (only or old)):
            rows.append(entry(script, path, before["seconds"], before["turns"], made_by))
            continue
        if only and script.id not in only:
            if before is not None:
                rows.append(before)
            continue
        speech = speech or Speech.load(
            threads, voices=voices.bring(name for script in scripts for name in script.voices.values())
        )
        clip, turns = spoken(script, speech)
        write_mp3(clip, path, script.title)
        rows.append(entry(script, path, clip.duration_seconds, turns, made_by))
        print(
            f"{script.id:16} {clip.duration_seconds:6.1f} s  {path.stat().st_size / 1000:5.0f} kB", flush=True
        )
        write_manifest(rows + [row for row in known if row["id"] not in {done["id"] for done in rows}])
    write_manifest(rows)
    for stray in set(CLIPS.glob("*")) - {FOLDER / row["file"] for row in rows}:
        stray.unlink()
    total = sum(path.stat().st_size for path in CLIPS.glob("*.mp3"))
    print(f"{len(rows)} clips, {sum(row['seconds'] for row in rows) / 60:.1f} min, {total / 1e6:.1f} MB")


def write_manifest(rows: list[dict[str, Any]]) -> None:
    """Written whole or not at all."""
    manifest = {
        "version": 1,
        "synthetic": True,
        "note": NOTE,
        "voices": VOICES_NOTE,
        "licence": LICENCE,
        "samples": rows,
    }
    unfinished = MANIFEST.with_suffix(".part")
    unfinished.write_text(json.dumps(manifest, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    unfinished.replace(MANIFEST)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("only", nargs="*", metavar="ID", help="make these clips only")
    parser.add_argument("--again", action="store_true", help="make them even if nothing changed")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    make(arguments.only, arguments.again, arguments.threads)


if __name__ == "__main__":
    main()
