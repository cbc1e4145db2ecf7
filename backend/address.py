"""Where a model's instances run, as its row says: at one address, or at every address that a name has."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import httpx
from pydantic import BaseModel, ConfigDict, Field, field_validator

_PLAIN = re.compile(r"[!#-\[\]-~]+")


class _Share(BaseModel):
    """How much work an instance takes beside the others, and how many answers at once."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    weight: float = Field(default=1.0, gt=0, le=1_000, strict=False, allow_inf_nan=False)
    places: int | None = Field(default=None, ge=1, le=100_000)


class Address(_Share):
    """Where one instance runs."""

    url: str

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        return _checked(value)

    @property
    def name(self) -> str:
        """What the instance is called where people read it: host, port and path."""
        return self.url.partition("://")[2]


class Service(_Share):
    """A name in DNS, each of whose addresses is an instance of this weight and with so many places."""

    dns: str

    @field_validator("dns")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        checked = _checked(value)
        if not checked.startswith("http://"):
            raise ValueError(
                "a name whose addresses are instances must start with http://: TLS wants the name."
            )
        return checked

    @property
    def host(self) -> str:
        """The name to look up."""
        return urlsplit(self.dns).hostname or ""

    @property
    def name(self) -> str:
        """What stands for its instances where people read it: host, port and path."""
        return self._at(self.host)

    def at(self, ip: str) -> Address:
        """Return the instance at one of its addresses."""
        url = f"http://{self._at(f'[{ip}]' if ':' in ip else ip)}"
        return Address(url=url, weight=self.weight, places=self.places)

    def _at(self, host: str) -> str:
        parts = urlsplit(self.dns)
        return f"{host}:{parts.port or 80}{parts.path}"


def as_table(instance: Any) -> Any:
    """Write an instance that is a bare address as the table that it is short for."""
    return {"url": instance} if isinstance(instance, str) else instance


def tag(table: Any) -> str:
    """Say which of the two a table describes, by its key."""
    return "dns" if isinstance(table, Service) or (isinstance(table, dict) and "dns" in table) else "url"


def _checked(value: str) -> str:
    """Return an address without what says nothing. Raises ValueError."""
    try:
        parts = urlsplit(value)
        whole = parts.scheme in ("http", "https") and bool(httpx.URL(value).host) and parts.port != 0
    except (ValueError, httpx.InvalidURL):  # a port that is no number, 10.0.0.999, a broken IPv6 address
        whole = False
    # What is wrong is not quoted: it may hold a password.
    if not whole:
        raise ValueError("an address must start with http:// or https:// and name a host.")
    if parts.username is not None or parts.password is not None:
        raise ValueError("an address must hold no password. Name the key's variable in `api_key_env`.")
    if parts.query or parts.fragment or not _PLAIN.fullmatch(value):  # it is a header and a label as well
        raise ValueError("an address must be plain ASCII, without spaces, quotes, ? and #.")
    return value.rstrip("/").removesuffix("/v1")
