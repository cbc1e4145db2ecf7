"""One JSON object a line on stderr: what happened to a request, never what was said in it.

Only the fields in FIELDS are written, so that a text, a key, a file name or a clip cannot slip in.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime

FIELDS = frozenset(
    {
        "request_id",
        "method",
        "route",
        "status",
        "code",
        "ms",
        "bytes",
        "seconds",
        "model",
        "cache",
        "instance",
        "state",
        "reason",
        "pid",
        "port",
        "count",
    }
)
_log = logging.getLogger("backend")
request_id: ContextVar[str] = ContextVar("request id", default="")
"""Of the request that is being answered; engines get it too, so that their logs can be read beside ours."""


def event(name: str, *, level: int = logging.INFO, **fields: str | float | None) -> None:
    """Write one event. Raises KeyError for a field that is not in FIELDS."""
    unknown = fields.keys() - FIELDS
    if unknown:
        raise KeyError(f"not a field of the log: {sorted(unknown)}")
    _log.log(
        level, name, extra={"fields": {key: value for key, value in fields.items() if value is not None}}
    )


def configure() -> None:
    """Send every logger's lines, ours and the libraries', through one handler to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in ("httpx", "httpcore", "uvicorn", "asyncio", "python_multipart", "multipart"):
        logging.getLogger(name).setLevel(logging.WARNING)


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": "controller",
            "event": record.msg if record.name == _log.name else record.name,
            **getattr(record, "fields", {}),
        }
        if record.name != _log.name:
            line["reason"] = record.getMessage()
        if record.exc_info and record.exc_info[0]:
            line["reason"] = where(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False)


def where(error: BaseException | None) -> str:
    """Name an error's type and the lines that led to it, without its message, which may quote a request."""
    frames = traceback.extract_tb(error.__traceback__)[-6:] if error else []
    places = " < ".join(f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in reversed(frames))
    return f"{type(error).__name__} at {places}"
