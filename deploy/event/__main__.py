"""Serve the demo to a room: `python -m deploy.event`, or `make event`, which installs it first.

It prints the address, a code for phones, and the host page's address and key; Ctrl-C ends all of it.
"""

from __future__ import annotations

import asyncio
import os
import sys

from deploy.event.kit import Kit
from deploy.event.settings import EventError, as_arguments, as_environment, flags, load
from deploy.event.unit import unit


def main(arguments: list[str] | None = None) -> int:
    """Serve until told to stop; return the exit code."""
    given = flags().parse_args(arguments)
    try:
        settings = load(given, os.environ)
        if given.print_unit:
            print(unit(as_arguments(settings), as_environment(settings)), end="")
            return 0
        kit = Kit(settings)
    except EventError as error:
        print(error, file=sys.stderr)
        return 2
    asyncio.run(kit.run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
