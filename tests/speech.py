"""Recordings to try the demo on, of people and of the bundled samples, and how well they were heard."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from samples.wer import align, errors

ROOT = Path(__file__).parents[1]
LIBRIVOX = Path("/usr/share/pocketsphinx/test/data/librivox")
CASCADE = "whisper-base-smollm2"
SAMPLES: dict[str, dict[str, Any]] = {
    sample["id"]: sample for sample in json.loads((ROOT / "samples/manifest.json").read_text())["samples"]
}


def human_clips() -> list[tuple[Path, str]]:
    """The LibriVox clips of pocketsphinx-testdata with what is said in them."""
    lines = (LIBRIVOX / "transcription").read_text().splitlines()
    found = [re.fullmatch(r"(?:<s> )?(.*?)(?: </s>)? \((.*)\)", line.strip()) for line in lines]
    return [(LIBRIVOX / f"{match[2]}.wav", match[1]) for match in found if match]


def sample(name: str) -> bytes:
    """A bundled clip's file."""
    path: Path = ROOT / "samples" / SAMPLES[name]["file"]
    return path.read_bytes()


def wrong(truth: str, heard: str) -> float:
    """Word error rate, 0 to 1."""
    mistakes, expected = errors(align(truth, heard))
    return mistakes / expected
