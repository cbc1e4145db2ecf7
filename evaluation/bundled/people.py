"""People's recordings out of Debian packages, with what they say. They stay there: nothing of them is kept.

    apt-get install pocketsphinx-testdata asterisk-core-sounds-en asterisk-core-sounds-en-g722

The rule for the prompts: of those that say at least five words, without figures or described sounds, each
text once, those whose words have an odd hash (blake2b, one byte), which is the half that training keeps as
its test split; of these the 60 with the lowest SHA-256 of their words. Who speaks is asked about ten of them.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import av
import numpy as np

from evaluation import sound
from evaluation.bundled.samples import TRANSCRIBE, gender
from evaluation.core import Example
from evaluation.errors import DataError

NOVEL = Path("/usr/share/pocketsphinx/test/data/librivox")
PROMPTS = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
PROMPT_TEXTS = Path("/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz")
SEX = "woman"  # Allison Smith, who reads all prompts
FEWEST_WORDS = 5
CHOSEN = 60
ASKED_ABOUT = 10
_OTHER_THAN_WORDS = re.compile(r"[\d\[\]<>()*#]")  # figures, keys, and sounds that are described


def novel() -> Iterator[Example]:
    """Five sentences of "Sense and Sensibility", read for LibriVox. Raises DataError."""
    transcription = NOVEL / "transcription"
    if not transcription.is_file():
        raise _missing("pocketsphinx-testdata")
    for line in transcription.read_text("utf-8").splitlines():
        if found := re.fullmatch(r"(?:<s> )?(.*?)(?: </s>)? \((.*)\)", line.strip()):
            audio = (NOVEL / f"{found[2]}.wav").read_bytes()
            yield Example(found[2], audio, TRANSCRIBE, found[1])


def prompts() -> Iterator[Example]:
    """Prompts of a telephone system, spoken in a studio. Raises DataError."""
    for name, text in _chosen():
        yield Example(name, _wav(name), TRANSCRIBE, text)


def prompts_by_sex() -> Iterator[Example]:
    """Who speaks in the first of them. Raises DataError."""
    for name, _ in islice(_chosen(), ASKED_ABOUT):
        yield gender(name, _wav(name), SEX)


def _chosen() -> Iterator[tuple[str, str]]:
    """Names and texts of the chosen prompts, in the order of their names' hashes."""
    if not (PROMPTS.is_dir() and PROMPT_TEXTS.is_file()):
        raise _missing("asterisk-core-sounds-en asterisk-core-sounds-en-g722")
    by_words: dict[str, tuple[str, str]] = {}
    for name, text in sorted(_texts()):
        words = " ".join(re.findall(r"[\w']+", text.lower()))
        if len(words.split()) >= FEWEST_WORDS and not _OTHER_THAN_WORDS.search(text):
            by_words.setdefault(words, (name, " ".join(text.split())))
    test = [words for words in by_words if hashlib.blake2b(words.encode(), digest_size=1).digest()[0] % 2]
    test.sort(key=lambda words: hashlib.sha256(words.encode()).digest())
    return (by_words[words] for words in test[:CHOSEN])


def _texts() -> Iterator[tuple[str, str]]:
    """All prompts whose sound is there."""
    with gzip.open(PROMPT_TEXTS, "rt", encoding="utf-8") as lines:
        for line in lines:
            name, colon, text = line.rstrip("\n").partition(": ")
            if colon and not name.startswith(";") and (PROMPTS / f"{name}.g722").is_file():
                yield name, text


def _wav(name: str) -> bytes:
    """A prompt as a WAV file: G.722 has no header that a server could know it by."""
    with av.open(str(PROMPTS / f"{name}.g722"), format="g722") as file:
        frames = [frame.to_ndarray().ravel() for frame in file.decode(audio=0)]
    return sound.wav(np.concatenate(frames).astype(np.int16))


def _missing(packages: str) -> DataError:
    return DataError(f"The recordings are not on this machine. Install them: apt-get install {packages}")
