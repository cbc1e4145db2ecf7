"""Fetch a published checkpoint from Hugging Face, only when asked: weights and descriptions, never code."""

from __future__ import annotations

import re
from pathlib import Path

from model.layouts import LAYOUTS

FILES = (
    "*.safetensors",
    "*.safetensors.index.json",
    "*.json",
    "*.jinja",
    "tokenizer*",
    "LICENSE*",
    "README.md",
)
NEVER = ("*.py", "*.bin", "*.pt", "*.pth", "*/*")
COMMIT = re.compile(r"[0-9a-f]{40}")


class DownloadError(RuntimeError):
    """A checkpoint could not be fetched; the message says why and what to do."""


def licence_of(hub_id: str) -> str:
    """The licence of a published checkpoint, as far as it is known here."""
    known = (layout.licence for layout in LAYOUTS if hub_id in layout.hub_ids)
    return next(known, "a licence that is not known here, see its model card")


def download(hub_id: str, folder: Path, revision: str | None = None) -> str:
    """Fetch one commit of `hub_id` into `folder` and return the commit, so that the same can be had again.

    Raises DownloadError offline, for an unknown or a gated model, and where the disk is full.
    """
    try:
        from huggingface_hub import HfApi, errors, snapshot_download
    except ImportError:
        raise DownloadError(
            "Run this in .venv-vllm, which `make vllm` makes: it needs huggingface_hub."
        ) from None
    # All files of one commit: a branch may move while gigabytes are fetched.
    commit = revision or "main"
    try:
        if not COMMIT.fullmatch(commit):
            commit = str(HfApi().model_info(hub_id, revision=commit).sha)
        snapshot_download(
            hub_id, revision=commit, local_dir=folder, allow_patterns=list(FILES), ignore_patterns=list(NEVER)
        )
    except errors.GatedRepoError as error:
        raise DownloadError(
            f"{hub_id} asks for your agreement: accept it on https://huggingface.co/{hub_id}, then log in "
            "with `hf auth login` and try again."
        ) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.HFValidationError) as error:
        raise DownloadError(
            f"Hugging Face has no {hub_id} at '{commit}'. Check the spelling on huggingface.co/MERaLiON."
        ) from error
    except Exception as error:  # the client raises several libraries' errors for a network that is not there
        raise DownloadError(
            f"{hub_id} could not be fetched ({type(error).__name__}). Check the network, HF_HUB_OFFLINE and "
            "the room on the disk, or copy the folder from a machine that has it."
        ) from error
    return commit
