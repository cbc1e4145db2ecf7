"""The parts of Whisper's English normaliser that AudioBench builds on, from the package openai-whisper.

`import whisper` would load torch, which is not wanted here, so its folder `normalizers` is loaded by itself:
it needs only `regex` and `more_itertools`. AudioBench carries a copy of the same three files; those of
openai-whisper 20250625 differ from it by the layout of one expression.
"""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

from evaluation.errors import MetricError

_NAME = "_openai_whisper_normalizers"  # in sys.modules; apart from a real `whisper`


@cache
def _package() -> ModuleType:
    found = importlib.util.find_spec("whisper")  # finds, and runs nothing
    if found is None or not found.submodule_search_locations:
        raise MetricError(
            "The word error rate needs Whisper's normaliser: pip install --no-deps openai-whisper==20250625."
        )
    folder = Path(found.submodule_search_locations[0]) / "normalizers"
    spec = importlib.util.spec_from_file_location(
        _NAME, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None or not (folder / "english.json").is_file():
        raise MetricError(
            f"{folder} is not Whisper's normaliser; another package is installed under the name whisper. "
            "Remove it, then: pip install --no-deps openai-whisper==20250625."
        )
    module = importlib.util.module_from_spec(spec)
    sys.modules[_NAME] = module  # its files import one another
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        del sys.modules[_NAME]
        raise MetricError(
            f"Whisper's normaliser needs {error.name}: pip install regex more-itertools."
        ) from error
    return module


@cache
def english() -> Any:
    """An EnglishTextNormalizer: ignore_patterns, replacers, standardize_numbers, standardize_spellings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves english.json to be closed by chance
        return _package().EnglishTextNormalizer()


class _Plain(dict[int, str]):
    """What becomes of a character once diacritics and symbols go, worked out when it is first met."""

    def __init__(self, keep: str) -> None:
        self._remove: Callable[..., str] = sys.modules[f"{_NAME}.basic"].remove_symbols_and_diacritics
        self._keep = keep

    def __missing__(self, point: int) -> str:
        plain = self[point] = self._remove(chr(point), keep=self._keep)
        return plain


@cache
def plain_characters(keep: str) -> Mapping[int, str]:
    """A table for str.translate, of text in NFKD: Whisper's `remove_symbols_and_diacritics`, faster."""
    _package()
    return _Plain(keep)


@cache
def whisper_version() -> str:
    """Of the package, such as 20250625."""
    return version("openai-whisper")
