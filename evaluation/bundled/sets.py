"""The rows of datasets.toml beside this file, and the clips of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

from evaluation import registry
from evaluation.bundled import people, samples
from evaluation.core import Example
from evaluation.errors import RegistryError
from evaluation.registry import Dataset

FILE = Path(__file__).with_name("datasets.toml")

# By where the clips are and what is asked of them; each is told the row's `split`.
_SOURCES: Mapping[tuple[str, str], Callable[[str], Iterator[Example]]] = {
    ("samples", "asr"): samples.to_write_down,
    ("samples", "sqa"): samples.questions,
    ("samples", "gender"): lambda _: samples.voices(),
    ("pocketsphinx-testdata", "asr"): lambda _: people.novel(),
    ("asterisk-core-sounds-en", "asr"): lambda _: people.prompts(),
    ("asterisk-core-sounds-en", "gender"): lambda _: people.prompts_by_sex(),
}

# What a model offers that is asked a data set's task, as `/v1/models` names it.
CAPABILITIES = {"asr": "transcribe", "sqa": "answer", "gender": "speaker"}


@cache
def datasets() -> Mapping[str, Dataset]:
    """The bundled data sets, in their order. Raises RegistryError."""
    return registry.load(FILE)


def examples(dataset: Dataset) -> Iterator[Example]:
    """The clips of a row. Raises DataError where the package they are in is missing, RegistryError."""
    source = _SOURCES.get((dataset.data_dir, dataset.task))
    if source is None:
        known = ", ".join(f"{where} for {task}" for where, task in _SOURCES)
        raise RegistryError(
            f"[{dataset.id}]: nothing here reads {dataset.data_dir!r} for {dataset.task}. There is: {known}."
        )
    return source(dataset.split)
