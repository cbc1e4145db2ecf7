"""The kinds of value that a setting may have, each checked in words that say what to write instead."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

_MIN_SECRET = 32  # characters


def _split(names: Any) -> Any:
    return [name.strip() for name in names.split(",") if name.strip()] if isinstance(names, str) else names


def _each(check: Callable[[str], str]) -> AfterValidator:
    def checked(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(check(name) for name in names)

    return AfterValidator(checked)


def _network(text: str) -> str:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        raise ValueError(f"{text!r} is no address or network. Write 10.0.0.5 or 10.0.0.0/8.") from None
    return text


def _origin(text: str) -> str:
    if text != "*" and not re.fullmatch(r"https?://[^\s/*?#@]+", text):
        raise ValueError(f"{text!r} is no origin. Write https://host or https://host:port, without a path.")
    return text


def _media_host(text: str) -> str:
    if text != "*" and not re.fullmatch(r"([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", text):
        raise ValueError(f"{text!r} is no host. Write its name in small letters, host or host:port, or *.")
    return text


def _long_enough(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value()) < _MIN_SECRET:
        raise ValueError(f"it is shorter than {_MIN_SECRET} characters. Make one with: openssl rand -hex 32")
    return secret


Seconds = Annotated[float, Field(gt=0)]
Bytes = Annotated[int, Field(gt=0)]
SigningSecret = Annotated[SecretStr, AfterValidator(_long_enough)]

# A list in the file; in the environment, names with commas between them.
_Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Networks = Annotated[_Names, _each(_network)]
Origins = Annotated[_Names, _each(_origin)]
MediaHosts = Annotated[_Names, _each(_media_host)]
