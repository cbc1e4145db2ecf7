"""Where a data set's parquet files are in a folder of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evaluation.errors import DataError
from evaluation.registry import Dataset


def find(dataset: Dataset, folder: Path) -> list[Path]:
    """Its parquet files, sorted: the first of `places` that has some. Raises DataError."""
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}. Name the one that holds {dataset.title}.")
    for place, pattern in places(dataset, folder):
        if place.is_dir() and (found := sorted(place.glob(pattern))):
            return found
    looked = ", ".join(dict.fromkeys(f"{place / pattern}" for place, pattern in places(dataset, folder)))
    raise DataError(f"There are no parquet files of {dataset.title} in {folder}. Looked for {looked}.")


def places(dataset: Dataset, folder: Path) -> Iterator[tuple[Path, str]]:
    """Where they may be: in a folder of many data sets, in a copy of one repository, or loose."""
    owner_and_name = [dataset.hub, dataset.hub.rpartition("/")[2]] if dataset.hub else []
    for name in (dataset.id, *owner_and_name):
        yield folder / name, dataset.pattern
    yield folder / dataset.id, "*.parquet"
    yield folder, dataset.pattern
    yield folder, "*.parquet"
