"""What can go wrong in an evaluation. Every message is a sentence that says what to do next.

EvaluationError
├── RegistryError   a row of datasets.toml, systems.toml or another table is wrong
├── DataError       a data set is missing, gated or broken
├── EndpointError   a system or a judge cannot be reached or used at all
├── RunError        the folder of a run is in use, of another run, or cannot be written
└── MetricError     rows that cannot be scored
"""

from __future__ import annotations


class EvaluationError(Exception):
    """Something a person can mend; the message says how."""


class RegistryError(EvaluationError):
    """A row of a table is wrong."""


class DataError(EvaluationError):
    """A data set is missing, gated or broken."""


class EndpointError(EvaluationError):
    """A system or a judge cannot be reached or used at all."""


class RunError(EvaluationError):
    """The folder of a run is in use, of another run, or cannot be written."""


class MetricError(EvaluationError):
    """Rows that cannot be scored."""
