"""What a host may change about the routes in front of vLLM: environment variables with MERALION_VLLM_."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from model.settings import load as _load


class Settings(BaseSettings):
    """Bounds of what is sent."""

    model_config = SettingsConfigDict(env_prefix="MERALION_VLLM_", extra="forbid")

    max_body_mb: int = Field(default=128, ge=1, le=2_048)
    """Largest question, in MiB: 8 clips of 300 s as 16-bit WAV are 103 in base64."""
    max_transcription_seconds: float = Field(default=7_200.0, gt=0, le=36_000)
    """Longest recording to transcribe or translate."""
    max_transcription_mb: int = Field(default=256, ge=1, le=1_024)
    """Largest request to transcribe or translate, in MiB: two hours of 16 kHz WAV are 220."""
    max_transcriptions: int = Field(default=8, ge=1, le=256)
    """Recordings worked on side by side; four times as many may wait, more get 429."""
    windows_at_once: int = Field(default=4, ge=1, le=64)
    """Windows of one recording that the model reads side by side."""
    otlp_endpoint: str = Field(
        default="", pattern=r"^(https?://\S+)?$", validation_alias="MERALION_OTLP_ENDPOINT"
    )
    """An OpenTelemetry collector, such as http://127.0.0.1:4318; empty: no traces."""


def load() -> Settings:
    """Read the settings from the environment. Raises SettingsError."""
    return _load(Settings, "the vLLM server")
