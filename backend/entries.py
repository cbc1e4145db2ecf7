"""What one controller tells another of an answer on its way, and under which names it lies in Redis.

An entry says how many items came before it, so that whoever reads sees at once what it has already and
whether something is missing.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from backend import seal
from backend.answer import Queued
from backend.errors import ControllerError, UpstreamFailed, internal

End = Literal["", "done", "error", "gone"]
"""How an answer ended: whole, with an error, or left by its producer in the middle."""


@dataclass(frozen=True)
class Claim:
    """One controller's right to produce the answer of a key.

    A `lineage` is one course of an answer: who takes it over repeats in its own stream, item for item, what
    came so far. Items of two lineages are not cut at the same places.
    """

    lineage: str
    controller: str
    token: str = field(default_factory=lambda: secrets.token_hex(8))

    def __str__(self) -> str:
        return f"{self.lineage}.{self.controller}.{self.token}"

    @classmethod
    def parse(cls, value: bytes) -> Claim:
        """Read what stands in the lock. Raises ValueError for what another version wrote."""
        lineage, controller, token = value.decode().split(".")
        return cls(lineage, controller, token)


@dataclass(frozen=True)
class Names:
    """Where an answer's lock, stream and signs of life lie."""

    prefix: str
    key: str

    @property
    def lock(self) -> str:
        """Holds the claim of who produces."""
        return f"{self.prefix}flight:{seal.row_id(self.key)}"

    def stream(self, claim: Claim) -> str:
        """Holds what came; each claim has a stream of its own, so nobody writes into another's."""
        return f"{self.lock}:{claim.token}"

    def heard(self, claim: Claim) -> str:
        """Is there while somebody follows."""
        return f"{self.lock}:{claim.token}:heard"


def bell(prefix: str, controller: str) -> str:
    """The list into which a follower puts the token of the claim that it follows."""
    return f"{prefix}bell:{controller}"


@dataclass(frozen=True)
class Entry:
    """One message of a stream."""

    at: int
    items: Sequence[Any] = ()
    queued: Queued | None = None
    trip: dict[str, Any] = field(default_factory=dict)
    end: End = ""
    error: ControllerError | None = None

    def sealed(self, key: str) -> bytes:
        """Write it down for whoever knows the key."""
        head: dict[str, Any] = {"at": self.at, "trip": self.trip, "end": self.end}
        if self.queued:
            head["queued"] = asdict(self.queued)
        if self.error:
            head["error"] = _described(self.error)
        return seal.seal(key, json.dumps(head).encode() + b"\n" + seal.encode(self.items))

    @classmethod
    def unsealed(cls, key: str, data: bytes) -> Entry | None:
        """Return the entry; None for anything that this version did not write with this key."""
        plain = seal.unseal(key, data)
        if plain is None:
            return None
        head, _, body = plain.partition(b"\n")
        items = seal.decode(body)
        try:
            said = json.loads(head)
            if items is None:
                return None
            queued = Queued(**said["queued"]) if "queued" in said else None
            error = _rebuilt(**said["error"]) if "error" in said else None
            return cls(said["at"], items, queued, said["trip"], said["end"], error)
        except (ValueError, TypeError, KeyError):
            return None


def for_others(error: Exception) -> ControllerError:
    """Return the error as other controllers may hear of it."""
    return error if isinstance(error, ControllerError) else internal()


def _described(error: ControllerError) -> dict[str, Any]:
    return {
        "kind": type(error).__name__,
        "code": error.code,
        "message": error.message,
        "headers": error.headers,
        "again": error.again,
        "mine": getattr(error, "mine", False),
    }


def _rebuilt(
    kind: str, code: str, message: str, headers: dict[str, str], again: bool, mine: bool
) -> ControllerError:
    cls = _kinds(ControllerError).get(kind, UpstreamFailed)
    error = cls.__new__(cls)
    ControllerError.__init__(error, code, message, headers=headers)
    error.__dict__.update(again=again, mine=mine)
    return error


def _kinds(cls: type[ControllerError]) -> dict[str, type[ControllerError]]:
    found = {cls.__name__: cls}
    for one in cls.__subclasses__():
        found.update(_kinds(one))
    return found
