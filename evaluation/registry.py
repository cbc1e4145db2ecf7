"""The table of data sets: where the clips are, what is asked about them, how answers are scored. A row each.

A row is whole in itself, so that adding a data set is adding a row. Rows of table 2, 3 and 4 belong to the
paper's tables, and `row` is the label there: data sets of one label are averaged into one cell. Table 0 is
all else.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from evaluation import toml_file
from evaluation.errors import RegistryError

FILE = Path(__file__).with_name("datasets.toml")
OWN = "own"  # the instruction is the row's own
_SAID = {
    "missing": "is missing",
    "extra_forbidden": "is not known here: leave it out, or mend its spelling",
    "unexpected_keyword_argument": "is not known here: leave it out, or mend its spelling",
}

Task = Literal["asr", "st", "sqa", "sds", "si", "accent", "gender", "emotion", "sentiment", "audio"]
Metric = Literal["wer", "wer_part4", "bleu", "judge", "mmau", "contains"]
Words = Annotated[str, Field(min_length=1)]


class Fields(BaseModel):
    """In which columns a row of the data keeps what; `a.b` is the field b of the column a. Empty: nowhere."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    audio: Words = "context"
    instruction: str = "instruction"
    reference: Words = "answer"
    question: str = ""  # what the judge reads as the question, where it is not the instruction
    choices: str = ""  # a text, or a list that is joined by spaces
    group: str = ""  # scores are also summed up by it
    id: str = ""  # unlike any other's; empty: rows are numbered

    @property
    def columns(self) -> list[str]:
        """The columns these are in."""
        return sorted({path.split(".")[0] for path in self.model_dump().values() if path})


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", strict=True))
class Dataset:
    """One data set. Figures a corpus does not tell are None."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]  # AudioBench's name; also its folder
    title: Words
    table: Literal[0, 2, 3, 4]
    row: Words
    task: Task
    hub: Annotated[str, Field(pattern=r"^([\w.-]+/[\w.-]+)?$")] = ""  # empty: only from a folder
    data_dir: str = ""  # the folder in the repository; empty: data
    split: Words = "test"
    files: str = ""  # a pattern of the parquet files there, where it is not DATA_DIR/SPLIT-*.parquet
    revision: str = ""  # a commit of the repository; empty: the newest
    gated: bool = False  # its terms must be accepted on its page first
    fields: Fields = Fields()
    asked: Words = "{instruction}"  # what is asked, of {instruction} and {choices}
    cut: str = ""  # words that are taken out of the reference
    instruction: Words = OWN  # or the name of a list in instructions.toml
    metric: Metric
    scale: Literal[1, 5] | None = None  # of the judge's rating
    tokenizer: str = ""  # of BLEU
    n: Annotated[int, Field(ge=1)] | None = None  # clips
    hours: Annotated[float, Field(gt=0, strict=False)] | None = None  # of sound
    size_from: str = ""  # where n and hours were read or how they were worked out
    licence: Words
    same_answers_as: str = (
        ""  # a data set of the same clips and questions, whose answers can be scored by this metric
    )
    note: str = ""

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Dataset:
        if (self.metric == "judge") != (self.scale is not None):
            raise ValueError("`scale`, 5 or 1, is for `metric` judge, and a judge needs it.")
        if (self.metric == "bleu") != bool(self.tokenizer):
            raise ValueError("`tokenizer` is for `metric` bleu, and BLEU needs it (13a, zh, flores101).")
        if self.metric == "mmau" and not self.fields.choices:
            raise ValueError("`metric` mmau needs `fields.choices`, the column with the choices.")
        if "{choices}" in self.asked and not self.fields.choices:
            raise ValueError("`asked` shows {choices}, so `fields.choices` must name their column.")
        if "{instruction}" not in self.asked:
            raise ValueError("`asked` must contain {instruction}, where the question goes.")
        if self.instruction == OWN and not self.fields.instruction:
            raise ValueError("`instruction` is own, so `fields.instruction` must name its column.")
        if (self.n or self.hours) and not self.size_from:
            raise ValueError("`size_from` must say where `n` and `hours` come from.")
        if self.table and not self.hub:
            raise ValueError("`hub` must name the repository of a data set in the paper's tables.")
        return self

    @property
    def page(self) -> str:
        """Where people read about it and accept its terms."""
        return f"https://huggingface.co/datasets/{self.hub}" if self.hub else ""

    @property
    def pattern(self) -> str:
        """Its parquet files within the repository, or within a copy of it."""
        return self.files or f"{self.data_dir or 'data'}/{self.split}-*.parquet"


def load(file: Path) -> Mapping[str, Dataset]:
    """The rows of a table, in its order. Raises RegistryError naming the file, the row and the reason."""
    tables = toml_file.read(file, "The table of data sets", "Name another with --datasets.")
    if not tables:
        raise RegistryError(f"{file} lists no data set. Add at least one table, such as [my-set].")
    rows = {name: _row(file, name, table) for name, table in tables.items()}
    for row in rows.values():
        if row.same_answers_as and row.same_answers_as not in rows:
            raise RegistryError(f"{file}, [{row.id}]: `same_answers_as` names no data set of this file.")
    return rows


def _row(file: Path, name: str, table: Any) -> Dataset:
    if not isinstance(table, dict):
        raise RegistryError(f"{file}: `{name}` stands outside any table. Put it under one, such as [my-set].")
    if "id" in table:
        raise RegistryError(f"{file}, [{name}]: leave `id` out: the table's name is the id.")
    try:
        return Dataset(**{"id": name, **table})
    except ValidationError as error:
        wrong = " ".join(_words(each) for each in error.errors())
        raise RegistryError(f"{file}, [{name}]: {wrong}") from None


def _words(error: Any) -> str:
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    key = ".".join(str(part) for part in error["loc"])
    return f"`{key}` {_SAID.get(error['type'], 'is wrong: ' + error['msg'])}."


@cache
def datasets() -> Mapping[str, Dataset]:
    """The data sets of datasets.toml. Raises RegistryError."""
    return load(FILE)


def select(
    ids: Iterable[str] = (), tables: Collection[int] = (), among: Mapping[str, Dataset] | None = None
) -> list[Dataset]:
    """The data sets with these ids and those of these tables, each once; all where neither is given.

    Raises RegistryError for an id that is not there, and says which one may be meant.
    """
    rows = datasets() if among is None else among
    wanted = list(ids)
    for name in wanted:
        if name not in rows:
            near = difflib.get_close_matches(name, rows, n=3)
            hint = f"Is it {' or '.join(near)}?" if near else "`python -m evaluation list` shows all."
            raise RegistryError(f"There is no data set {name}. {hint}")
    if not wanted and not tables:
        return list(rows.values())
    return [row for row in rows.values() if row.id in wanted or row.table in tables]
