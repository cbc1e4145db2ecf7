"""Each environment runs its own tests: vllm/ where vLLM is, training/ where Ray is, all others in .venv."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest

_HERE = Path(__file__).parent
_OWN = {"vllm": "vllm", "training": "ray"}  # a folder of tests, and what only its environment has
_HERE_RUN = {folder for folder, package in _OWN.items() if importlib.util.find_spec(package)}
collect_ignore = [
    path.name
    for path in _HERE.iterdir()
    if path.name != "conftest.py" and (path.name not in _HERE_RUN if _HERE_RUN else path.name in _OWN)
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


@pytest.hookimpl(optionalhook=True)  # of xdist, which not every environment has
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Where two run at once: each file stays in one process, and all that is heavy in the same one.

    Two cores carry one browser with its server and engine, or one system of several hosts, not two.
    """
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "heavy" if _is_heavy(config.rootpath / file) else file

    return Scheduling(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what is heavy, then files with slow tests, so that short ones fill the end."""
    if config.pluginmanager.hasplugin("xdist"):
        slow = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: (not _is_heavy(item.path), item.path not in slow))


@cache
def _is_heavy(file: Path) -> bool:
    return file.parent.name == "hosts" or "mark.browser" in file.read_text("utf-8")
