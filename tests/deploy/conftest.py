"""What several tests of deploy/ share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.deploy import watched


@pytest.fixture(scope="package", name="watched")
def _watched() -> Iterator[watched.Watched]:
    with watched.watched() as running:
        yield running
