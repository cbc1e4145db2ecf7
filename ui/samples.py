"""The sample clips, as samples/manifest.json lists them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

GROUPS = {"standard": "Standard", "singapore": "Singapore", "singlish": "Singlish"}
GROUP_NAMES = {
    "standard": "Standard English",
    "singapore": "Singapore-accented English",
    "singlish": "Singlish",
}


@dataclass(frozen=True)
class Question:
    """A prompt that suits a sample."""

    task: str
    text: str


@dataclass(frozen=True)
class Sample:
    """A clip that comes with the demo."""

    id: str
    path: Path
    title: str
    group: str
    seconds: float
    speakers: int
    questions: tuple[Question, ...]
    transcript: str = ""  # what is said in it, where that is known


@dataclass(frozen=True)
class Collection:
    """All samples and the note that says what they are."""

    samples: tuple[Sample, ...] = ()
    note: str = ""

    def group(self, name: str) -> tuple[Sample, ...]:
        """Return the samples of one group, in the manifest's order."""
        return tuple(sample for sample in self.samples if sample.group == name)

    def find(self, identifier: str) -> Sample | None:
        """Return one sample, or None."""
        return next((sample for sample in self.samples if sample.id == identifier), None)


@cache
def load(folder: Path) -> Collection:
    """Read the manifest in `folder`; a folder without one has no samples."""
    manifest = folder / "manifest.json"
    if not manifest.exists():
        return Collection()
    content = json.loads(manifest.read_text(encoding="utf-8"))
    samples = tuple(
        Sample(
            id=row["id"],
            path=folder / row["file"],
            title=row["title"],
            group=row["group"],
            seconds=float(row["seconds"]),
            speakers=int(row.get("speakers", 1)),
            questions=tuple(Question(prompt["task"], prompt["text"]) for prompt in row.get("prompts", ())),
            transcript=str(row.get("transcript", "")),
        )
        for row in content["samples"]
    )
    return Collection(samples, str(content.get("note", "")))
