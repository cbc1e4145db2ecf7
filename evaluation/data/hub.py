"""Fetches a data set's parquet files from the hub into its cache, where a second run finds them."""

from __future__ import annotations

import os
from pathlib import Path

from evaluation.errors import DataError
from evaluation.registry import Dataset


def fetch(dataset: Dataset) -> list[Path]:
    """Its parquet files, sorted, all of one commit. HF_TOKEN and HF_ENDPOINT are heeded. Raises DataError."""
    from huggingface_hub import errors, snapshot_download

    try:
        copy = snapshot_download(
            dataset.hub,
            repo_type="dataset",
            revision=dataset.revision or None,
            allow_patterns=[dataset.pattern],
            endpoint=os.environ.get("HF_ENDPOINT") or None,
        )
    except errors.GatedRepoError:
        raise DataError(
            f"{dataset.title} asks for your agreement. Accept its terms at {dataset.page}, then set HF_TOKEN "
            "to a token of yours that may read it."
        ) from None
    except errors.RevisionNotFoundError:
        raise DataError(
            f"{dataset.page} has no commit {dataset.revision}. Mend `revision` of [{dataset.id}]."
        ) from None
    except errors.RepositoryNotFoundError:
        raise DataError(
            f"The hub shows you no {dataset.hub}. Mend `hub` of [{dataset.id}], or, where it is private or "
            f"gated, see {dataset.page} and set HF_TOKEN."
        ) from None
    except Exception as error:  # the client lets through the errors of the libraries under it
        raise DataError(
            f"{dataset.title} could not be fetched ({_reason(error)}). Check the network, HF_HUB_OFFLINE and "
            "the room on the disk, or name a copy with --data."
        ) from error
    found = sorted(Path(copy).glob(dataset.pattern))
    if not found:
        raise DataError(
            f"{dataset.page} has no files {dataset.pattern}. Look there what they are called, and mend "
            f"`data_dir`, `split` or `files` of [{dataset.id}]."
        )
    return found


def _reason(error: Exception) -> str:
    said = str(error).strip()
    return said.splitlines()[0].rstrip(".") if said else type(error).__name__
