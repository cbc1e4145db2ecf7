"""How long an engine takes for what: the figures of `profiles.toml`, each with its source.

ProfileError  a profile cannot be used; the message says what to mend
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

FILE = Path(__file__).with_name("profiles.toml")


class ProfileError(ValueError):
    """A profile cannot be used; the message says what to mend."""


class Profile(BaseModel):
    """An engine's service times; all times are ms of an engine that has nothing else to do."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    places: int = Field(ge=1, le=1024)
    """Answers at once."""
    apart_ms: float = Field(ge=0)
    """Of a request, before it is read, in nobody's way."""
    apart_ms_per_s: float = Field(ge=0)
    """The same for each second of sound, unless the sound is in the engine's cache."""
    read_ms: float = Field(ge=0)
    """To read a request: encoder and prefill."""
    read_ms_per_s: float = Field(ge=0)
    """The same for each second of sound."""
    warm_ms: float = Field(ge=0)
    """To read a request whose sound the engine's cache holds."""
    warm_ms_per_s: float = Field(ge=0)
    """The same for each second of sound."""
    reads_at_once: int = Field(ge=1, le=1024)
    """Requests that are read side by side, at a speed that they share; 1: one after another."""
    step_ms: float = Field(gt=0)
    """Between two tokens of an answer that is alone."""
    step_ms_per_answer: float = Field(ge=0)
    """How much longer that is for each answer more."""
    stall: float = Field(ge=0, lt=1)
    """The share of its speed that writing loses while something is read."""
    drag: float = Field(ge=0, lt=1)
    """The share of its speed that reading loses while something is written."""
    encoder_cache_chunks: int = Field(ge=0)
    """How much sound the engine's cache holds, in chunks of 30 s."""
    spread: float = Field(default=0.0, ge=0, le=2)
    """How unequally long requests of one length take to read: the standard deviation of the logarithm."""

    @model_validator(mode="after")
    def _cache_helps(self) -> Profile:
        if self.warm_ms > self.read_ms + 1e-9 or self.warm_ms_per_s > self.read_ms_per_s + 1e-9:
            raise ValueError(
                "a sound that was met before cannot take longer than a new one (warm_ms, read_ms)"
            )
        return self

    def apart_s(self, audio_s: float, warm: bool) -> float:
        """Return the time in s before a request gets in line."""
        return (self.apart_ms + (0.0 if warm else self.apart_ms_per_s * audio_s)) / 1_000

    def reading_s(self, audio_s: float, warm: bool) -> float:
        """Return the time in s to read a request."""
        if warm:
            return (self.warm_ms + self.warm_ms_per_s * audio_s) / 1_000
        return (self.read_ms + self.read_ms_per_s * audio_s) / 1_000

    def step_s(self, answers: int) -> float:
        """Return the s between two tokens of each of so many answers: a straight line, without end."""
        return (self.step_ms + self.step_ms_per_answer * (answers - 1)) / 1_000

    def work_s(self, read_s: float, tokens: float) -> float:
        """Return the engine's time in s for so much reading and writing, with all places taken."""
        return read_s + tokens * self.step_s(self.places) / self.places


class Sourced(BaseModel):
    """A profile as the file has it: what it is, and for each figure where it comes from."""

    name: str
    title: str
    source: str
    profile: Profile
    sources: dict[str, str]


def load(name: str, file: Path = FILE) -> Sourced:
    """Return a profile of a file. Raises ProfileError."""
    try:
        tables = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise ProfileError(
            f"{file} cannot be read ({error.strerror}). Name a file with --profiles."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProfileError(f"{file} is not valid TOML: {error}. Mend that line.") from None
    if name not in tables:
        raise ProfileError(f"{file} has no profile {name!r}. It has: {', '.join(sorted(tables)) or 'none'}.")
    return read(name, tables[name], str(file))


def read(name: str, table: Any, where: str = "the profile") -> Sourced:
    """Return a profile from its table: `title`, `source`, and figures as `{ value, source }`."""
    if not isinstance(table, dict):
        raise ProfileError(f"{where}: {name} must be a table, [{name}].")
    values, sources = {}, {}
    for key, figure in table.items():
        if key in ("title", "source"):
            continue
        if not isinstance(figure, dict) or set(figure) != {"value", "source"} or not figure["source"]:
            raise ProfileError(
                f"{where}: {name}.{key} must say a value and where it comes from, as "
                f'{key} = {{ value = 1.0, source = "..." }}.'
            )
        values[key], sources[key] = figure["value"], str(figure["source"])
    try:
        profile = Profile.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(str(part) for part in first["loc"]) or "its figures"
        raise ProfileError(f"{where}: {name}: {at}: {first['msg']}. Correct it there.") from None
    return Sourced(
        name=name,
        title=str(table.get("title", name)),
        source=str(table.get("source", "")),
        profile=profile,
        sources=sources,
    )
