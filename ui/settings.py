"""What a host can set on the pages: environment variables, read once, refused in words when wrong."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).resolve().parent.parent
PREFIX = "MERALION_UI_"


class SettingsError(Exception):
    """A setting that nobody reads, or one with an impossible value; the message says which and what to do."""


class Settings(BaseSettings):
    """`MERALION_UI_<NAME>` for each field; the backend's address is `MERALION_BACKEND_URL`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    backend_url: str = Field(
        default="", validation_alias="MERALION_BACKEND_URL", pattern=r"^(https?://\S+)?$"
    )
    samples_dir: Path = ROOT / "samples"
    start_timeout_s: float = Field(default=30.0, gt=0)  # until a backend of our own says that it is ready
    answer_timeout_s: float = Field(default=120.0, gt=0)  # the longest silence within an answer
    left_alone_s: float = Field(default=20.0, gt=0)  # an answer that no page follows is dropped
    max_tokens: int = Field(default=512, ge=1, le=8192)
    pause_s: float = Field(default=2.0, gt=0, le=30)  # silence after which the recorder stops by itself


@cache
def settings() -> Settings:
    """Return the settings of this process. Raises SettingsError."""
    return read(os.environ)


def read(environment: Mapping[str, str]) -> Settings:
    """Check the names in `environment`, then read the settings. Raises SettingsError."""
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields if name != "backend_url"}
    unknown = sorted(name for name in environment if name.startswith(PREFIX) and name not in known)
    if unknown:
        raise SettingsError(
            f"{unknown[0]} is not a setting of the pages. "
            f"Remove it, or use one of: {', '.join(sorted(known))}."
        )
    try:
        return Settings()
    except ValidationError as error:
        wrong = error.errors()[0]
        name = str(wrong["loc"][0])
        name = name if name.startswith("MERALION") else f"{PREFIX}{name.upper()}"
        raise SettingsError(f"{name} cannot be used: {wrong['msg']}. Correct it or remove it.") from error
