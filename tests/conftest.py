"""Each environment runs its own tests: those in vllm/ where vLLM is installed, all others in .venv."""

from __future__ import annotations

import importlib.util
from pathlib import Path

_HERE = Path(__file__).parent
_HAS_VLLM = importlib.util.find_spec("vllm") is not None
collect_ignore = [
    path.name for path in _HERE.iterdir() if path.name != "conftest.py" and (path.name == "vllm") != _HAS_VLLM
]
