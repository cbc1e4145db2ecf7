"""The table of systems: what can be asked, how to reach it, its prompt and its limits. A row of systems.toml
each.

Three kinds: `chat` hears sound in /v1/chat/completions (or only reads, as the text half of a cascade and a
judge do), `transcription` writes speech down at /v1/audio/transcriptions, and a `cascade` is one of each.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from evaluation import toml_file
from evaluation.errors import RegistryError

FILE = Path(__file__).with_name("systems.toml")
_ENVIRONMENT = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_SAID = {"missing": "is missing", "extra_forbidden": "is not known here: leave it out"}


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Patience(_Table):
    """How long to wait for one request, in seconds, and how often to ask again."""

    connect_s: float = Field(default=10.0, gt=0, strict=False)
    first_s: float = Field(default=180.0, gt=0, strict=False)  # until the first byte of the answer
    between_s: float = Field(default=60.0, gt=0, strict=False)  # between two pieces of it
    whole_s: float = Field(default=900.0, gt=0, strict=False)
    tries: int = Field(default=6, ge=1, le=100)
    pause_s: float = Field(
        default=1.0, gt=0, strict=False
    )  # before the second try; doubled before each further one
    longest_pause_s: float = Field(default=60.0, gt=0, strict=False)
    give_up_after: int = Field(default=12, ge=1)  # clips in a row without an answer: the endpoint is away


class Price(_Table):
    """Dollars per million tokens, and what is known of how many there are. All 0 where nothing is billed."""

    text_in: float = Field(default=0.0, ge=0, strict=False)
    audio_in: float = Field(default=0.0, ge=0, strict=False)
    out: float = Field(default=0.0, ge=0, strict=False)
    audio_tokens_per_s: float = Field(default=0.0, ge=0, strict=False)
    read: str = ""  # where and when the price was read


class System(_Table):
    """One system. Seconds are of sound; tokens are of the answer."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")  # also the name of its folder
    title: str = Field(min_length=1)
    kind: Literal["chat", "transcription", "cascade"]
    base_url: str = ""  # as OpenAI's clients take it, with /v1
    model: str = ""  # its name at the endpoint; empty: the only one there
    key_env: str = ""  # the variable that holds its key
    prompt: str = "{instruction}"  # a cascade's also holds {transcript}
    audio_first: bool = True  # sound before words in the message
    max_tokens: int = Field(default=228, ge=1)
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    extra: dict[str, Any] = {}  # further fields of the request
    language: str = ""  # what a recogniser is told that it hears
    counts: Literal["whole", "quoted", "after_answer"] = "whole"  # what of an answer is scored: see asking.py
    pieces_s: float = Field(default=30.0, ge=0, strict=False)  # longer speech to write down is cut; 0: never
    head_s: float = Field(default=30.0, ge=0, strict=False)  # other tasks hear so much; 0: all
    concurrency: int = Field(default=8, ge=1, le=1_000)
    rate: float = Field(default=0.0, ge=0, strict=False)  # requests a minute at most; 0: no bound
    price: Price = Price()
    patience: Patience = Patience()
    end_to_end: bool = True  # one model from sound to answer: the paper's bold figures are of these
    asr: str = ""  # a cascade's two halves: ids of other rows
    text: str = ""
    start: str = Field(min_length=1)  # for people: how to start or reach it
    note: str = ""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.kind == "cascade":
            if not (self.asr and self.text):
                raise ValueError("a cascade names its halves in `asr` and `text`, ids of two other rows.")
            if "{transcript}" not in self.prompt or "{instruction}" not in self.prompt:
                raise ValueError("a cascade's `prompt` must contain {transcript} and {instruction}.")
        elif not self.base_url:
            raise ValueError("`base_url` is missing, such as http://127.0.0.1:8000/v1.")
        elif "{instruction}" not in self.prompt:
            raise ValueError("`prompt` must contain {instruction}, where the question goes.")
        return self

    @property
    def host(self) -> str:
        """Host and port, for people and for a judge's id."""
        return urlsplit(self.base_url).netloc

    def key(self) -> str:
        """Its key from the environment, or nothing where none is needed. Raises RegistryError."""
        if not self.key_env:
            return ""
        key = os.environ.get(self.key_env, "").strip()
        if not key:
            raise RegistryError(
                f"{self.title} needs a key. Put it into the environment: export {self.key_env}=..."
            )
        if not key.isascii() or not key.isprintable():  # it goes into a header
            raise RegistryError(f"{self.key_env} holds what no key holds (a line break?). Set it again.")
        return key

    def asked(self) -> dict[str, Any]:
        """What of the row decides its answers: two runs of one folder must agree in this."""
        left_out = {"title", "concurrency", "rate", "price", "patience", "end_to_end", "start", "note"}
        return self.model_dump(exclude={*left_out, "base_url", "key_env"})


def systems(further: Path | None = None) -> Mapping[str, System]:
    """The rows of systems.toml, and of a file of one's own, whose rows come instead. Raises RegistryError."""
    rows = _rows(FILE) | (_rows(further) if further else {})
    for row in rows.values():
        for half, kinds in (("asr", ("transcription", "chat")), ("text", ("chat",))):
            named = getattr(row, half)
            if row.kind == "cascade" and (named not in rows or rows[named].kind not in kinds):
                raise RegistryError(
                    f"row [{row.id}]: `{half}` names {named!r}, which is no row of kind {' or '.join(kinds)}."
                )
    return rows


def chosen(ids: list[str], rows: Mapping[str, System]) -> list[System]:
    """The rows with these ids. Raises RegistryError."""
    for name in ids:
        if name not in rows:
            near = difflib.get_close_matches(name, rows, n=1)
            guess = f" Did you mean {near[0]}?" if near else ""
            raise RegistryError(f"There is no system {name!r}.{guess} `python -m evaluation list` shows all.")
    return [rows[name] for name in dict.fromkeys(ids)]


def _rows(file: Path) -> dict[str, System]:
    tables = toml_file.read(file, advice="Name another with --systems.")
    return {name: _row(file, name, table) for name, table in tables.items()}


def _row(file: Path, name: str, table: Any) -> System:
    if not isinstance(table, dict):
        raise RegistryError(
            f"{file}: `{name}` stands outside any table. Put it under a system, such as [mine]."
        )
    filled = {key: _filled(table[key]) for key in ("base_url", "model") if isinstance(table.get(key), str)}
    try:
        return System(**{**table, **filled, "id": name})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(step) for step in first["loc"])
        said = f"`{field}` {_SAID.get(first['type'], '')}".strip() if first["type"] in _SAID else ""
        reason = said or (f"`{field}`: {first['msg']}" if field else str(first["ctx"]["error"]))
        raise RegistryError(f"{file}, row [{name}]: {reason.rstrip('.')}. Mend it.") from None


def _filled(text: str) -> str:
    """`${NAME:-default}` from the environment."""
    return _ENVIRONMENT.sub(lambda found: os.environ.get(found[1]) or found[2] or "", text)
