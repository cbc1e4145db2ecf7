"""Server-sent events, as engines send them."""

import json
from typing import Any

STILL_HERE = b": still reading\n\n"
"""A comment, which clients pass over: it shows that the line is alive while there is nothing to say."""


def sse(event: dict[str, Any] | str) -> bytes:
    """One server-sent event."""
    text = event if isinstance(event, str) else json.dumps(event, ensure_ascii=False)
    return f"data: {text}\n\n".encode()
