"""The embedded engine of the model's tests."""

from tests.model.conftest import engine

__all__ = ["engine"]
