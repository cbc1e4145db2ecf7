"""Answers at rest: nobody can read one without the very question, clip and owner that it belongs to.

The key of a request names all of these, and only its hash is written beside the sealed bytes:

    row id       sha256("row:" + key)                     where it lies
    cipher key   sha256("key:" + key)                     AES-256-GCM, a random nonce each time
    sealed       version (1 byte), nonce (12), ciphertext and tag (16)
    encoded      JSON [version, [kind, piece, piece, ...], ...], neighbours of one kind together
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import secrets
from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from backend.answer import Done, Head, Heard, Token, Usage

Item = Heard | Token | Done | Head | bytes
"""What may be kept of an answer, or handed to another controller."""

SEALED = b"\x01"
"""The first byte of all that is sealed, which is the version of the form."""
_NONCE = 12
_TAG = 16
_ENCODING = 1


def row_id(key: str) -> str:
    """Return the name under which something is kept; the key cannot be found from it."""
    return hashlib.sha256(b"row:" + key.encode()).hexdigest()


def seal(key: str, data: bytes) -> bytes:
    """Encrypt for whoever knows the key."""
    nonce = secrets.token_bytes(_NONCE)
    return SEALED + nonce + _cipher(key).encrypt(nonce, data, SEALED)


def unseal(key: str, data: bytes) -> bytes | None:
    """Return what was sealed with this key; None for anything else."""
    if len(data) < len(SEALED) + _NONCE + _TAG or not data.startswith(SEALED):
        return None
    nonce = data[len(SEALED) : len(SEALED) + _NONCE]
    try:
        return _cipher(key).decrypt(nonce, memoryview(data)[len(SEALED) + _NONCE :], SEALED)
    except InvalidTag:
        return None


def encode(items: Iterable[Item]) -> bytes:
    """Write items down. Every piece stays a piece, so that a replay comes as the answer came."""
    groups = groupby((_written(item) for item in items), key=lambda written: written[0])
    whole = [_ENCODING, *([kind, *(piece for _, piece in group)] for kind, group in groups)]
    # An engine may say half of a surrogate pair, which JSON can hold and strict UTF-8 cannot.
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def decode(data: bytes) -> list[Item] | None:
    """Return the items; None for anything that `encode` of this version did not write."""
    try:
        version, *groups = json.loads(data.decode("utf-8", "surrogatepass"))
        if version != _ENCODING:
            return None
        return [_READERS[kind](piece) for kind, *pieces in groups for piece in pieces]
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None


def _cipher(key: str) -> AESGCM:
    return AESGCM(hashlib.sha256(b"key:" + key.encode()).digest())


def _written(item: Item) -> tuple[str, Any]:
    match item:
        case Token(text):
            return "token", text
        case Heard(text):
            return "heard", text
        case bytes():
            return "bytes", base64.b64encode(item).decode()
        case Head(content_type):
            return "head", content_type
        case Done(finish_reason, usage, timing):
            cost = [usage.prompt_tokens, usage.completion_tokens] if usage else None
            return "done", [finish_reason, cost, timing]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _done(value: Any) -> Done:
    finish_reason, cost, timing = value
    usage = None
    if cost is not None:
        prompt, completion = cost
        usage = Usage(int(prompt), int(completion))
    return Done(
        _text(finish_reason), usage, {_text(name): float(figure) for name, figure in dict(timing).items()}
    )


def _bytes(value: Any) -> bytes:
    return binascii.a2b_base64(_text(value), strict_mode=True)


_READERS: dict[str, Callable[[Any], Item]] = {
    "token": lambda value: Token(_text(value)),
    "heard": lambda value: Heard(_text(value)),
    "bytes": _bytes,
    "head": lambda value: Head(_text(value)),
    "done": _done,
}
