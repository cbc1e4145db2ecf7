"""What a visitor shows the controller: a random name, signed where the controller wants that.

The form is written down in backend/README.md: `v1.<name>.<expiry>.<hmac-sha256>`.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass, field

LIFETIME_S = 600  # each request signs anew, so a visit may last as long as it likes


@dataclass(frozen=True)
class Visitor:
    """One visitor. Without a secret the name alone is shown, which nobody can guess."""

    name: str
    secret: str = field(default="", repr=False)

    def token(self) -> str:
        """Return what goes into the header of one request."""
        if not self.secret:
            return self.name
        signed = f"v1.{self.name}.{int(time.time()) + LIFETIME_S}"
        mac = hmac.new(self.secret.encode(), signed.encode(), hashlib.sha256).hexdigest()
        return f"{signed}.{mac}"


def new_name() -> str:
    """Make up a name."""
    return secrets.token_urlsafe(24)
