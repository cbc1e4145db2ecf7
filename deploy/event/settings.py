"""What a host can set: environment variables `MERALION_EVENT_...`, and flags for the main ones, which win."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PREFIX = "MERALION_EVENT_"
_NAME = re.compile(r"(?!-)[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})*", re.ASCII)


class EventError(Exception):
    """The kit cannot start; the message is a sentence for the host that says what to do."""


def data_home() -> Path:
    """Return where this user's programs keep their data."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")


def _split(names: Any) -> Any:
    return [name.strip() for name in names.split(",") if name.strip()] if isinstance(names, str) else names


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Port = Annotated[int, Field(ge=0, le=65_535)]


class Settings(BaseSettings):
    """Every setting, with a default that suits a laptop or a small server in a room."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True)

    # Keys, the authority, kept answers. Whoever has this folder can pose as this demo: keep it to yourself.
    data: Path = Field(default_factory=lambda: data_home() / "meralion" / "event")
    https_port: Port = 0  # 0: 443 where that is allowed and free, else 8443
    http_port: Port = 0  # 0: 80 where that is allowed and free, else 8080
    # Names that guests may use besides the machine's own, such as demo.lan; with commas between them.
    names: Names = ()
    # A real certificate's files (PEM), where the host has one; none: an authority of the demo's own.
    cert: Path | None = None
    key: Path | None = None
    kiosk: bool = True  # larger, with fewer choices, and clean again when a visitor has left
    requests_per_minute: int = Field(default=60, ge=1)  # of one visitor
    waiting_per_visitor: int = Field(default=4, ge=1)  # questions in the queue at once
    files_per_visitor: int = Field(default=10, ge=1)

    @field_validator("names")
    @classmethod
    def _are_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no host name; write it in small letters, such as demo.lan")
        return names

    @model_validator(mode="after")
    def _belong_together(self) -> Settings:
        if (self.cert is None) != (self.key is None):
            raise ValueError("a certificate needs its key: give both --cert and --key, or neither")
        if self.https_port and self.https_port == self.http_port:
            raise ValueError("https and http need two different ports")
        return self


def flags() -> argparse.ArgumentParser:
    """Return the parser of the command's flags."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.event",
        description="Serve the demo over HTTPS on the local network; no internet is needed.",
        epilog=f"Every setting is also an environment variable {PREFIX}...: see deploy/event/README.md.",
    )
    parser.add_argument("--data", help="the folder for keys and kept answers")
    parser.add_argument("--https-port", help="443, else 8443, unless you say otherwise")
    parser.add_argument("--http-port", help="80, else 8080, unless you say otherwise")
    parser.add_argument("--names", help="further names that guests may use, with commas between them")
    parser.add_argument("--cert", help="a real certificate's file (PEM)")
    parser.add_argument("--key", help="the file of its key (PEM)")
    parser.add_argument(
        "--print-unit", action="store_true", help="print a systemd unit that starts this by itself, and end"
    )
    return parser


def load(given: argparse.Namespace, environment: Mapping[str, str]) -> Settings:
    """Read the settings. Raises EventError with a sentence that names the wrong one."""
    known = {PREFIX + name.upper(): name for name in Settings.model_fields}
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in known:
            near = get_close_matches(name, known, n=1)
            meant = f" Did you mean {near[0]}?" if near else f" There are: {', '.join(sorted(known))}."
            raise EventError(f"{name} is no setting of the event kit. Correct or unset it.{meant}")
    said = {name: value for name in known.values() if (value := getattr(given, name, None)) is not None}
    try:
        return Settings(**said)
    except ValidationError as error:
        wrong = error.errors()[0]
        field = str(wrong["loc"][0]) if wrong["loc"] else ""
        where = f"{PREFIX}{field.upper()} (or --{field.replace('_', '-')})" if field else "What you set"
        why = wrong["msg"].removeprefix("Value error, ")
        raise EventError(f"{where} cannot be used: {why}. Correct it and start again.") from None


_FLAGS = ("data", "https_port", "http_port", "names", "cert", "key")


def as_environment(settings: Settings) -> Mapping[str, str]:
    """Return the variables that give the settings which have no flag again, where they are not usual."""
    return {
        f"{PREFIX}{name.upper()}": str(getattr(settings, name)).lower()
        for name, field in Settings.model_fields.items()
        if name not in _FLAGS and getattr(settings, name) != field.default
    }


def as_arguments(settings: Settings) -> Sequence[str]:
    """Return the flags that give these settings again, as far as there are flags and they are not usual."""
    arguments = []
    for name in _FLAGS:
        value = getattr(settings, name)
        if name == "data" or value != Settings.model_fields[name].default:
            text = ",".join(value) if isinstance(value, tuple) else str(value)
            if isinstance(value, Path):
                text = str(value.absolute())
            arguments += [f"--{name.replace('_', '-')}", text]
    return arguments
