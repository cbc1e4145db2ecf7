"""What a host can set on the pages: environment variables, read once, refused in words when wrong."""

from __future__ import annotations

import os
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as NotJson

ROOT = Path(__file__).resolve().parent.parent
ENDPOINTS = ROOT / "ui" / "cascade" / "endpoints.toml"
PREFIX = "MERALION_UI_"
# The fields that are not only the pages', and so go without the pages' prefix.
_SHARED = ("MERALION_BACKEND_URL", "MERALION_VISITOR_SECRET", "MERALION_KIOSK", "MERALION_OTLP_ENDPOINT")
DATA = Path.home() / ".local" / "share" / "meralion"
Address = Annotated[str, Field(pattern=r"^(https?://\S+)?$")]


class SettingsError(Exception):
    """A setting that nobody reads, or one with an impossible value; the message says which and what to do."""


class IceServer(BaseModel):
    """A STUN or TURN server, as browsers' RTCPeerConnection takes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    urls: str | tuple[str, ...]
    username: str = ""
    credential: str = Field(default="", repr=False)


class Settings(BaseSettings):
    """`MERALION_UI_<NAME>` for each field, but for those that concern more than the pages."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    backend_url: Address = Field(default="", validation_alias="MERALION_BACKEND_URL")
    # What visitors are signed with. The backend must have the same; one of our own is given it.
    visitor_secret: SecretStr | None = Field(
        default=None, validation_alias="MERALION_VISITOR_SECRET", min_length=32
    )
    samples_dir: Path = ROOT / "samples"
    start_timeout_s: float = Field(default=30.0, gt=0)  # until a backend of our own says that it is ready
    answer_timeout_s: float = Field(default=120.0, gt=0)  # the longest silence within an answer
    left_alone_s: float = Field(default=20.0, gt=0)  # an answer that no page follows is dropped
    max_tokens: int = Field(default=512, ge=1, le=8192)
    pause_s: float = Field(default=2.0, gt=0, le=30)  # silence after which the recorder stops by itself
    voice: str = ""  # of the speech model that reads answers aloud; empty: its own choice
    # How browsers beyond this network reach the voice chat's hands-free mode; none: nobody outside is asked.
    ice_servers: tuple[IceServer, ...] = ()
    # The text models of the cascade; a file as ui/cascade/endpoints.toml.
    endpoints: Path = ENDPOINTS
    # Whether visitors may name an address of their own, which this server then calls.
    visitor_endpoints: bool = False
    # For a screen that strangers share: larger, with fewer choices, and clean again when one has left.
    kiosk: bool = Field(default=False, validation_alias="MERALION_KIOSK")
    idle_s: float = Field(default=90.0, gt=0)  # after which a kiosk starts over
    # A file that always holds the address for phones, where that may change; the event kit writes it.
    address_file: Path | None = None
    public_url: Address = ""  # what visitors' own phones call these pages by; empty: as the browser does
    feedback_dir: str = str(DATA / "feedback")  # thumbs and comments; empty: they are not asked for
    donations_dir: str = ""  # recordings that visitors give; empty: they are not asked for
    donations_mb: float = Field(default=1000.0, gt=0)  # that all donations together may take
    donations_days: float = Field(default=0.0, ge=0)  # after which one is deleted; 0: never
    # An OpenTelemetry collector, such as http://127.0.0.1:4318; empty: no traces.
    otlp_endpoint: Address = Field(default="", validation_alias="MERALION_OTLP_ENDPOINT")

    @property
    def secret(self) -> str:
        """What visitors are signed with, or nothing."""
        return self.visitor_secret.get_secret_value() if self.visitor_secret else ""


@cache
def settings() -> Settings:
    """Return the settings of this process. Raises SettingsError."""
    return read(os.environ)


def read(environment: Mapping[str, str]) -> Settings:
    """Check the names in `environment`, then read the settings. Raises SettingsError."""
    own = {
        f"{PREFIX}{name.upper()}"
        for name, field in Settings.model_fields.items()
        if field.validation_alias is None
    }
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in own:
            raise SettingsError(
                f"{name} is not a setting of the pages. Remove it, or use one of: {', '.join(sorted(own))}."
            )
        # The rest is the controller's to know; only what was surely meant for us is ours to refuse.
        meant = get_close_matches(name, _SHARED, n=1, cutoff=0.84)
        if name.startswith("MERALION_") and name not in _SHARED and meant:
            raise SettingsError(f"{name} is not a setting. Remove it, or write {meant[0]}.")
    try:
        return Settings()
    except NotJson as error:
        raise SettingsError(
            f"{PREFIX}ICE_SERVERS cannot be used: it is no JSON list. "
            'Write for example [{"urls": "stun:stun.example.com"}], or remove it.'
        ) from error
    except ValidationError as error:
        wrong = error.errors()[0]
        name = str(wrong["loc"][0])
        name = name if name.startswith("MERALION") else f"{PREFIX}{name.upper()}"
        raise SettingsError(f"{name} cannot be used: {wrong['msg']}. Correct it or remove it.") from error
