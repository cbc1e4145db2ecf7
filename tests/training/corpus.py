"""Small corpora laid out as NSC and MNSC are delivered, made of recordings of people.

The recordings are prompts of a telephone exchange, from a Debian package. Who "speaks" in the corpora is made
up, so that there are many speakers; the speed differs a little where a recording comes again.
"""

from __future__ import annotations

import gzip
import io
import random
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
import soxr

RATE = 16_000
PROMPTS = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
PROMPT_TEXTS = Path("/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz")
SEXES, ACCENTS = ("F", "M"), ("CHINESE", "MALAY", "INDIAN", "OTHERS")


@dataclass(frozen=True)
class Sentence:
    """What somebody says, int16 (samples,) at 16 kHz."""

    text: str
    pcm: np.ndarray


@lru_cache(maxsize=1)
def sentences() -> tuple[Sentence, ...]:
    """About two hundred and fifty sentences of people, in an order that stays."""
    with gzip.open(PROMPT_TEXTS, "rt") as lines:
        texts = dict(line.rstrip("\n").split(": ", 1) for line in lines if ": " in line and line[0] != ";")
    fit = {name: text for name, text in texts.items() if not re.search(r"[\d\[\]*#(<~]", text)}
    spoken = [
        Sentence(" ".join(text.split()), _g722(PROMPTS / f"{name}.g722"))
        for name, text in sorted(fit.items())
        if len(text.split()) >= 2 and (PROMPTS / f"{name}.g722").is_file()
    ]
    found = [sentence for sentence in spoken if 0.6 * RATE < sentence.pcm.size < 12 * RATE]
    random.Random(0).shuffle(found)
    return tuple(found)


def clips() -> Iterator[Sentence]:
    """Sentences without end: each time round at another speed, so that no two have the same samples."""
    for turn in range(1_000):
        for sentence in sentences():
            yield sentence if not turn else at_speed(sentence, 1 + turn * 0.007)


def at_speed(sentence: Sentence, factor: float) -> Sentence:
    """The sentence, faster and higher by `factor`."""
    sound = soxr.resample(sentence.pcm.astype(np.float32), RATE * factor, RATE)
    return Sentence(sentence.text, np.clip(np.rint(sound), -32_768, 32_767).astype(np.int16))


