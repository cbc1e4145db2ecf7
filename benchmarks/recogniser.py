"""What shorter encoder windows and stepwise decoding cost and save, on recordings of people.

python -m benchmarks.recogniser  # needs Debian packages: pocketsphinx-testdata, asterisk-core-sounds-en-g722

Every setting reads the same clips in turn within one run; times are ratios to the first row's.
"""

import argparse
import gzip
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from benchmarks.report import save
from model.audio import Pcm, decode
from model.embedded import recogniser, weights
from model.embedded.recogniser import Recogniser
from samples.wer import align, errors

LIBRIVOX = Path("/usr/share/pocketsphinx/test/data/librivox")
PROMPTS = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
PROMPT_TEXTS = Path("/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz")
SETTINGS = {  # name: shortest window (s), air after the speech (s), tokens in the first step, most in a step
    "full window, in one go": (30.0, 0.0, 224, 224),
    "full window, in steps": (30.0, 0.0, 6, 64),
    "15 s or 3 s of air, in steps": (15.0, 3.0, 6, 64),
    "10 s or 2 s of air, in steps": (10.0, 2.0, 6, 64),
}

Clip = tuple[Pcm, str]


def librivox() -> Iterator[Clip]:
    """Five clips of a novel read aloud."""
    for line in (LIBRIVOX / "transcription").read_text().splitlines():
        if match := re.fullmatch(r"(?:<s> )?(.*?)(?: </s>)? \((.*)\)", line.strip()):
            yield decode((LIBRIVOX / f"{match[2]}.wav").read_bytes()), match[1]


def prompts(count: int) -> Iterator[Clip]:
    """Studio prompts of five words and more, without figures, chosen by lot."""
    with gzip.open(PROMPT_TEXTS, "rt") as lines:
        texts = dict(line.rstrip("\n").split(": ", 1) for line in lines if ": " in line and line[0] != ";")
    fit = [
        name
        for name, text in texts.items()
        if len(text.split()) >= 5 and not re.search(r"[\d\[]", text) and (PROMPTS / f"{name}.g722").is_file()
    ]
    for name in random.Random(0).sample(sorted(fit), count):
        with av.open(str(PROMPTS / f"{name}.g722"), format="g722") as file:
            sound = np.concatenate([frame.to_ndarray().ravel() for frame in file.decode(audio=0)])
        yield sound.astype(np.int16), texts[name]


def read(model: Recogniser, clips: list[Clip]) -> tuple[float, float, float]:
    """Word error rate, seconds for all clips, and mean seconds to the first words."""
    wrong = expected = 0
    first = total = 0.0
    for pcm, truth in clips:
        began = time.perf_counter()
        heard, waited = "", None
        for piece in model.recognise(pcm, language="en"):
            if isinstance(piece, str):
                waited = waited or time.perf_counter() - began
                heard += piece
        total += time.perf_counter() - began
        first += waited or 0.0
        mistakes, words = errors(align(truth, heard))
        wrong, expected = wrong + mistakes, expected + words
    return wrong / expected, total, first / len(clips)


def main() -> None:
    """Measure every setting and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=60)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    model = Recogniser(weights.whisper_folder(weights.default_cache()), options.threads)
    novel, studio = list(librivox()), list(prompts(options.prompts))
    read(model, novel)  # warm
    rows, base = [], 0.0
    for name, (shortest, air, first_step, longest_step) in SETTINGS.items():
        recogniser.SHORTEST_WINDOW, recogniser.AIR_AFTER = shortest, air
        recogniser.FIRST_STEP, recogniser.LONGEST_STEP = first_step, longest_step
        novel_wer, novel_s, _ = read(model, novel)
        studio_wer, studio_s, first = read(model, studio)
        base = base or novel_s + studio_s
        rows.append(
            [
                name,
                f"{novel_wer:.1%}",
                f"{studio_wer:.1%}",
                f"{(novel_s + studio_s) / base:.2f}",
                f"{first:.2f} s",
            ]
        )
    save(
        "recogniser",
        "How Whisper base is read: windows and steps",
        f"python -m benchmarks.recogniser --prompts {options.prompts} --threads {options.threads}",
        ["setting", "WER, LibriVox (5 clips)", f"WER, studio prompts ({len(studio)})", "time", "first words"],
        rows,
        "Greedy, int8. Time is the ratio to the first row; first words is the mean over the studio prompts.",
    )


if __name__ == "__main__":
    main()
