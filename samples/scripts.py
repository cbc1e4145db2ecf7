"""The texts of the sample clips: one TOML file a group in `texts/`, read into dataclasses and checked."""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from model.embedded.lexicon import Accent

FOLDER = Path(__file__).parent
TEXTS = FOLDER / "texts"
CLIPS = FOLDER / "clips"
MANIFEST = FOLDER / "manifest.json"
TASKS = frozenset({"transcribe", "translate", "summarise", "answer", "speaker", "sound", "chat"})


@dataclass(frozen=True)
class Turn:
    """What one speaker says before the next one speaks."""

    speaker: str
    text: str


@dataclass(frozen=True)
class Script:
    """One clip to be made. `voices` maps a speaker's letter to a Kokoro voice."""

    id: str
    title: str
    group: str
    voices: dict[str, str]
    turns: list[Turn]
    prompts: list[dict[str, Any]]
    accent: Accent | None = None
    speed: float = 1.0
    reference: list[str] = field(default_factory=list)

    @property
    def transcript(self) -> str:
        """Everything that is said, without the speakers' letters."""
        return " ".join(" ".join(turn.text.split()) for turn in self.turns)


def read(texts: Path = TEXTS) -> list[Script]:
    """All scripts, in the files' order. Raises ValueError that names the clip with a mistake."""
    scripts: list[Script] = []
    for path in sorted(texts.glob("*.toml")):
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        for row in table["sample"]:
            turns = [Turn(speaker, text) for speaker, text in row.pop("turns")]
            scripts.append(Script(group=table["group"], accent=table.get("accent"), turns=turns, **row))
    for script in scripts:
        _check(script)
    if len({script.id for script in scripts}) != len(scripts):
        raise ValueError("Two sample clips have the same id; give each its own.")
    return scripts


def _check(script: Script) -> None:
    if script.accent not in (None, *get_args(Accent)):
        raise ValueError(f"{script.id}: there is no accent {script.accent!r}; use us or gb.")
    if missing := {turn.speaker for turn in script.turns} - set(script.voices):
        raise ValueError(f"{script.id}: speaker {', '.join(sorted(missing))} has no voice.")
    for prompt in script.prompts:
        if prompt["task"] not in TASKS:
            raise ValueError(f"{script.id}: there is no task {prompt['task']!r}; use one of {sorted(TASKS)}.")
