"""One JSON object a line on stderr: what an engine did with a request, never what was said in it.

Only the fields in FIELDS are written, so that a text, a key or a file's name cannot slip in.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime

SERVICE = "engine"
FIELDS = frozenset(
    {"request_id", "method", "route", "status", "code", "ms", "seconds", "count", "model", "reason"}
)
_MOST = 200  # characters of a library's line
_log = logging.getLogger("meralion")
request_id: ContextVar[str] = ContextVar("request id", default="")
"""Of the request that is being answered, as the controller named it; its log has it too."""
_noted: ContextVar[dict[str, str | float] | None] = ContextVar("noted", default=None)


def event(name: str, *, level: int = logging.INFO, **fields: str | float | None) -> None:
    """Write one event; None and '' say nothing. Raises KeyError for a field that is not in FIELDS."""
    unknown = fields.keys() - FIELDS
    if unknown:
        raise KeyError(f"not a field of the log: {sorted(unknown)}")
    said = {key: value for key, value in fields.items() if value is not None and value != ""}
    _log.log(level, name, extra={"fields": said})


def noting() -> dict[str, str | float]:
    """Return what will be noted of this request, to be written with its line."""
    fresh: dict[str, str | float] = {}
    _noted.set(fresh)
    return fresh


def note(**fields: str | float) -> None:
    """Have this in the line of the request that is being answered; outside of one nothing happens."""
    found = _noted.get()
    if found is not None:
        found.update(fields)


def noted() -> dict[str, str | float]:
    """Return what was noted of the request that is being answered."""
    return _noted.get() or {}


def configure(*, everything: bool) -> None:
    """Send our lines to stderr; with `everything` those of all libraries too, from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    _log.setLevel(logging.INFO)
    if everything:
        logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    elif not _log.handlers:  # vLLM has a log of its own, to which ours is added
        _log.addHandler(handler)
        _log.propagate = False


def where(error: BaseException | None) -> str:
    """Name an error's type and the lines that led to it, without its message, which may quote a visitor."""
    frames = traceback.extract_tb(error.__traceback__)[-6:] if error else []
    places = " < ".join(f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in reversed(frames))
    return f"{type(error).__name__} at {places}"


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", None)
        line: dict[str, object] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": SERVICE,
            "event": record.name if fields is None else record.msg,
        }
        if fields is None:
            # As it stands in the library's code: the values put into it may be a visitor's.
            line["reason"] = str(record.msg)[:_MOST]
        if record.exc_info and record.exc_info[0]:
            line["reason"] = where(record.exc_info[1])
        return json.dumps(line | (fields or {}), ensure_ascii=False)
