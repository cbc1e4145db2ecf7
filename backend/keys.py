"""Optional API keys: only their hashes are kept, and a weak one stops the start.

`python -m backend.keys new NAME` makes a key and the line for the file that `api_keys_file` names.
`python -m backend.keys hash` reads a key of your own from stdin and prints its hash.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import itertools
import re
import secrets
import sys
import tomllib
from pathlib import Path

from backend.errors import StartError
from backend.settings import Settings

_LINE = re.compile(r"sha256:([0-9a-f]{64})")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PRINTABLE = re.compile(r"[\x21-\x7e]+")
_MIN_CHARS = 32
_MIN_KINDS = 10  # different characters; 32 random hexadecimal digits hold 14 on average
_EXAMPLES = (
    *("sk-1234", "sk-123456", "sk-test", "sk-no-key-required", "token-abc123", "api-key", "your-api-key"),
    *("changeme", "dummy", "EMPTY", "empty", "key", "none", "None", "null", "password", "secret", "test"),
    *("0" * 32, "0123456789abcdef" * 2, "0123456789abcdef" * 4),
)
_EXAMPLE_DIGESTS = frozenset(hashlib.sha256(key.encode()).hexdigest() for key in _EXAMPLES)


class Keys:
    """Every key that is let in. With none set at all, nobody is asked for one."""

    def __init__(self, settings: Settings) -> None:
        """Read them. Raises StartError for one that is weak or cannot be read."""
        self._file = settings.api_keys_file
        listed = settings.api_keys.get_secret_value() if settings.api_keys else ""
        self._listed = tuple(_checked(key.strip()) for key in listed.split(",") if key.strip())
        if settings.api_keys and not self._listed:
            raise StartError("`api_keys` is set and holds no key. Put one there, or unset MERALION_API_KEYS.")
        self._digests = (*self._listed, *_read(self._file))

    @property
    def required(self) -> bool:
        """Whether callers need a key. With a file they do, so that taking out its last key opens nothing."""
        return bool(self._digests) or self._file is not None

    def reread(self) -> bool:
        """Read the file again, and say whether its keys are others now.

        Raises StartError where it cannot be read; the keys stay as they were.
        """
        before, self._digests = self._digests, (*self._listed, *_read(self._file))
        return self._digests != before

    def admits(self, key: str) -> bool:
        """Whether this is one of the keys. Takes as long for a wrong one as for any right one."""
        given = hashlib.sha256(key.encode()).digest()
        found = False
        for digest in self._digests:
            found |= hmac.compare_digest(given, digest)
        return found


def weakness(key: str, least: int = _MIN_CHARS) -> str:
    """Say what is weak about a key, in words that end a sentence; nothing for a good one."""
    if hashlib.sha256(key.encode()).hexdigest() in _EXAMPLE_DIGESTS:
        return "is a well-known example"
    if not _PRINTABLE.fullmatch(key):
        return "holds a space or a character that is not plain ASCII"
    if len(key) < least:
        return f"is shorter than {least} characters"
    steps = [abs(ord(after) - ord(before)) for before, after in itertools.pairwise(key)]
    repeats = key[1:-1] and key in (key + key)[1:-1]
    if len(set(key)) < _MIN_KINDS or repeats or sum(step < 2 for step in steps) > len(steps) / 2:
        return "is easy to guess: its characters repeat or follow one another"
    return ""


def _checked(key: str) -> bytes:
    """Return a key's hash. Raises StartError for a weak one, without naming it."""
    if why := weakness(key):
        raise StartError(f"A key in `api_keys` {why}. Make a good one with: python -m backend.keys new NAME")
    return hashlib.sha256(key.encode()).digest()


def _read(file: Path | None) -> tuple[bytes, ...]:
    """Read the hashes in a file. Raises StartError."""
    if file is None:
        return ()
    try:
        lines = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not valid TOML"
        raise StartError(
            f"`api_keys_file` names {file}, which cannot be read ({why}). Mend it, or unset the setting."
        ) from None
    digests = []
    for name, value in lines.items():
        line = _LINE.fullmatch(value) if isinstance(value, str) else None
        if line is None:
            raise StartError(
                f"{file}: `{name}` must be the hash of a key, sha256: and 64 hexadecimal digits. "
                "`python -m backend.keys new NAME` prints such a line."
            )
        if line[1] in _EXAMPLE_DIGESTS:
            raise StartError(f"{file}: the key `{name}` is a well-known example. Make another.")
        digests.append(bytes.fromhex(line[1]))
    return tuple(digests)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m backend.keys", description="API keys for callers.")
    commands = parser.add_subparsers(dest="command", required=True)
    new = commands.add_parser("new", help="make a key, and the line for the file of keys")
    new.add_argument("name", help="whose key it is: letters, digits, - or _")
    commands.add_parser("hash", help="print the hash of the key on stdin")
    given = parser.parse_args(arguments)
    if given.command == "new":
        if not _NAME.fullmatch(given.name):
            parser.error("a name has 1 to 64 letters, digits, - or _")
        key = f"mk-{secrets.token_urlsafe(32)}"
        sys.stdout.write(
            f"The key, shown this once:\n{key}\n\nThe line for the file of keys:\n{given.name} = "
        )
    else:
        key = sys.stdin.readline().strip()
        if why := weakness(key):
            sys.stderr.write(f"This key {why}. Make a good one with: python -m backend.keys new NAME\n")
            return 2
    sys.stdout.write(f'"sha256:{hashlib.sha256(key.encode()).hexdigest()}"\n')
    return 0


if __name__ == "__main__":
    sys.exit(main())
