"""All settings of the controller: environment variables `MERALION_...`, or the same names in one TOML file.

The file is `meralion.toml` in the working directory, or the one that MERALION_CONFIG names; the environment
wins. A name that is not known stops the start.
"""

from __future__ import annotations

import os
import tempfile
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from backend import words
from backend.errors import StartError
from backend.setting_types import Bytes, MediaHosts, Networks, Origins, Seconds, SigningSecret

PREFIX = "MERALION_"
_ROOT = Path(__file__).resolve().parent.parent
# Settings of engines, of the pages and of the event kit.
_OTHERS_PREFIXES = ("MERALION_ENGINE_", "MERALION_VLLM_", "MERALION_UI_", "MERALION_EVENT_")
_OTHERS = {"MERALION_BACKEND_URL", "MERALION_KIOSK", "MERALION_CONFIG", "MERALION_EXIT_WITH_PARENT"}


def _cache_file() -> Path:
    try:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # nobody's home, as in a container that runs as any number
        home = Path(tempfile.gettempdir())
    return home / "meralion" / "answers.sqlite"


class Settings(BaseSettings):
    """Every setting, its unit in its name, with a default that suits one machine."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,  # a compose file passes on what is not set as empty
        extra="forbid",
        frozen=True,
    )

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65_535)
    models: Path = _ROOT / "backend" / "models.toml"
    samples: Path = _ROOT / "samples" / "manifest.json"

    max_audio_bytes: Bytes = 25 * 2**20
    max_audio_seconds: Seconds = 300.0
    max_transcription_bytes: Bytes = 256 * 2**20
    max_transcription_seconds: Seconds = 7_200.0
    uploads_max_bytes: Bytes = 512 * 2**20
    max_clips: int = Field(default=8, ge=1)
    max_json_bytes: Bytes = 36 * 2**20
    max_prompt_chars: int = Field(default=10_000, ge=1)
    max_conversation_chars: int = Field(default=100_000, ge=1)
    max_output_tokens: int = Field(default=4_096, ge=1)
    decoder_workers: int = Field(default=1, ge=1, le=16)

    files_max_bytes: Bytes = 256 * 2**20
    files_max_age_s: Seconds = 3_600.0
    files_per_visitor: int = Field(default=50, ge=1)
    cache_max_bytes: int = Field(default=32 * 2**20, ge=0)
    cache_max_age_s: Seconds = 86_400.0
    cache_store: Literal["sqlite", "redis", "none"] = "sqlite"
    cache_file: Path = Field(default_factory=_cache_file)
    cache_file_max_bytes: Bytes = 256 * 2**20
    replay_tokens_per_s: float = Field(default=0.0, ge=0)
    redis_url: SecretStr | None = None
    redis_prefix: str = Field(default="meralion:", max_length=64)

    places: int = Field(default=16, ge=1)
    balance: Literal["affinity", "least_work", "power_of_two", "round_robin"] = "affinity"
    affinity_bound: float = Field(default=1.25, ge=1)
    slow_start_s: float = Field(default=10.0, ge=0)
    queue_max: int = Field(default=1_024, ge=0)
    queue_per_visitor: int = Field(default=8, ge=1)
    queue_timeout_s: Seconds = 60.0

    body_timeout_s: Seconds = 60.0
    connect_timeout_s: Seconds = 3.0
    first_byte_timeout_s: Seconds = 120.0
    silence_timeout_s: Seconds = 30.0
    hedge_first_s: float = Field(default=4.0, ge=0)
    hedge_silence_s: float = Field(default=2.5, ge=0)
    retries: int = Field(default=3, ge=0)  # and as many hedges: with 0 there are none
    breaker_failures: int = Field(default=3, ge=1)
    breaker_open_s: Seconds = 5.0
    probe_interval_s: Seconds = 5.0
    discovery_interval_s: Seconds = 5.0
    discovery_keep_s: Seconds = 300.0
    max_answer_bytes: Bytes = 40 * 2**20  # the longest text that is taken, read aloud as WAV

    visitor_secret: SigningSecret | None = None
    api_keys_file: Path | None = None
    api_keys: SecretStr | None = None
    visitor_requests_per_minute: int = Field(default=120, ge=0)
    requests_per_minute: int = Field(default=0, ge=0)
    host_key: SecretStr | None = None
    host_state_file: Path | None = None
    cors_origins: Origins = ()
    trusted_proxies: Networks = ()
    audio_url_hosts: MediaHosts = ()
    audio_url_timeout_s: Seconds = 20.0
    otlp_endpoint: str = ""
    reload_interval_s: float = Field(default=2.0, ge=0)
    shutdown_grace_s: float = Field(default=2.0, ge=0)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what the caller passes, then the environment, then the file."""
        file = TomlConfigSettingsSource(settings_cls, toml_file=_config_file())
        return init_settings, env_settings, file


def load(**overrides: Any) -> Settings:
    """Read the settings. Raises StartError with a sentence that says which one to mend, and how."""
    _refuse_unknown_names()
    if os.environ.get(f"{PREFIX}API_KEYS") == "":
        raise StartError(
            f"{PREFIX}API_KEYS is set and empty, and without keys anybody may ask. Give keys, or unset it."
        )
    file = _config_file()
    try:
        return Settings(**overrides)
    except tomllib.TOMLDecodeError as error:
        raise StartError(f"{file} is not valid TOML: {error}. Mend that line and start again.") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise StartError(
            f"A setting is wrong: {words.sentence(first, Settings.model_fields)} "
            f"Look in the environment ({PREFIX}{str(first['loc'][0]).upper()}) and in {file}."
        ) from None


def _config_file() -> Path:
    named = os.environ.get("MERALION_CONFIG")
    if named and not Path(named).is_file():
        raise StartError(f"MERALION_CONFIG names {named}, and there is no such file. Correct it or unset it.")
    return Path(named or "meralion.toml")


def _refuse_unknown_names() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    for name in sorted(os.environ):
        if not name.startswith(PREFIX) or name in known | _OTHERS or name.startswith(_OTHERS_PREFIXES):
            continue
        raise StartError(
            f"The environment sets {name}, which is no setting of the controller. "
            f"Correct or unset it.{words.nearest(name, known)}"
        )
