"""The text models that a host offers for the cascade's second stage: a table, each row an address.

The rows are in endpoints.toml beside this file, or in the file that MERALION_UI_ENDPOINTS names. Keys are
never in it: a row names the environment variable that holds its key.
"""

from __future__ import annotations

import os
import tomllib
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ui.cascade.secret import Secret
from ui.settings import SettingsError, settings

MAX_ADDRESS_CHARACTERS = 300
Amount = Annotated[float, Field(ge=0)]


class Price(BaseModel):
    """What a model costs. What is not given is not known."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    free: bool = False
    input_per_million: Amount | None = None  # tokens
    output_per_million: Amount | None = None  # tokens
    per_audio_minute: Amount | None = None
    currency: str = Field(default="US$", max_length=8)


class TextModel(Price):
    """A row: where a text model is, and what it costs."""

    title: str = Field(default="", max_length=60)  # empty: as the model's, in the registry
    address: str = ""  # up to "/v1"; empty: this demo's own controller
    model: str = Field(default="", max_length=200)  # empty: what the visitor names, else the first it lists
    key_env: str = Field(default="", pattern=r"^([A-Z_][A-Z0-9_]*)?$")
    limit_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    max_tokens: int = Field(default=512, ge=1, le=8192)
    temperature: float | None = Field(default=None, ge=0, le=2)  # None: as the endpoint likes it
    usage: bool = True  # whether it may be asked to count tokens
    first_word_s: float = Field(default=60.0, gt=0)  # the longest wait for the first word
    silence_s: float = Field(default=30.0, gt=0)  # the longest wait for the next one

    @field_validator("address")
    @classmethod
    def _checked(cls, value: str) -> str:
        problem = address_problem(value) if value else ""
        if problem:
            raise ValueError(problem)
        return value.rstrip("/")

    @property
    def here(self) -> bool:
        """Whether what it is told stays on this computer."""
        return not self.address or is_loopback(self.address)

    def host_key(self) -> Secret | None:
        """Return the host's key, if there is one that can be used."""
        value = os.environ.get(self.key_env, "").strip() if self.key_env else ""
        try:
            return Secret(value) if value else None
        except ValueError:
            return None


class Endpoints(BaseModel):
    """The whole file: text models by name, and what the audio models of /v1/models cost, by id."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: dict[str, TextModel] = Field(min_length=1)
    audio: dict[str, Price] = Field(default_factory=dict)


def endpoints() -> Endpoints:
    """Return what this host offers. Raises SettingsError."""
    return load(settings().endpoints)


@cache
def load(path: Path) -> Endpoints:
    """Read a file of rows. Raises SettingsError, which names the row and the reason."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise SettingsError(f"{path.name}, the file of text models, cannot be read: {reason}.") from None
    try:
        return Endpoints.model_validate(content)
    except ValidationError as error:
        wrong = error.errors(include_input=False, include_url=False)[0]
    *row, name = (str(part) for part in wrong["loc"])
    place = f"[{'.'.join(row)}] {name}" if row else f"[{name}]"
    raise SettingsError(f"{path.name}: {place} cannot be used: {_reason(name, wrong['type'], wrong['msg'])}")


def _reason(name: str, kind: str, message: str) -> str:
    if name in ("key", "api_key", "token", "password"):
        return "keys do not belong in this file. Name the environment variable that holds it: key_env."
    if kind == "extra_forbidden":
        return f"there is no such setting. There are: {', '.join(TextModel.model_fields)}."
    if name == "key_env":
        return "it is the name of an environment variable, such as OPENAI_API_KEY, and never the key itself."
    return f"{message.removeprefix('Value error, ')}."


def address_problem(address: str) -> str:
    """Return why this cannot be an endpoint's address, or "" where it can; the address is not repeated."""
    try:
        parts = urlsplit(address)
        port_is_well = parts.port is None or parts.port > 0
    except ValueError:
        return "it is no address"
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_well:
        return "it is no address: it begins with https:// or http:// and a name"
    if parts.username is not None or parts.password is not None:
        return "an address has no name and password in it"
    if parts.query or parts.fragment or not address.isascii() or any(sign.isspace() for sign in address):
        return "an address ends with its path, such as /v1"
    return "" if len(address) <= MAX_ADDRESS_CHARACTERS else "it is too long"


def is_loopback(address: str) -> bool:
    """Say whether an address is this very computer."""
    host = urlsplit(address).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
