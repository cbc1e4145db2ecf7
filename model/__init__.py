"""The audio LLM, its engines, and what they share."""

import os

# onnxruntime (1.32) sends usage events to its makers unless told not to before it is imported; nothing here
# may call out. tests/browser/test_event_kit.py counts what would leave.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
