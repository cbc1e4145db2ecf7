"""A visitor's or a host's key: held so that it shows in no log, no error and no picture of an object."""

from __future__ import annotations

import re
from typing import NoReturn

MAX_CHARACTERS = 512
# What a header takes. Anything else would be refused further down, in words that repeat the key.
_KEY = re.compile(rf"[\x21-\x7e]{{1,{MAX_CHARACTERS}}}")


class Secret:
    """A key that only `reveal` shows. It cannot be printed, compared, copied to a file or sent elsewhere."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        """Hold a key. Raises ValueError, without the key, where no header could carry it."""
        if not _KEY.fullmatch(value):
            raise ValueError("not a key: letters, digits and signs without spaces are wanted")
        self._value = value

    def reveal(self) -> str:
        """Return the key, to be put into a request and nowhere else."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is not to be stored")
