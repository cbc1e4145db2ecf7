"""A run's settings: nested frozen dataclasses, one YAML, saved beside what the run makes.

config = load(AudioLLMConfig, Path("training/configs/mini.yaml"), ["optimiser.peak_lr=1e-4"])
"""

from __future__ import annotations

import dataclasses
import difflib
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from training.errors import ConfigError

T = TypeVar("T")


def load(kind: type[T], path: Path, overrides: Sequence[str] = ()) -> T:
    """Read a YAML into `kind`, then `overrides` such as "data.train=corpus/train" (values are YAML too).

    Raises ConfigError naming the key: unknown, missing, of another type, or refused by the dataclass itself.
    """
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text. Save it as UTF-8 and start again.") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}. Name the run's YAML file.") from None
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}. Correct it there.") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must hold keys and values; it holds {_said(values)}.")
    for override in overrides:
        _override(values, override)
    return parse(kind, values, str(path))


def parse(kind: type[T], values: Mapping[str, Any], where: str) -> T:
    """`values` as `kind`; `where` names their origin in errors. Raises ConfigError."""
    found: T = _dataclass(kind, values, "", where)
    return found


def dump(config: Any) -> str:
    """A config as YAML that `load` reads again."""
    return yaml.safe_dump(_plain(dataclasses.asdict(config)), sort_keys=False, allow_unicode=True)


def save(config: Any, path: Path) -> None:
    """Write a config beside what it made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dump(config), "utf-8")


def _dataclass(kind: Any, values: Any, at: str, where: str) -> Any:
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}: {at or 'the file'} must hold keys and values, not {_said(values)}.")
    hints = get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for key in values:
        if key not in fields:
            near = difflib.get_close_matches(str(key), fields, 1)
            hint = f" Did you mean {_path(at, near[0])}?" if near else ""
            raise ConfigError(
                f"{where}: there is no setting {_path(at, key)}.{hint} Known here: {', '.join(fields)}."
            )
    given = {key: _value(hints[key], value, _path(at, key), where) for key, value in values.items()}
    for name, field in fields.items():
        needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if needed and name not in given:
            raise ConfigError(f"{where}: {_path(at, name)} is missing. Write it into the file.")
    try:
        return kind(**given)
    except ValueError as error:
        raise ConfigError(f"{where}: {at + ': ' if at else ''}{error}") from None


def _value(hint: Any, value: Any, at: str, where: str) -> Any:
    """`value` as the type `hint` says; tuples from lists, paths from strings, floats from whole numbers."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _value(next(kind for kind in arguments if kind is not type(None)), value, at, where)
    if origin is Literal:
        if value not in arguments:
            raise ConfigError(
                f"{where}: {at} is {_said(value)}. Choose one of: {', '.join(map(str, arguments))}."
            )
        return value
    if dataclasses.is_dataclass(hint):
        return _dataclass(hint, value, at, where)
    if origin is tuple and isinstance(value, (list, tuple)):
        return tuple(_value(arguments[0], item, f"{at}[{n}]", where) for n, item in enumerate(value))
    if origin is dict and isinstance(value, Mapping):
        return {str(key): _value(arguments[1], item, _path(at, key), where) for key, item in value.items()}
    if hint is Path and isinstance(value, str) and value:
        return Path(value)
    if hint is float and isinstance(value, str):
        value = _number(value)  # YAML reads 5e-5 as a string
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    raise ConfigError(f"{where}: {at} must be {_named(hint)}, not {_said(value)}.")


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {override}: write it as key=value, such as optimiser.peak_lr=1e-4.")
    *parents, last = key.split(".")
    place = values
    for parent in parents:
        inner = place.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {override}: {parent} holds a value and has no keys of its own.")
        place = inner
    try:
        place[last] = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"--set {override}: '{text}' is not YAML. Put it in quotes.") from None


def _path(at: str, key: Any) -> str:
    return f"{at}.{key}" if at else str(key)


def _said(value: Any) -> str:
    return "nothing" if value is None else f"{value!r}"


def _named(hint: Any) -> str:
    words = {int: "a whole number", float: "a number", str: "text", bool: "true or false", Path: "a path"}
    if hint in words:
        return words[hint]
    return {tuple: "a list", dict: "keys and values"}.get(get_origin(hint) or hint, str(hint))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
