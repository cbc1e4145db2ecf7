"""From the name of a model to its folder: a path, a row of the registry, or a published hub id."""

from __future__ import annotations

import difflib
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.layouts import LAYOUTS
from model.serve.refused import Refused

ROOT = Path(__file__).resolve().parents[2]
_REGISTRY = ROOT / "backend" / "models.toml"
_PATTERNS = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model"]  # never code, never pickles


@dataclass(frozen=True)
class Target:
    """What to start: `folder` is None for the embedded engine, which brings its own weights."""

    name: str  # on the wire
    folder: Path | None


def find(model: str, download: bool) -> Target:
    """Find what to serve. Raises Refused."""
    if (folder := Path(model).expanduser()).is_dir():
        return Target(folder.resolve().name, folder.resolve())
    rows = _rows()
    if model in rows:
        return _from_row(model, rows[model], download)
    licences = {hub_id: layout.licence for layout in LAYOUTS for hub_id in layout.hub_ids}
    if model in licences:
        return Target(model.split("/")[-1], _from_hub(model, None, licences[model], download))
    near = difflib.get_close_matches(model, [*rows, *licences], 1)
    raise Refused(
        f"{model} is neither a folder nor a model of the registry. "
        + (f"Did you mean {near[0]}? " if near else "")
        + f"The registry has {', '.join(rows) or 'none'}; published are {', '.join(licences)}."
    )


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


def _from_row(name: str, row: dict[str, Any], download: bool) -> Target:
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
    if (folder := Path(source).expanduser()).is_dir():
        return Target(wire, folder.resolve())
    licence = str(row.get("licence") or "a licence of its own")
    return Target(wire, _from_hub(source, row.get("revision") or None, licence, download))


def _from_hub(hub_id: str, revision: str | None, licence: str, download: bool) -> Path:
    """The folder of a checkpoint in the hub's cache on this machine, fetched only if asked for."""
    try:
        from huggingface_hub import errors, snapshot_download
    except ImportError:
        raise Refused(
            "huggingface_hub is not installed, which knows where downloads are kept. Run `make vllm`, "
            "or give the folder of the checkpoint."
        ) from None
    try:
        return Path(
            snapshot_download(hub_id, revision=revision, allow_patterns=_PATTERNS, local_files_only=True)
        )
    except (errors.LocalEntryNotFoundError, errors.HFValidationError):
        pass
    if not download:
        raise Refused(
            f"{hub_id} is not on this machine, and nothing is downloaded without your say. Its licence is: "
            f"{licence}. If you accept it, start again with --download, or give the folder of a copy."
        )
    try:
        return Path(snapshot_download(hub_id, revision=revision, allow_patterns=_PATTERNS))
    except (
        errors.HfHubHTTPError,
        errors.HFValidationError,
        errors.LocalEntryNotFoundError,
        OSError,
    ) as error:
        first = str(error).strip().split("\n")[0]
        raise Refused(
            f"{hub_id} could not be downloaded: {first} Check the network, and that you may read it."
        ) from None
