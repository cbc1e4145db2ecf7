"""One JSON object a line on stderr: what became of a visitor's question, never what was said in it.

Only the fields in FIELDS are written, so that a text, a key or a file's name cannot slip in. Streamlit's
lines and those of other libraries take the same form, without the values that were put into them.
"""

from __future__ import annotations

import json
import logging
import secrets
import sys
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TextIO

from streamlit import logger as streamlit_logger

SERVICE = "pages"
FIELDS = frozenset({"request_id", "method", "route", "status", "code", "ms", "model", "reason", "count"})
_MOST = 200  # characters of a library's line
_log = logging.getLogger("ui")
request_id: ContextVar[str] = ContextVar("request id", default="")
"""Of the question that this thread is about; controller and engines get it, and their logs have it too."""


def new_request_id() -> str:
    """Make one, of the form that the controller makes."""
    return f"req-{secrets.token_hex(8)}"


def event(name: str, *, level: int = logging.INFO, **fields: str | float | None) -> None:
    """Write one event; None and '' say nothing. Raises KeyError for a field that is not in FIELDS."""
    unknown = fields.keys() - FIELDS
    if unknown:
        raise KeyError(f"not a field of the log: {sorted(unknown)}")
    said = {key: value for key, value in fields.items() if value is not None and value != ""}
    _log.log(level, name, extra={"fields": said})


def failed(error: BaseException) -> None:
    """Write down an error that nobody foresaw: its type and the lines that led to it."""
    event("internal error", level=logging.ERROR, request_id=request_id.get(), reason=where(error))


def configure() -> None:
    """Give every line its form; do it at each run, since Streamlit makes a logger a module as it loads."""
    root = logging.getLogger()
    if _handler not in root.handlers:
        root.addHandler(_handler)
        _log.setLevel(logging.INFO)
        _handler.setFormatter(_form)
    for name in list(streamlit_logger._loggers):
        # Its own handler alone: others on the same logger are somebody else's, such as pytest's.
        handler = getattr(streamlit_logger.get_logger(name), "streamlit_console_handler", None)
        if handler is not None and handler.formatter is not _form:
            handler.setFormatter(_form)


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


class _ToStderr(logging.StreamHandler[TextIO]):
    """Writes to what is stderr at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


_form = _JsonLines()
_handler = _ToStderr()
