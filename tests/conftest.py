"""Each environment runs its own tests: those in vllm/ where vLLM is installed, all others in .venv."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import tempfile
from pathlib import Path

_HERE = Path(__file__).parent
_HAS_VLLM = importlib.util.find_spec("vllm") is not None
collect_ignore = [
    path.name for path in _HERE.iterdir() if path.name != "conftest.py" and (path.name == "vllm") != _HAS_VLLM
]


def _apart_from_the_users_answers() -> tempfile.TemporaryDirectory[str]:
    """Give the session a cache folder of its own for answers; all else, such as weights, is the user's."""
    users = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    with contextlib.suppress(OSError):  # a home that cannot be written
        (users / "meralion-demo").mkdir(parents=True, exist_ok=True)
    ours = tempfile.TemporaryDirectory(prefix="meralion-tests-")
    for entry in users.iterdir() if users.is_dir() else ():
        if entry.name != "meralion":
            (Path(ours.name) / entry.name).symlink_to(entry)
    os.environ["XDG_CACHE_HOME"] = ours.name
    return ours


_CACHE = _apart_from_the_users_answers()  # before anything reads the settings, and for every child
