"""What can go wrong between a request and its reply.

HttpError
├── Unreachable   no connection
└── Broken        the connection ended before the reply did, or what came is not HTTP
    └── Stale     ... at once, without a byte of a reply
"""

from __future__ import annotations


class HttpError(Exception):
    """A request could not be carried to an engine and back."""


class Unreachable(HttpError):
    """No connection: refused, no such name, no answer in time, or a certificate that is not to be trusted."""


class Broken(HttpError):
    """The connection ended before the reply did, or what came is not HTTP as we asked for it."""


class Stale(Broken):
    """The connection ended at once, without a byte of a reply: it may have been closed before we wrote."""
