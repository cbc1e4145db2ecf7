"""From the name of a model to its folder: a path, a row of the registry, or a published hub id.

What ships of a small audio LLM is made a whole checkpoint first, in the cache.
"""

from __future__ import annotations

import difflib
import os
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.checkpoints.download import DownloadError, download, licence_of
from model.checkpoints.inspect import inspect
from model.embedded.weights import WeightsError, default_cache
from model.layouts import LAYOUTS
from model.mini import MINI_ID, WEIGHTS
from model.mini.shipped import is_shipped
from model.mini.tensors import ModelError
from model.serve.refused import Refused

ROOT = Path(__file__).resolve().parents[2]
_REGISTRY = ROOT / "backend" / "models.toml"


@dataclass(frozen=True)
class Target:
    """What to start: `folder` is None for the embedded engine, which brings its own weights."""

    name: str  # on the wire
    folder: Path | None


def find(model: str, fetch: bool) -> Target:
    """Find what to serve. Raises Refused."""
    if folder := _folder(model):
        return Target(folder.name, _whole(folder))
    rows = _rows()
    if model == MINI_ID and rows.get(model, {}).get("engine", "embedded") == "embedded":
        return Target(model, _whole(WEIGHTS))  # the demo's embedded engine serves it, and here vLLM does
    if model in rows:
        return _from_row(model, rows[model], fetch)
    published = [hub_id for layout in LAYOUTS for hub_id in layout.hub_ids]
    if model in published:
        return Target(model.split("/")[-1], _from_hub(model, None, licence_of(model), fetch))
    near = difflib.get_close_matches(model, [*rows, *published], 1)
    raise Refused(
        f"{model} is neither a folder nor a model of the registry. "
        + (f"Did you mean {near[0]}? " if near else "")
        + f"The registry has {', '.join(rows) or 'none'}; published are {', '.join(published)}."
    )


def _whole(folder: Path) -> Path:
    """A checkpoint's folder; of what only ships of one, the checkpoint that is made of it. Raises Refused."""
    if not is_shipped(folder):
        return folder
    from model.checkpoints.assemble import assembled  # needs what serving a checkpoint does not

    def tell(target: Path) -> None:
        sys.stderr.write(f"Making a whole checkpoint of {folder}, once: {target}.\n")

    try:
        return assembled(folder, default_cache(), tell)
    except (ModelError, WeightsError) as error:
        raise Refused(str(error)) from None


def _folder(path: str) -> Path | None:
    """The whole path of a folder, None where there is none. Raises Refused for a home that nobody has."""
    try:
        folder = Path(path).expanduser()
        return folder.resolve() if folder.is_dir() else None
    except RuntimeError:
        raise Refused(
            f"{path} begins with the home of a user that this machine does not have. Give the whole path."
        ) from None
    except OSError:  # such as a name that is too long for a file
        return None


def _rows() -> dict[str, Any]:
    file = Path(os.environ.get("MERALION_MODELS") or _REGISTRY)
    try:
        tables = tomllib.loads(file.read_text("utf-8"))
    except OSError:
        if "MERALION_MODELS" not in os.environ:
            return {}  # installed without the rest of the demo
        raise Refused(
            f"MERALION_MODELS names {file}, which cannot be read. Correct it or unset it."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Refused(f"{file} is not valid TOML: {error}. Mend that line and start again.") from None
    return {name: table for name, table in tables.items() if isinstance(table, dict)}


def _from_row(name: str, row: dict[str, Any], fetch: bool) -> Target:
    engine = row.get("engine")
    if engine == "embedded":
        return Target(name, None)
    if engine != "vllm":
        raise Refused(
            f"{name} runs elsewhere (engine '{engine}'), and there is nothing to start here. "
            "Only rows with engine 'vllm' or 'embedded' can be served."
        )
    source = str(row.get("hub_id") or "")
    if not source:
        raise Refused(f"The row of {name} has no `hub_id`. Give it a hub id, or the path of a folder.")
    wire = str(row.get("upstream_model") or name)
    if folder := _folder(source):
        return Target(wire, _whole(folder))
    licence = str(row.get("licence") or licence_of(source))
    return Target(wire, _from_hub(source, row.get("revision") or None, licence, fetch))


def _from_hub(hub_id: str, revision: str | None, licence: str, fetch: bool) -> Path:
    """The folder of a checkpoint: in the hub's cache here, or in ours, fetched if asked."""
    if cached := _in_hub_cache(hub_id, revision):
        return cached
    folder = _downloads() / _folder_name(hub_id, revision)
    if folder.is_dir() and not inspect(folder).problems:
        return folder
    if not fetch:
        raise Refused(
            f"{hub_id} is not on this machine, and nothing is downloaded without your say. Its licence is: "
            f"{licence}. If you accept it, start again with --download, or give the folder of a copy."
        )
    sys.stderr.write(f"Fetching {hub_id} into {folder}. Its licence is: {licence}.\n")
    try:
        download(hub_id, folder, revision)
    except DownloadError as error:
        raise Refused(str(error)) from None
    return folder


def _folder_name(hub_id: str, revision: str | None) -> str:
    """A folder for each revision that is asked for, so that none is served in the place of another."""
    return (f"{hub_id}@{revision}" if revision else hub_id).replace("/", "--")


def _in_hub_cache(hub_id: str, revision: str | None) -> Path | None:
    """The folder in the hub's cache, if it is whole: others fetch parts of a checkpoint into it."""
    try:
        from huggingface_hub import snapshot_download

        cached = Path(snapshot_download(hub_id, revision=revision, local_files_only=True))
    except (ImportError, OSError, ValueError):  # not installed, not there, no such name
        return None
    return None if inspect(cached).problems else cached


def _downloads() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "meralion-demo" / "checkpoints"
