"""Hosts need root and network namespaces; where they are missing these tests are skipped, but never in CI."""

from __future__ import annotations

import os

import pytest

from tests.hosts.network import missing


@pytest.fixture(scope="session", autouse=True)
def can_have_hosts() -> None:
    """Skip, and say what is missing."""
    if why := missing():
        assert not os.environ.get("CI"), why
        pytest.skip(why)
