"""Can the clips be understood? `python -m samples.check [ID ...]` re-reads them with Whisper base.

Prints a table of word error rates by clip and group, and without IDs writes it to `QUALITY.md`.
"""

import argparse
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from faster_whisper import WhisperModel

from model.embedded.phonemes import SINGLISH
from model.embedded.weights import default_cache, whisper_folder
from samples.scripts import FOLDER, MANIFEST
from samples.wer import Pair, align, errors, without, words

QUALITY = FOLDER / "QUALITY.md"
GROUPS = {"standard": "Standard English", "singapore": "Singapore-accented English", "singlish": "Singlish"}
HEADER = """# Can the clips be understood?

Word error rate of Whisper base (faster-whisper, int8, greedy with its usual fallback, English) on our own
synthetic clips, made by `python -m samples.check`. The normaliser is `samples/wer.py`: numbers by the digit,
no case, no punctuation, American spelling, "take away" as "takeaway". It measures clip and recogniser
together: a clip counts as clear when a small recogniser gets it.

Whisper base does not know local words and spells them as English ones ("kopi" as "copy", "Toa Payoh" as
"Topaio", "lah" joined to the word before it). These count as errors in the WER; the last column leaves out of
the reference the words that `model/embedded/singlish.tsv` lists, so it says how clear the ordinary words are.
"""


@dataclass
class Reading:
    """One clip as Whisper heard it."""

    row: dict[str, Any]
    heard: str

    @cached_property
    def pairs(self) -> list[Pair]:
        """Expected and heard words side by side."""
        return align(self.row["transcript"], self.heard)


def local_words() -> frozenset[str]:
    """Words of our own lexicon, as the normaliser leaves them."""
    lines = SINGLISH.read_text(encoding="utf-8").splitlines()
    keys = (line.split("\t")[0] for line in lines if line and not line.startswith("#"))
    return frozenset(word for key in keys for word in words(key))


def listen(model: WhisperModel, row: dict[str, Any]) -> Reading:
    """Re-read one clip."""
    segments, _ = model.transcribe(str(FOLDER / row["file"]), language="en", beam_size=1)
    return Reading(row, " ".join(segment.text.strip() for segment in segments))


def percent(pairs: list[Pair]) -> str:
    """The word error rate in per cent."""
    wrong, all_words = errors(pairs)
    return f"{100 * wrong / max(1, all_words):.1f} %"


def table(readings: list[Reading]) -> str:
    """Groups first, then clips, as Markdown."""
    local = local_words()
    lines = ["| group | clips | words | WER | without local words |", "|---|---|---|---|---|"]
    for group, title in GROUPS.items():
        members = [reading for reading in readings if reading.row["group"] == group]
        pairs = [pair for reading in members for pair in reading.pairs]
        plain = [pair for reading in members for pair in without(reading.pairs, local)]
        lines.append(
            f"| {title} | {len(members)} | {errors(pairs)[1]} | {percent(pairs)} | {percent(plain)} |"
        )
    lines += ["", "| clip | voices | seconds | WER | without local words |", "|---|---|---|---|---|"]
    for reading in readings:
        row, plain = reading.row, without(reading.pairs, local)
        voices = ", ".join(row["voices"])
        lines.append(
            f"| {row['id']} | {voices} | {row['seconds']:.0f} | {percent(reading.pairs)} | {percent(plain)} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "only", nargs="*", metavar="ID", help="check these clips only, and show what was heard"
    )
    only = parser.parse_args().only
    rows = json.loads(MANIFEST.read_text(encoding="utf-8"))["samples"]
    model = WhisperModel(
        str(whisper_folder(default_cache())), device="cpu", compute_type="int8", cpu_threads=1
    )
    readings = []
    for row in rows:
        if only and row["id"] not in only:
            continue
        reading = listen(model, row)
        readings.append(reading)
        print(f"{row['id']:16} {percent(reading.pairs):>7}", flush=True)
        if only:
            wrong = [f"{a or '-'} -> {b or '-'}" for a, b in reading.pairs if a != b]
            print(f"  {reading.heard}\n  {'; '.join(wrong)}")
    if not only:
        QUALITY.write_text(f"{HEADER}\n{table(readings)}\n", encoding="utf-8")
    print(table(readings))


if __name__ == "__main__":
    main()
