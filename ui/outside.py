"""Keeps Streamlit from asking the internet which address this machine has.

For a connection from a page of another origin than its own, Streamlit (1.60, `net_util.get_external_ip`)
calls a server of Amazon's, in case that origin is this machine; everybody else would wait meanwhile. Our
pages have one origin, which is allowed without it.
"""

from __future__ import annotations

from streamlit import net_util

_NOWHERE = "127.0.0.1"


def ask_nobody() -> None:
    """Have Streamlit take this machine's address as known; call it before the first page is drawn."""
    net_util._external_ip = net_util._internal_ip = _NOWHERE