def read_speech(folder: Path, speakers: int, each: int, part: int = 1) -> Path:
    """Part 1 or 2: `speakers` with `each` sentences in two sessions, zipped; every third script in UTF-16."""
    data = folder / f"PART{part}" / "DATA" / "CHANNEL0"
    (data / "SCRIPT").mkdir(parents=True)
    (data / "WAVE").mkdir()
    waiting = clips()
    for speaker in range(1, speakers + 1):
        with zipfile.ZipFile(data / "WAVE" / f"SPEAKER{speaker:04d}.zip", "w") as archive:
            for session in (0, 1):
                lines = []
                for number in range(each // 2):
                    sentence = next(waiting)
                    id = f"0{speaker:04d}{session}{number + 1:03d}"
                    lines.append(f"{id}\t{sentence.text}\n\t{normalised(sentence.text)}\n")
                    archive.writestr(f"SPEAKER{speaker:04d}/SESSION{session}/{id}.WAV", wav(sentence.pcm))
                encoding = "utf-16" if speaker % 3 == 0 else "utf-8-sig"
                script = data / "SCRIPT" / f"0{speaker:04d}{session}.TXT"
                script.write_text("".join(lines), encoding)
    rows = [
        [f"{speaker:04d}", f"{speaker:04d}", f"{speaker + 500:04d}", SEXES[speaker % 2], ACCENTS[speaker % 4]]
        for speaker in range(1, speakers + 1)
    ]
    head = ["SpeakerID", "SCD/PART1", "SCD/PART2", "SEX", "ACC"]
    table(
        folder / f"PART{part}" / "DOC" / f"Speaker Information (Part {part}).XLSX",
        {"Speakers": [head, *rows]},
    )
    return folder / f"PART{part}"


def conversations(folder: Path, count: int, turns: int = 12) -> Path:
    """Part 3, same room: close microphones of both, the boundary microphone, TextGrids with marks."""
    part = folder / "PART3"
    waiting, chance = clips(), random.Random(3)
    for session in range(3000, 3000 + count):
        spoken: tuple[list[tuple[float, float, str]], ...] = ([], [])
        placed, at = [], 0.5
        for turn in range(turns):
            side, sentence = (turn + turn // 5) % 2, next(waiting)
            placed.append((round(at * RATE), side, sentence.pcm))
            spoken[side].append((at, at + sentence.pcm.size / RATE, marked(sentence.text, turn)))
            at += sentence.pcm.size / RATE + chance.choice((0.3, 0.8))
        seconds = at + 0.5
        sides = np.zeros((2, round(seconds * RATE)), np.int16)
        for start, side, pcm in placed:
            sides[side, start : start + pcm.size] = pcm
        for side in (0, 1):
            name = f"{session}-{side + 1}"
            write(part / "Scripts Same" / f"{name}.TextGrid", textgrid(spoken[side], sides.shape[1] / RATE))
            write(part / "Audio Same CloseMic" / f"{name}.wav", wav(sides[side]))
        write(part / "Audio Same BoundaryMic" / f"{session}.wav", wav(sides.sum(0).astype(np.int16)))
    rows = [
        [f"{session}-{side}", SEXES[side % 2], "3X", ACCENTS[session % 4]]
        for session in range(3000, 3000 + count)
        for side in (1, 2)
    ]
    head = ["SCD", "SEX", "AGE", "ETHNICITY"]
    table(part / "Documents" / "Speakers (Part 3).XLSX", {"Same Room": [head, *rows]})
    return part


def mnsc(folder: Path, subset: str, pairs: Sequence[tuple[Sentence, str, str]]) -> Path:
    """A subset of MNSC: sentence, instruction, answer."""
    rows = [
        {"context": {"bytes": wav(sentence.pcm), "path": None}, "instruction": instruction, "answer": answer}
        for sentence, instruction, answer in pairs
    ]
    (folder / subset).mkdir(parents=True)
    pq.write_table(
        pa.Table.from_pylist(rows), folder / subset / "train-00000-of-00001.parquet", row_group_size=16
    )
    return folder


def normalised(text: str) -> str:
    """As the second line of a script has it."""
    return re.sub(r"[^\w' ]", "", text.lower())


def marked(text: str, turn: int) -> str:
    """Some of the transcribers' marks around a text."""
    return (text, f"[ah] {text}", f"(uh) {text} <SPK/>", f"{text} (ppb)", f"!walao! {text} #kopi#")[turn % 5]


def textgrid(spoken: Sequence[tuple[float, float, str]], seconds: float) -> bytes:
    """A tier with what is said, `<S>` in between."""
    rows, at = [], 0.0
    for start, end, text in [*spoken, (seconds, seconds, "")]:
        if start > at:
            rows.append((at, start, "<S>"))
        if end > start:
            rows.append((start, end, text))
        at = max(at, end)
    body = "".join(
        f"        intervals [{number}]:\n            xmin = {start} \n            xmax = {end} \n"
        f'            text = "{text}" \n'
        for number, (start, end, text) in enumerate(rows, 1)
    )
    head = (
        f'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0 \nxmax = {seconds} \n'
        f"tiers? <exists> \nsize = 1 \nitem []: \n    item [1]:\n"
        f'        class = "IntervalTier" \n        name = "x" \n'
        f"        xmin = 0 \n        xmax = {seconds} \n        intervals: size = {len(rows)} \n"
    )
    return (head + body).encode()


def wav(pcm: np.ndarray, rate: int = RATE, subtype: str = "PCM_16") -> bytes:
    """A WAV file of samples (samples,) or (samples, channels)."""
    sink = io.BytesIO()
    soundfile.write(sink, pcm, rate, format="WAV", subtype=subtype)
    return sink.getvalue()


def write(path: Path, content: bytes) -> None:
    """Write a file and the folders it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def table(path: Path, sheets: Mapping[str, Sequence[Sequence[object]]]) -> None:
    """An Excel file."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    book.save(path)


def _g722(path: Path) -> np.ndarray:
    with av.open(str(path), format="g722") as file:
        sound = np.concatenate([frame.to_ndarray().ravel() for frame in file.decode(audio=0)])
    return sound.astype(np.int16)
