"""What is asked about a row of transcribed speech."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from training.data.annotate.config import ASKED, Annotation, Endpoint

PROMPTS = Path(__file__).with_name("prompts.toml")
LABEL = re.compile(r"<\s*(Speaker\s*\d+)\s*>\s*:?", re.IGNORECASE)
CHARACTERS_PER_TOKEN = 4  # of English, to guess what a run costs


@dataclass(frozen=True)
class Question:
    """One request. `row`: the id of what it is about; `prompt` is all that the model is given."""

    row: str
    task: str
    prompt: str
    said: str = ""  # the transcript that the answer must hold to
    label: str = ""  # of a phrasing: what it must say

    def key(self, endpoint: Endpoint) -> str:
        """What makes it this question: the row, the prompt, and who is asked how."""
        asked = [self.row, self.task, self.prompt, endpoint.model, endpoint.temperature, endpoint.max_tokens]
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:32]

    @property
    def tokens(self) -> int:
        """About how many the prompt has."""
        return len(self.prompt) // CHARACTERS_PER_TOKEN + 1


@cache
def prompts() -> Mapping[str, Mapping[str, Any]]:
    """The table of prompts and of our own phrasings."""
    return tomllib.loads(PROMPTS.read_text("utf-8"))


def is_dialogue(transcript: str) -> bool:
    """Do two or more speakers have turns?"""
    return len({label.lower() for label in LABEL.findall(transcript)}) > 1


def words_of(transcript: str) -> str:
    """What is said, without the speakers' labels."""
    return " ".join(LABEL.sub(" ", transcript).split())


def questions_about(row: Mapping[str, Any], config: Annotation) -> Iterator[Question]:
    """The questions about one row: `id` and `answer`, its transcript."""
    transcript = row["answer"]
    if len(words_of(transcript).split()) < config.rules.fewest_words:
        return
    for task in ASKED:
        if task in config.tasks and (task != "sds" or is_dialogue(transcript)):
            yield Question(row["id"], task, prompts()[task]["prompt"] + transcript, transcript)


def phrasings_of(task: str, labels: Sequence[str], count: int) -> Iterator[Question]:
    """Requests for other ways of saying each label of a task."""
    for label in labels:
        for number in range(count):
            prompt = prompts()[task]["prompt"].format(label=label, number=number + 1)
            yield Question(f"{task}/{label}/{number}", task, prompt, label=label)
