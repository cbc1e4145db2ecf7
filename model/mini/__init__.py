"""A small audio LLM of the paper's architecture, without torch: see README.md."""

from pathlib import Path

MINI_ID = "meralion-mini"
"""What ships with the demo, on the wire."""
WEIGHTS = Path(__file__).parent / "weights"
"""The folder of MERaLiON-Mini, as `training.ship` wrote it."""
