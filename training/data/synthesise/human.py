"""People's recordings out of Debian packages, as a corpus with dev and test: what a model must be judged by.

apt-get install pocketsphinx-testdata asterisk-core-sounds-en asterisk-core-sounds-en-g722

Prompts of a telephone system, read by one woman in a studio, are shared out between dev and test by a hash of
their words; a novel read aloud (LibriVox) is in test only. None may be trained on.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from model.audio import decode
from model.prompts import TRANSCRIBE
from training.data.files import write_text
from training.data.schema import SAMPLE_RATE, row, write_index, write_shard
from training.data.synthesise.corpus import plain
from training.errors import DataError

NOVEL = Path("/usr/share/pocketsphinx/test/data/librivox")
PROMPTS = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
PROMPT_TEXTS = Path("/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz")
PACKAGES = "pocketsphinx-testdata asterisk-core-sounds-en asterisk-core-sounds-en-g722"
FEWEST_WORDS = 2
OTHER_THAN_WORDS = re.compile(r"[\d\[\]<>()*#]")  # figures, keys, and sounds that are described
LONGEST = 30.0  # s

CARD = """# Recordings of people, for evaluation

| split | source | clips | minutes |
|---|---|---|---|
{lines}

- `asterisk`: prompts of the Asterisk telephone system, one speaker (Allison Smith), CC BY-SA 3.0, from the
  Debian package asterisk-core-sounds-en-g722. The same speaker is in dev and test; no text is in both.
  {dropped} prompts were left out: fewer than {fewest} words, figures, keys or sounds in the words, doubles,
  or longer than {longest:g} s.
- `librivox`: "Sense and Sensibility" read aloud, public domain, from pocketsphinx-testdata. In lower case, as
  it is given.
- They are read from this machine's packages, and belong into no repository and no training set.
"""


class Recording(NamedTuple):
    """A clip with its words: samples (samples,) at 16 kHz."""

    id: str
    source: str
    split: str
    pcm: NDArray[np.int16]
    text: str


def read_people(out: Path) -> dict[str, Any]:
    """Write the corpus and give its figures. Raises DataError where the packages are missing."""
    if not (NOVEL.is_dir() and PROMPTS.is_dir() and PROMPT_TEXTS.is_file()):
        raise DataError(f"The recordings are not on this machine. Install them: apt-get install {PACKAGES}")
    texts = _prompt_texts()
    found = [*_novel(), *_prompts(texts)]
    for split in ("dev", "test"):
        write_shard(out / split / "00000.parquet", (_row(clip) for clip in found if clip.split == split))
    write_index(out / "index.parquet", (_index_row(clip) for clip in found))
    prompts = sum(clip.source == "asterisk" for clip in found)
    report: dict[str, Any] = {
        "clips": len(found),
        "left_out": len(_every_prompt()) - prompts,
        "sets": _sets(found),
    }
    lines = "\n".join(
        f"| {of['split']} | {of['source']} | {of['clips']} | {of['minutes']} |" for of in report["sets"]
    )
    card = CARD.format(lines=lines, dropped=report["left_out"], fewest=FEWEST_WORDS, longest=LONGEST)
    write_text(out / "card.md", card)
    write_text(out / "build.yaml", "command: python -m training.data.synthesise --human DIR\n")
    write_text(out / "report.json", json.dumps(report, indent=1) + "\n")
    return {"out": str(out)} | report


def _novel() -> Iterator[Recording]:
    for line in (NOVEL / "transcription").read_text("utf-8").splitlines():
        if match := re.fullmatch(r"(?:<s> )?(.*?)(?: </s>)? \((.*)\)", line.strip()):
            pcm = decode((NOVEL / f"{match[2]}.wav").read_bytes())
            yield Recording(f"librivox-{match[2]}", "librivox", "test", pcm, match[1])


def _prompts(texts: dict[str, str]) -> Iterator[Recording]:
    for name, text in texts.items():
        with av.open(str(PROMPTS / f"{name}.g722"), format="g722") as file:
            pcm = np.concatenate([frame.to_ndarray().ravel() for frame in _frames(file)])
        if pcm.size <= LONGEST * SAMPLE_RATE:
            digest = hashlib.blake2b(plain(text).encode(), digest_size=1).digest()
            split = ("dev", "test")[digest[0] % 2]
            id = f"asterisk-{name.replace('/', '-')}"
            yield Recording(id, "asterisk", split, pcm.astype(np.int16), text)


def _frames(file: Any) -> Iterator[Any]:
    return iter(file.decode(audio=0))


def _prompt_texts() -> dict[str, str]:
    """The prompts that say words, each text once."""
    texts: dict[str, str] = {}
    seen: set[str] = set()
    for name, text in sorted(_every_prompt().items()):
        said = plain(text)
        if len(said.split()) >= FEWEST_WORDS and not OTHER_THAN_WORDS.search(text) and said not in seen:
            seen.add(said)
            texts[name] = " ".join(text.split())
    return texts


def _every_prompt() -> dict[str, str]:
    """All prompts whose sound is there, by the name of their file."""
    with gzip.open(PROMPT_TEXTS, "rt", encoding="utf-8") as lines:
        pairs = (line.rstrip("\n").split(": ", 1) for line in lines if ": " in line and line[0] != ";")
        return {name: text for name, text in pairs if (PROMPTS / f"{name}.g722").is_file()}


def _row(clip: Recording) -> dict[str, Any]:
    return row(clip.pcm, id=clip.id, instruction=TRANSCRIBE, answer=clip.text, task="asr", source=clip.source)


def _index_row(clip: Recording) -> dict[str, Any]:
    speaker, sex = ("Allison", "female") if clip.source == "asterisk" else ("LibriVox reader", "")
    return {
        "id": clip.id,
        "split": clip.split,
        "task": "asr",
        "source": clip.source,
        "duration": clip.pcm.size / SAMPLE_RATE,
        "audio_sha256": hashlib.sha256(clip.pcm.astype("<i2").tobytes()).hexdigest(),
        "speakers": [speaker],
        "sexes": [sex],
        "accents": [""],
        "text": plain(clip.text),
    }


def _sets(found: list[Recording]) -> list[dict[str, Any]]:
    sets = sorted({(clip.split, clip.source) for clip in found})
    return [
        {
            "split": split,
            "source": source,
            "clips": len(chosen),
            "minutes": round(sum(clip.pcm.size for clip in chosen) / SAMPLE_RATE / 60, 1),
        }
        for split, source in sets
        for chosen in [[clip for clip in found if (clip.split, clip.source) == (split, source)]]
    ]
