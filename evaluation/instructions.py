"""What is asked of clips that come without a question: lists of sentences, one drawn for each clip.

AudioBench draws at random without a seed, so that no two of its runs ask the same. Here a clip's id decides.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from evaluation import toml_file
from evaluation.errors import RegistryError

FILE = Path(__file__).with_name("instructions.toml")

Lists = Mapping[str, Sequence[str]]


def load(file: Path) -> Lists:
    """The lists of a file, by name. Raises RegistryError naming the file, the list and the reason."""
    lists = toml_file.read(file, "The instructions", "Name another with --instructions.")
    for name, sentences in lists.items():
        if not (isinstance(sentences, list) and sentences and all(_is_said(each) for each in sentences)):
            raise RegistryError(f"{file}: `{name}` must be a list of sentences, none of them empty.")
    return lists


def _is_said(sentence: object) -> bool:
    return isinstance(sentence, str) and bool(sentence.strip())


@cache
def ours() -> Lists:
    """The lists of instructions.toml. Raises RegistryError."""
    return load(FILE)


def draw(sentences: Sequence[str], clip: str, seed: int = 0) -> str:
    """The sentence for a clip: the same in every run, and each sentence about as often as any other."""
    digest = hashlib.sha256(f"{seed}:{clip}".encode()).digest()
    return sentences[int.from_bytes(digest[:8], "big") % len(sentences)]
