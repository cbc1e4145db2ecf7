"""Settings of the embedded engine: environment variables with the prefix MERALION_ENGINE_."""

import os
from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from model.mini import WEIGHTS
from model.settings import load as _load

PACKAGED, OFF = "packaged", "off"


class Settings(BaseSettings):
    """What a host may change about the embedded engine."""

    model_config = SettingsConfigDict(env_prefix="MERALION_ENGINE_", extra="forbid")

    threads: int = Field(default=min(4, os.cpu_count() or 1), ge=1, le=64)
    """CPU threads for each of the models."""
    max_running: int = Field(default=4, ge=1, le=64)
    """Requests worked on side by side."""
    max_waiting: int = Field(default=32, ge=0, le=1024)
    """Requests that may wait for a place; more are refused with 429."""
    max_body_mb: int = Field(default=40, ge=1, le=512)
    """Largest request body, in MiB: 300 s of 16-bit WAV in base64 is 13."""
    max_audio_seconds: float = Field(default=300.0, gt=0, le=3600)
    """Longest clip in a conversation."""
    max_transcription_seconds: float = Field(default=7200.0, gt=0, le=36_000)
    """Longest recording to transcribe or translate."""
    max_transcription_mb: int = Field(default=256, ge=1, le=1024)
    """Largest request to transcribe or translate, in MiB: two hours of 16 kHz WAV are 220."""
    max_tokens: int = Field(default=512, ge=16, le=2048)
    """Longest answer of the text model."""
    cache: Path | None = None
    """Folder for joined weights; by default `meralion-demo` in the user's cache folder."""
    mini: str = PACKAGED
    """MERaLiON-Mini (0.8 GB of memory): "packaged", "off", or a folder that `training.ship` wrote."""
    whisper_base: bool = False
    """Whether to offer Whisper base as a model of its own too; it is loaded already."""
    whisper_tiny: bool = False
    """Whether to offer Whisper tiny.en as a model of its own (requirements/eval.txt; 0.1 GB of memory)."""
    speech: bool = True
    """Whether to load the speaking voice (0.3 GB of memory)."""
    otlp_endpoint: str = Field(
        default="", pattern=r"^(https?://\S+)?$", validation_alias="MERALION_OTLP_ENDPOINT"
    )
    """An OpenTelemetry collector, such as http://127.0.0.1:4318; empty: no traces."""

    @field_validator("mini")
    @classmethod
    def _is_there(cls, value: str) -> str:
        if value not in (PACKAGED, OFF) and not (value and Path(value).is_dir()):
            raise ValueError(
                f"there is no folder '{value}'; write {PACKAGED}, {OFF}, or the name of a folder that "
                "`python -m training.ship` wrote"
            )
        return value

    @property
    def mini_folder(self) -> Path | None:
        """Where the weights of MERaLiON-Mini are; None where it is not wanted."""
        if self.mini == OFF:
            return None
        return WEIGHTS if self.mini == PACKAGED else Path(self.mini)


def load() -> Settings:
    """Read the settings from the environment. Raises SettingsError."""
    return _load(Settings, "the embedded engine")
