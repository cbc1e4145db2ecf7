"""The table of models: one TOML table each, checked whole before anything starts."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from backend import words
from backend.address import Address, Service, as_table, tag
from backend.errors import StartError

Capability = Literal["transcribe", "translate", "summarise", "answer", "speaker", "sound", "chat", "speech"]
CAPABILITIES: tuple[Capability, ...] = (
    "transcribe",
    "translate",
    "summarise",
    "answer",
    "speaker",
    "sound",
    "chat",
    "speech",
)
_UNSAID = "This model was not made for it."


class Sampling(BaseModel):
    """What a request gets when it does not say; None leaves it to the engine."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_tokens: int | None = Field(default=None, ge=1)
    seed: int | None = None
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)


Instance = Annotated[
    Annotated[Address, Tag("url")] | Annotated[Service, Tag("dns")],
    Discriminator(tag),
    BeforeValidator(as_table),
]


class Row(BaseModel):
    """One model: what it is, where it runs, what it can do and what it may be asked."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    id: str = Field(min_length=1)
    title: str = Field(min_length=1)
    sentence: str = Field(min_length=1)
    kind: Literal["chat", "speech"]
    engine: Literal["embedded", "openai", "vllm"]
    instances: list[Instance] = []
    places: int | None = Field(default=None, ge=1, le=100_000)
    upstream_model: str = ""
    api_key_env: str | None = None
    capabilities: dict[Capability, Literal[True] | Annotated[str, Field(min_length=1)]]
    languages: list[str] = []
    licence: str = Field(min_length=1)
    hub_id: str = ""
    revision: str = ""
    max_audio_seconds: float = Field(default=300.0, gt=0, strict=False)
    max_transcription_seconds: float = Field(default=7_200.0, gt=0, strict=False)
    prompt_template: str = "{instruction}"
    sampling: Sampling = Sampling()
    default: bool = False

    @field_validator("prompt_template")
    @classmethod
    def _holds_the_instruction(cls, value: str) -> str:
        if "{instruction}" not in value:
            raise ValueError("it must contain {instruction}, where the visitor's words go.")
        return value

    @model_validator(mode="after")
    def _says_where_it_runs(self) -> Self:
        if self.engine != "embedded" and not self.instances:
            raise ValueError(f"engine '{self.engine}' needs `instances`, a list of addresses.")
        names = [address.name for address in self.instances]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise ValueError(f"`instances` names {twice} twice. Give it more `weight` instead.")
        return self

    def places_at(self, address: Address | Service) -> int | None:
        """Return how many answers an instance gives at once; None leaves it to the settings."""
        return address.places or self.places

    @property
    def upstream_id(self) -> str:
        """The name this model has at its engine."""
        return self.upstream_model or self.id

    def instruction(self, text: str) -> str:
        """Put the visitor's words into the model's prompt template."""
        return self.prompt_template.replace("{instruction}", text)

    def capability_card(self) -> dict[str, dict[str, Any]]:
        """Return every capability with its reason where there is none."""
        card: dict[str, dict[str, Any]] = {}
        for name in CAPABILITIES:
            said = self.capabilities.get(name, _UNSAID)
            card[name] = {"supported": True} if said is True else {"supported": False, "reason": said}
        return card


def load(file: Path) -> Mapping[str, Row]:
    """Read the table. Raises StartError naming the file, the row, the key and the reason."""
    try:
        tables = tomllib.loads(file.read_text("utf-8"))
    except OSError:
        raise StartError(
            f"The list of models, {file}, cannot be read. Set MERALION_MODELS to a file that can be."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StartError(f"{file} is not valid TOML: {error}. Mend that line.") from None
    rows = {name: _row(file, name, table) for name, table in tables.items()}
    if not rows:
        raise StartError(f"{file} lists no model. Add at least one table, such as [whisper-base-smollm2].")
    _agree_on_defaults(file, rows)
    _agree_on_instances(file, rows)
    return rows


def _agree_on_defaults(file: Path, rows: Mapping[str, Row]) -> None:
    for kind in ("chat", "speech"):
        defaults = [row.id for row in rows.values() if row.default and row.kind == kind]
        if len(defaults) > 1:
            raise StartError(
                f"{file}: {' and '.join(defaults)} both say `default = true`. Keep one for {kind}."
            )


def _agree_on_instances(file: Path, rows: Mapping[str, Row]) -> None:
    """An instance that serves two models is one instance, so both rows must say the same about it."""
    met: dict[str, tuple[str, object]] = {}
    for row in rows.values():
        told: dict[str, object] = {
            one.name: (one.model_copy(update={"places": row.places_at(one)}), row.api_key_env)
            for one in row.instances
        }
        for name, said in (told or {"the embedded engine": row.places}).items():
            first, before = met.setdefault(name, (row.id, said))
            if said != before:
                raise StartError(
                    f"{file}: {first} and {row.id} both run at {name} and differ in its address, `weight`, "
                    "`places` or `api_key_env`. Write the same in both rows."
                )


def _row(file: Path, name: str, table: Any) -> Row:
    if not isinstance(table, dict):
        raise StartError(
            f"{file}: `{name}` stands outside any table. Put it under a model, such as [my-model]."
        )
    try:
        return Row(**{**table, "id": name})
    except ValidationError as error:
        first: Any = error.errors()[0]
        fields: Iterable[str] = Row.model_fields
        if first["loc"][:1] == ("instances",):  # the third step is the tag that chose the class
            first["loc"] = (*first["loc"][:2], *first["loc"][3:])
            fields = [*Address.model_fields, *Service.model_fields]
        reason = words.sentence(first, fields) if first["loc"] else str(first["ctx"]["error"])
        raise StartError(f"{file}, row [{name}]: {reason} Mend it.") from None
