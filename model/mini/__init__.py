"""A small audio LLM of the paper's architecture, without torch: see README.md."""

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
"""The folder of MERaLiON-Mini, as `training.ship` wrote it."""
